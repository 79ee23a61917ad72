"""The rules about the algorithm's import and its declared functions, checked in a child process.

``python -m algotools.project.check._functions TARGET SECONDS TRIAL FOLDER GATE`` imports the algorithm in a sandbox
(``_confinement``), in which only FOLDER is writable. It writes one line of JSON (``CheckMessage``) to standard output
after each step, so findings are not lost if the author's code ends the process. The import and each trial call may take
SECONDS; TRIAL is the JSON of a ``TrialSetup``, or ``no-trial``. Before the author's code runs, the parent shows what
will run, and then writes a byte to the pipe GATE.

Errors of the author's code become findings in the functions that call it (``_import``, ``try_function``). An
exception that escapes from ``_Examination.run`` is therefore an error of the check, and is sent as ``fault``.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from algotools.declare import federated, functions, locate
from algotools.declare.federated import PooledFunction, Pooling
from algotools.declare.functions import Algorithm, RegisteredFunction, get_registered_functions
from algotools.declare.options import DEFAULTS, Options
from algotools.errors import PACKAGE, AlgorithmImportError, AlgorithmNotFound, AlgotoolsError, DeclarationError
from algotools.federation.imports import SourceFile, list_files
from algotools.project.check import _confinement
from algotools.project.check._calls import CallChecker
from algotools.project.check._columns import check_columns
from algotools.project.check._disclosure import check_disclosure
from algotools.project.check._messages import CheckMessage, StepTimer, TrialCall
from algotools.project.check._pooled import check_source
from algotools.project.check._results import check_result
from algotools.project.check._rules import ChosenArguments, Finding, NotTried, Verdict, relative_path
from algotools.project.check._runner import TrialRunner
from algotools.project.check._setup import TrialNodes, TrialSetup, read_nodes, read_table
from algotools.project.check._source import find_decorated, locate_definition
from algotools.project.check._trial import Outcome, check_trial_table
from algotools.project.check._variables import check_variables
from algotools.runtime.sandbox.local import HINT, NO_SANDBOX, describe_missing, is_denial
from algotools.task import Role


class _Examination:
    """Imports one algorithm and checks its functions.

    Args:
        location: the algorithm.
        project: the project's folder; None for an installed algorithm or module.
        nodes: the organizations whose data the trial calls use, and their policy.
        has_trial: whether functions are called.
        send: sends a message to the parent.
        announce: shows the user what runs next.
    """

    def __init__(
        self,
        location: locate.Location,
        project: Path | None,
        nodes: TrialNodes,
        has_trial: bool,
        send: Callable[[CheckMessage], object],
        announce: Callable[[str], object],
    ) -> None:
        self._location = location
        self._nodes = nodes
        self._has_trial = has_trial
        self._table = read_table(location, project)
        self._send = send
        self._announce = announce
        self._package = location.module.partition(".")[0]
        self._source = location.root
        self._project = project
        self._refusals: list[Finding] = []
        self._refused: set[str] = set()
        """The names of functions whose declaration was refused."""
        self._is_importing = True
        self._trial: TrialCall | None = None

    def run(self) -> None:
        """Import the algorithm, then check its functions one after the other."""
        with self._record_refusals():
            import_failure = self._import()
        self._is_importing = False
        self._source = self._source or self._find_installed_folder()
        self._report(*self._refusals)
        if import_failure is not None:
            self._report(import_failure)
            return
        registered = get_registered_functions(self._location.module)
        files = list_files(self._source, self._package) if self._source else []
        self._send(CheckMessage(functions=len(registered), files=len(files)))
        specified = {name: function for name, function in registered.items() if self._is_specified(function)}
        self._check_registration(files, registered)
        checker = CallChecker(registered, self._refused)
        for file in files:
            if (module := sys.modules.get(file.module)) is not None:
                self._report(*checker.check_module(file, vars(module)))
        self._report(*check_trial_table(self._table, specified, {*self._refused, *registered}))
        self._report(*check_variables(specified, self._nodes.members))
        # A trial would only repeat a finding that the source has shown already.
        functions_to_try = {}
        for name, function in specified.items():
            findings = [*check_result(function, files), *check_columns(function, files)]
            if isinstance(function, PooledFunction) and function.derived_from is None:
                findings += check_source(function, files)
            self._report(*findings, *(check_disclosure(function, files) if function.derived_from is None else ()))
            if not findings:
                functions_to_try[name] = function
        if self._has_trial:
            self._try_functions(functions_to_try)

    def report_timeout(self, seconds: float) -> None:
        """Report the line where the import or the trial call hangs."""
        frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001  # no public function does this
        stack = traceback.extract_stack(frame) if frame else []
        reason = f"the import did not finish within {seconds:g} s"
        if self._trial is not None:
            if self._trial.has_many_calls:
                self._send(CheckMessage(not_tried=self._trial.describe_timeout(seconds)))
                return
            reason = f"{self._trial.prefix}it did not finish within {seconds:g} s"
            file, line = self._find_last_author_line(stack)
            location = (self._trial.file, self._trial.line) if line is None else (file, line)
            self._report(Finding.of("never-finishes", *location, reason))
        elif self._is_importing:
            self._report(Finding.of("import-fails", *self._find_last_author_line(stack), reason))

    def _report(self, *findings: Finding) -> None:
        """Send findings, with their paths relative to the project."""
        for finding in findings:
            self._send(CheckMessage(finding=msgspec.structs.replace(finding, file=self._shorten(finding.file))))

    def _shorten(self, file: str) -> str:
        return relative_path(file, self._root) if os.path.isabs(file) else file

    @property
    def _root(self) -> Path:
        return self._project or self._source or Path.cwd()

    @property
    def _naming_file(self) -> str:
        """The file that names the algorithm's module."""
        return "pyproject.toml" if self._project else self._location.module

    def _import(self) -> Finding | None:
        """Import the algorithm; return a finding if the import fails."""
        try:
            locate.load(self._location)
        except AlgorithmNotFound as error:
            if self._location.module in sys.modules:
                return None  # no function is registered: `_check_registration` reports it
            way_out = 'Remove ":" and the text after it.' if ":" in self._location.module else ""
            reason = error.message.partition(" under ")[0]
            return Finding.of("module-not-found", self._naming_file, None, reason, way_out)
        except AlgorithmImportError as error:
            return self._import_finding(error.__context__ or error)
        except DeclarationError as error:
            if self._location.module in sys.modules:
                return None  # an annotation: `_is_specified` reports it
            return _make_refusal_finding(error, *self._locate_error(error))
        except AlgotoolsError as error:
            return self._import_finding(error)
        return None

    def _import_finding(self, error: BaseException) -> Finding:
        file, line = self._locate_error(error)
        rule, way_out = "import-fails", ""
        if isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            if self._source and ((self._source / top).exists() or (self._source / f"{top}.py").exists()):
                reason = f"this project has no module {error.name!r}"
            else:
                rule, way_out = "missing-dependency", f"Install the package that provides {top!r}, or correct the name."
                reason = f"{error.name!r} is imported, but is not installed in this environment"
        elif isinstance(error, SyntaxError) and error.filename:
            file, line, reason = error.filename, error.lineno, f"syntax error: {error.msg}"
        elif isinstance(error, SystemExit):
            reason = "the import ends the process (SystemExit)"
        else:
            text = " ".join(str(error).replace(f"{self._root}{os.sep}", "").split())
            reason = f"the import raises {type(error).__name__}{f': {text}' if text else ''}"
            if is_denial(error):
                reason += f" ({HINT})"
        return Finding.of(rule, file, line, reason, way_out)

    def _locate_error(self, error: BaseException) -> tuple[str, int | None]:
        """Return the innermost line of the author's code in a traceback, or the file that names the module.

        The import error of algotools may have no such line; its context is the author's exception.
        """
        frames = traceback.extract_tb(error.__traceback__)
        if error.__context__ is not None and not any(self._is_author_file(frame.filename) for frame in frames):
            frames = traceback.extract_tb(error.__context__.__traceback__)
        return self._find_last_author_line(frames)

    def _find_last_author_line(self, frames: Sequence[traceback.FrameSummary]) -> tuple[str, int | None]:
        author_frames = [frame for frame in frames if self._is_author_file(frame.filename)]
        return (author_frames[-1].filename, author_frames[-1].lineno) if author_frames else (self._naming_file, None)

    def _is_author_file(self, filename: str) -> bool:
        if "site-packages" in Path(filename).parts and self._project:
            return False
        if self._source is not None:
            return Path(filename).is_relative_to(self._source)
        return self._package in Path(filename).parts or Path(filename).stem == self._package

    @contextmanager
    def _record_refusals(self) -> Iterator[None]:
        """Record refused declarations instead of raising them.

        The decorators raise DeclarationError, which would end the import at the first fault. Here the undecorated
        function takes the place of the registered one, so a single import finds all refused declarations.
        """
        register = functions.register

        def try_register(
            function: Callable[..., Any],
            role: Role,
            name: str | None = None,
            options: Options = DEFAULTS,
        ) -> Any:
            try:
                return register(function, role, name, options)
            except DeclarationError as error:
                self._refuse(error, function, name)
                return function

        register_pooled = federated.register_pooled

        def try_register_pooled(
            function: Callable[..., Any], name: str | None, pooling: Pooling, *, secure: bool = False
        ) -> Any:
            try:
                return register_pooled(function, name, pooling, secure=secure)
            except DeclarationError as error:
                self._refuse(error, function, name)
                return function

        functions.register, federated.register_pooled = try_register, try_register_pooled
        try:
            yield
        finally:
            functions.register, federated.register_pooled = register, register_pooled

    def _refuse(self, error: DeclarationError, function: Callable[..., Any], name: str | None) -> None:
        self._refusals.append(_make_refusal_finding(error, *(locate_definition(function) or _locate_caller())))
        self._refused |= {n for n in (name, getattr(function, "__name__", None)) if n}

    def _is_specified(self, function: RegisteredFunction) -> bool:
        try:
            return function.specification is not None
        except DeclarationError as error:
            self._report(_make_refusal_finding(error, *(locate_definition(function) or ("", None))))
            return False

    def _check_registration(self, files: Sequence[SourceFile], registered: dict[str, RegisteredFunction]) -> None:
        unregistered = [
            Finding.of(
                "not-registered",
                str(file.path),
                function.lineno,
                f"{file.module} is not imported, so a task cannot call {function.name}",
                f"Import {file.module} in the package's __init__.py.",
            )
            for file in files
            if file.module not in sys.modules and not _is_test(file)
            for function in find_decorated(file)
        ]
        self._report(*unregistered)
        if not registered and not unregistered and not self._refused:
            file = sys.modules[self._location.module].__file__ or str(self._root / self._package)
            reason = f"{self._location.module!r} has no decorated function"
            self._report(Finding.of("no-functions", file, None, reason))

    def _try_functions(self, specified: dict[str, RegisteredFunction]) -> None:
        package_file = sys.modules[self._location.module].__file__
        folder = str(Path(package_file).parent) if package_file else None
        algorithm = Algorithm(self._location.module, specified, folder)
        TrialRunner(algorithm, self._nodes, self._table, self).run()
        self._trial = None

    def announce(self, text: str) -> None:
        """See ``TrialObserver``."""
        self._announce(text)

    def begin(self, function: RegisteredFunction, member: str, *, is_probe: bool = False) -> None:
        """See ``TrialObserver``."""
        file, line = locate_definition(function) or ("", None)
        name = function.derived_from or function.method
        self._trial = TrialCall(name, member, self._shorten(file), line, is_probe)
        self._send(CheckMessage(trial=self._trial))

    def report(self, outcome: Outcome) -> None:
        """See ``TrialObserver``."""
        if isinstance(outcome, Finding):
            self._report(outcome)
        elif isinstance(outcome, NotTried):
            self._send(CheckMessage(not_tried=outcome))

    def judge(self, verdict: Verdict) -> None:
        """See ``TrialObserver``."""
        self._send(CheckMessage(verdict=verdict))

    def note_arguments(self, chosen: ChosenArguments) -> None:
        """See ``TrialObserver``."""
        self._send(CheckMessage(chosen=chosen))

    def _find_installed_folder(self) -> Path | None:
        """Return the folder that an installed package is imported from."""
        file = getattr(sys.modules.get(self._package), "__file__", None)
        if not file:
            return None
        return Path(file).parents[1] if Path(file).name == "__init__.py" else Path(file).parent


