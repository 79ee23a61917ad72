"""``algotools check``: find mistakes that would make a task fail at a node. Neither git nor an engine is needed.

``_catalogue`` has the rules. The other modules are named after their subject: ``_project`` (``pyproject.toml``,
dependencies, ``federation.yaml``), ``_image``, ``_sources`` (of dependencies), ``_functions`` (import and
declarations), ``_results``, ``_calls``, ``_disclosure`` (warnings about data in results and messages).

Only a child process (``_functions``) imports the author's code. An import runs arbitrary statements: it may exit, loop
forever, print, or start threads and programs. In this process any of these would stop or disturb the whole check, and
a second check would get the modules of the first one from ``sys.modules``. The child process can be killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from algotools.errors import AlgorithmNotFound, InternalError
from algotools.federation.folders import make_folder
from algotools.federation.policy import NodePolicy, get_default_policy
from algotools.project.check._catalogue import RULES, TRIAL_RULES
from algotools.project.check._confinement import list_variables
from algotools.project.check._leaving import describe_leaving, summarize_verdict
from algotools.project.check._messages import GRACE, CheckMessage, TrialCall
from algotools.project.check._rules import (
    NO_TRIAL_HINT,
    ChosenArguments,
    Finding,
    NotTried,
    Report,
    Verdict,
    format_arguments,
    relative_path,
    sort_findings,
)
from algotools.project.check._setup import TrialSetup
from algotools.runtime import lifetime

__all__ = [
    "LIMIT",
    "NO_TRIAL_HINT",
    "RULES",
    "TRIAL_RULES",
    "ChosenArguments",
    "Finding",
    "NotTried",
    "OnStart",
    "OnWait",
    "Report",
    "Verdict",
    "check",
    "check_policy",
    "describe_leaving",
    "format_arguments",
    "summarize_verdict",
]

LIMIT = 60.0
"""Seconds for the import, and for each trial call."""

OnWait = Callable[[str, float], object]
"""Called about once per second with the current step and the seconds that it has taken."""

OnStart = Callable[[str], object]
"""Called with the part of the author's code that runs next, before it runs."""

_POLLING_INTERVAL = 0.25
"""Seconds between two checks of whether the child process still works."""


class _CheckOptions(NamedTuple):
    limit: float
    setup: TrialSetup | None
    """None: no function is called."""
    on_wait: OnWait
    on_start: OnStart


def check(
    target: str | Path = ".",
    *,
    limit: float = LIMIT,
    trial: bool = True,
    on_wait: OnWait | None = None,
    on_start: OnStart | None = None,
) -> Report:
    """Check a whole project, or the functions of an installed algorithm or module.

    The author's code runs in a sandbox, as far as this machine has its parts (see ``runtime.sandbox.local``). All
    faults are reported together. If the module cannot be imported, all rules except those about functions apply.

    Args:
        target: a project's folder, or the name of an installed algorithm or module.
        limit: seconds for the import, and for each trial call. Code that needs more time is a finding.
        trial: whether functions are called on the data in ``federation.yaml``.
        on_wait: called while the check waits for the author's code.
        on_start: called before the import and before the trial calls, with a description of the code that runs next.

    Raises:
        AlgorithmNotFound: *target* is neither a folder nor the name of an algorithm.
        PolicyError: the variable ``ALGOTOOLS_POLICY`` of this process is not a preset.
    """
    setup = TrialSetup(default=get_default_policy()) if trial else None
    options = _CheckOptions(limit, setup, on_wait or _ignore, on_start or _ignore)
    if Path(target).is_dir():
        return _check_project(Path(target), options)
    with contextlib.closing(_CheckProcess(str(target), options)) as process:
        return process.report(str(target))


def check_policy(
    target: str | Path = ".",
    *,
    policy: NodePolicy | None = None,
    data: str = "",
    limit: float = LIMIT,
    on_wait: OnWait | None = None,
    on_start: OnStart | None = None,
) -> Report:
    """Call each rpc of an algorithm once, like ``check``, and return the decisions of the disclosure gate.

    Args:
        target: a project's folder, or the name of an installed algorithm or module.
        policy: replaces the policy of the project's ``federation.yaml``.
        data: a file that replaces the databases of the project's ``federation.yaml``.
        limit: see ``check``.
        on_wait: see ``check``.
        on_start: see ``check``.

    Raises:
        AlgorithmNotFound, PolicyError: see ``check``.
    """
    setup = TrialSetup(default=get_default_policy(), policy=policy, data=data, calls_once=True)
    options = _CheckOptions(limit, setup, on_wait or _ignore, on_start or _ignore)
    with contextlib.closing(_CheckProcess(str(target), options)) as process:
        return process.report("pyproject.toml" if Path(target).is_dir() else str(target))


def _ignore(*_arguments: object) -> None:
    """Show nothing."""