def _make_refusal_finding(error: DeclarationError, file: str, line: int | None) -> Finding:
    """Return the finding for a refused declaration, whose message has the format ``reason; advice``."""
    reason, _, way_out = error.message.partition("; ")
    return Finding.of(error.rule, file, line, reason, f"{way_out[:1].upper()}{way_out[1:]}." if way_out else "")


def _is_test(file: SourceFile) -> bool:
    """Whether only the laptop uses a file (a test or a script), so a task cannot need its functions."""
    if "." not in file.module:
        return False
    names = [*file.path.parent.parts[-file.module.count(".") :], file.path.stem]
    return any(name in {"tests", "test", "conftest", "__main__"} or name.startswith("test_") for name in names)


def _locate_caller() -> tuple[str, int | None]:
    """Return the file and line of the innermost stack frame outside of algotools."""
    frames = traceback.extract_stack()
    outside = [frame for frame in frames if not Path(frame.filename).is_relative_to(PACKAGE)]
    return (outside[-1].filename, outside[-1].lineno) if outside else ("", None)


def main(target: str, limit: str, trial: str, folder: str, gate: str) -> NoReturn:
    """Examine an algorithm, then end the process together with all threads that the author's code started."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep the author's prints out of the stream of messages

    def send(message: CheckMessage) -> None:
        if message.is_step:
            timer.restart()
        out.write(msgspec.json.encode(message) + b"\n")
        out.flush()

    def announce(text: str) -> None:
        send(CheckMessage(announcement=text))
        os.read(int(gate), 1)

    def finish() -> NoReturn:
        send(CheckMessage(done=True))
        os._exit(0)  # threads of the author's code, and their atexit functions, could keep the process alive

    def stop() -> None:
        if examination is not None:
            examination.report_timeout(seconds)
        finish()

    examination: _Examination | None = None
    timer = StepTimer(seconds := float(limit), stop)
    try:
        location = locate.locate(target)
    except AlgorithmNotFound as error:
        send(CheckMessage(unknown=error.message))
        finish()
    try:
        project = Path(target).resolve() if Path(target).is_dir() else None
        has_trial = trial != "no-trial"
        folder_of_data = project or (location.file and location.file.parent)
        nodes = read_nodes(folder_of_data, msgspec.json.decode(trial, type=TrialSetup)) if has_trial else TrialNodes()
        examination = _Examination(location, project, nodes, has_trial, send, announce)
        # The sandbox comes before the first thread, because some parts of it hold only for the calling thread.
        missing = _confinement.confine(location, project, nodes.members, folder, seconds)
        announce(_describe_import(location.module, missing))
        send(CheckMessage(algorithm=location.module))
        examination.run()
    except Exception:  # an error of the check; errors of the author's code are findings
        send(CheckMessage(fault=traceback.format_exc()))
    finish()


def _describe_import(module: str, missing: Sequence[str]) -> str:
    if not missing:
        return f"imports {module} in a sandbox"
    extent = "without a sandbox" if NO_SANDBOX in missing else "in a sandbox"
    return f"imports {module} {extent}; {describe_missing(missing)}"


if __name__ == "__main__":
    if sys.path[0] in ("", os.getcwd()):
        sys.path.pop(0)  # the current folder: its files do not exist at a node
    main(*sys.argv[1:])