def _check_project(root: Path, options: _CheckOptions) -> Report:
    """Check a project's files while the child process imports the algorithm and checks its functions."""
    # Imported here: the child process does not need these modules, and the docker package is slow to import.
    from algotools.federation.imports import list_files
    from algotools.project.check._image import check_image
    from algotools.project.check._project import ProjectFiles, check_dependencies, check_federation, check_metadata

    project = ProjectFiles(root)
    findings = list(check_metadata(project))
    unimportable = project.module is None or any(finding.rule == "shadows-module" for finding in findings)
    with contextlib.ExitStack() as stack:
        process = (
            None if unimportable else stack.enter_context(contextlib.closing(_CheckProcess(str(project.root), options)))
        )
        image_findings, installs_project = check_image(project)
        findings += image_findings
        if project.refusal is None:
            findings += check_dependencies(project, is_installed=installs_project)
        findings += check_federation(project)
        files = list_files(project.source, project.package) if project.package else []
        findings += [
            Finding.of(
                "import-fails", relative_path(file.path, project.root), error.lineno, f"syntax error: {error.msg}"
            )
            for file in files
            if isinstance(error := file.parsed, SyntaxError)
        ]
        functions = 0
        warnings: tuple[Finding, ...] = ()
        not_tried: tuple[NotTried, ...] = ()
        chosen: tuple[ChosenArguments, ...] = ()
        verdicts: tuple[Verdict, ...] = ()
        if process is not None:
            report = process.report("pyproject.toml")
            findings += _remove_duplicates(report.findings, findings)
            warnings = report.warnings
            functions, not_tried, chosen = report.functions, report.not_tried, report.chosen_arguments
            verdicts = report.verdicts
    extra = [name for name in ("pyproject.toml", "Dockerfile", "federation.yaml") if (project.root / name).is_file()]
    return Report(
        algorithm=project.module,
        findings=sort_findings(findings),
        warnings=warnings,
        functions=functions,
        files=len(files) + len(extra),
        not_tried=not_tried,
        chosen_arguments=chosen,
        verdicts=verdicts,
    )


def _remove_duplicates(child_findings: tuple[Finding, ...], file_findings: list[Finding]) -> list[Finding]:
    """Remove the child's findings about missing modules and syntax errors that are among the findings about files."""
    undeclared = {(f.file, f.line) for f in file_findings if f.rule == "undeclared-dependency"}
    is_unparsed = any(f.rule == "import-fails" for f in file_findings)
    return [
        f
        for f in child_findings
        if not (f.rule == "function-fails" and (f.file, f.line) in undeclared)
        and not (f.rule == "import-fails" and is_unparsed and "SyntaxError" in f.reason)
    ]


def _start_interpreter(
    arguments: Sequence[str], descriptors: Sequence[int], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the child process in a fresh interpreter. The tests replace this function by a faster one."""
    return subprocess.Popen(
        [sys.executable, "-m", "algotools.project.check._functions", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=descriptors,
        env=variables,
    )


class _CheckProcess:
    """The child process that imports the algorithm and checks its functions.

    The child process sends each finding immediately, so a later crash does not lose it. Errors of the author and errors
    of algotools are distinguished by the messages:

    * The author's errors are findings. The child process cannot report an import that kills it, so ``report`` adds this
      finding if the messages stop before the import has finished.
    * An error of the check arrives as ``fault`` and becomes an InternalError. So does a stream without the name of the
      algorithm, because none of the author's code has run before that message.
    """

    def __init__(self, target: str, options: _CheckOptions) -> None:
        self._options = options
        self._seconds = options.limit
        self._folder = make_folder(Path(tempfile.gettempdir()))
        # The kernel kills the whole process group when `self._guard` is closed, even if this process is killed. A
        # signal at the death of the parent would come earlier, because this process has threads: the other end would
        # then be closed before `self._guard`, and the author's own processes would remain.
        self._guard, guarded_end = socket.socketpair()
        gate, self._gate = os.pipe()
        os.set_blocking(self._gate, False)  # the author's code could announce more than the pipe takes
        trial = "no-trial" if options.setup is None else msgspec.json.encode(options.setup).decode()
        arguments = [target, str(self._seconds), trial, str(self._folder), str(gate)]
        with guarded_end:
            self._process = _start_interpreter(arguments, [guarded_end.fileno(), gate], list_variables(os.environ))
            os.close(gate)
            lifetime.kill_group_on_close(guarded_end, self._process.pid)
        self._step_start = time.monotonic()
        self._messages: list[CheckMessage] = []
        self._listener = threading.Thread(target=self._listen, name="check", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Read messages until the last one.

        The end of the stream may never come: a program that the author's code started inherits the pipe.
        """
        for line in self._process.stdout or ():
            with contextlib.suppress(msgspec.DecodeError):
                self._messages.append(msgspec.json.decode(line, type=CheckMessage))
                if self._messages[-1].is_step:
                    self._step_start = min(self._messages[-1].sent, time.monotonic())
                if (text := self._messages[-1].announcement) is not None:
                    self._options.on_start(text)
                    with contextlib.suppress(OSError):
                        os.write(self._gate, b"\n")
                if self._messages[-1].done:
                    return

    def close(self) -> None:
        """Stop the process, and remove its folder; findings that were not reported are discarded."""
        self._stop()
        with contextlib.suppress(OSError):
            os.close(self._gate)
        shutil.rmtree(self._folder, ignore_errors=True)

    def report(self, source_file: str) -> Report:
        """Wait for the process and return its findings; *source_file* is the file of a finding about a crash.

        Raises:
            AlgorithmNotFound: the target is not the name of an algorithm.
            InternalError: the check itself failed.
        """
        is_hanging = self._wait()
        self._stop()
        messages = self._messages
        if refusal := next((message.unknown for message in messages if message.unknown), None):
            raise AlgorithmNotFound(refusal)
        if fault := next((message.fault for message in messages if message.fault), None):
            raise InternalError("the check itself failed", detail=fault)
        algorithm = next((message.algorithm for message in messages if message.algorithm), None)
        if algorithm is None:
            raise InternalError(f"the check's process exited with code {self._process.returncode} without a message")
        findings = [message.finding for message in messages if message.finding]
        not_tried = [message.not_tried for message in messages if message.not_tried]
        functions = next((message.functions for message in messages if message.functions is not None), None)
        files = next((message.files for message in messages if message.files is not None), 0)
        if functions is None and not any(message.done for message in messages):
            reason = f"the import ends the process ({self._describe_exit()})"
            if is_hanging:
                reason = f"the import did not finish within {self._seconds:g} s"
            findings.append(Finding.of("import-fails", source_file, None, reason))
        elif (trial := self._find_open_trial()) is not None and trial.has_many_calls and is_hanging:
            not_tried.append(trial.describe_timeout(self._seconds))
        elif trial is not None and trial.is_probe:  # a group without rows can crash a library
            reason = f"{trial.name} ended the process ({self._describe_exit()})"
            not_tried.append(NotTried(method=trial.method, reason=reason))
        elif trial is not None:
            rule, reason = "ends-process", f"it ends the process ({self._describe_exit()})"
            if is_hanging:
                rule, reason = "never-finishes", f"it did not finish within {self._seconds:g} s"
            findings.append(Finding.of(rule, trial.file, trial.line, f"{trial.prefix}{reason}"))
        return Report(
            algorithm=algorithm,
            findings=sort_findings(finding for finding in findings if not finding.is_warning),
            warnings=sort_findings(finding for finding in findings if finding.is_warning),
            functions=functions or 0,
            files=files,
            not_tried=tuple(dict.fromkeys(not_tried)),
            chosen_arguments=tuple(message.chosen for message in messages if message.chosen),
            verdicts=tuple(message.verdict for message in messages if message.verdict),
        )

    def _wait(self) -> bool:
        """Wait for the last message or the exit; return whether the current step exceeded its limit."""
        has_exited = False
        while self._listener.is_alive() and not has_exited:
            # A process that the author's code started can keep the pipe open after the exit.
            has_exited = self._process.poll() is not None
            self._listener.join(_POLLING_INTERVAL)
            seconds = time.monotonic() - self._step_start
            if seconds > self._seconds + GRACE:
                break
            self._options.on_wait(self._describe_step(), seconds)
        if self._listener.is_alive() and not has_exited:
            return True
        # The kernel kills a process that exceeds its limit while this process is stopped. The end of its stream, and
        # this process's own clock, may then be noticed before its exit.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        return self._process.poll() == -signal.SIGKILL and time.monotonic() - self._step_start > self._seconds

    def _describe_step(self) -> str:
        last = next((message for message in reversed(self._messages) if message.is_step), CheckMessage())
        if last.trial is not None:
            return last.trial.step
        return "the check of the functions" if last.functions is not None else "the import of the algorithm"

    def _find_open_trial(self) -> TrialCall | None:
        """Return the trial call during which the messages stopped; None if the process reported its end."""
        if any(message.done for message in self._messages):
            return None
        return next((message.trial for message in reversed(self._messages) if message.is_step), None)

    def _describe_exit(self) -> str:
        code = self._process.returncode
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _stop(self) -> None:
        """Kill the process and all processes that the author's code started in its group."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0 if self._listener.is_alive() else 1)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._guard.close()
        self._process.wait()
        self._listener.join(_POLLING_INTERVAL)  # a process that has left the group can keep the pipe open
        if not self._listener.is_alive() and self._process.stdout:
            self._process.stdout.close()
