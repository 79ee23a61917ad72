"""Processes that have imported slow libraries, and fork a process for each request without these imports.

A *server* is such a process. It forks one kind of process: commands, template processes of the runner `process`, child
processes of ``algotools check``, or sessions of pytest. Everything after the imports is the code that runs in a new
interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

MAXIMUM = 1 << 17
"""Bytes of a request: arguments, folder and environment of a process."""

MODULES = {
    "command": [
        "pandas",
        "typer._adapters",
        "algotools.cli._app",
        "algotools.cli._history",
        "algotools.data.csv",
        "algotools.disclosure.probes",
        "algotools.disclosure.reductions",
        "algotools.federation.runners.inline",
        "algotools.federation.runners.process",
        "algotools.project.check",
        "algotools.project.scaffold",
        "cookiecutter.main",
        "algotools.runtime.dispatch.perform",
    ],
    "template": ["pandas", "algotools.federation.runners._template", "algotools.data.csv"],
    "pytest": ["pandas", "pyarrow", "pytest"],  # pytest rewrites the modules of its plugins, so they are not imported
    "check": ["pandas", "algotools.data.csv", "algotools.project.check._functions"],
}
"""Kind of a server -> the modules that it imports. A new interpreter imports them when they are needed."""

ENGINE_MODULES = ["algotools.image.build", "algotools.image.inspect", "algotools.image.push"]
ENGINE_COMMANDS = {"build", "push", "inspect", "container", "--as-node"}
"""Arguments of the commands that use a container engine. The first one makes the server import these modules."""

READ_AT_START = ("FORCE_", "LANG", "LC_", "PYTHON", "TERM")
"""Beginnings of the names of variables that Python or a library reads once, so the process needs a new interpreter."""


class ForkedProcess:
    """A process that a server has forked, with the methods of ``subprocess.Popen`` that its users call."""

    def __init__(self, status: int, stdout: int | None = None) -> None:
        self._status = os.fdopen(status, encoding="utf-8")
        self.stdout = None if stdout is None else os.fdopen(stdout, "rb")
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit of the process, and return its code."""
        if self.returncode is None:
            poll = select.poll()  # `select.select` refuses descriptors above 1,023
            poll.register(self._status)
            if timeout is not None and not poll.poll(timeout * 1000):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            self.returncode = int(self._status.readline())  # waits for the line
            self._status.close()
        return self.returncode


def can_fork(variables: Mapping[str, str]) -> bool:
    """Whether a process with these variables can be forked; otherwise it needs a new interpreter."""
    known = _get_variables()
    return all(known.get(name) == value for name, value in variables.items() if name.startswith(READ_AT_START))


def run_command(
    arguments: Sequence[str],
    cwd: Path | None,
    variables: Mapping[str, str],
    text: str,
    timeout: float,
    *,
    output: int | None = None,
    error: int | None = None,
    is_strict: bool = False,
    kind: str = "command",
) -> subprocess.CompletedProcess[str]:
    """Run ``algotools`` with arguments, and return what ``subprocess.run`` with ``capture_output`` returns.

    The streams of the command lead to the descriptors *output* and *error*; default: they are captured. With
    ``is_strict``, each file and socket that the command leaves open is reported on standard error. The server of the
    *kind* forks the process.
    """
    pipes = [os.pipe() for _ in range(3)]
    (stdin, input_end), (output_end, stdout), (error_end, stderr) = pipes
    descriptors = {0: stdin, 1: stdout if output is None else output, 2: stderr if error is None else error}
    try:
        folder = str(cwd or Path.cwd())
        process = _fork(
            _start_server(kind), arguments, descriptors, variables, folder, is_leader=False, is_strict=is_strict
        )
    finally:
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
    captured: dict[int, str] = {}
    threads = [threading.Thread(target=_write, args=(input_end, text))]
    threads += [threading.Thread(target=_read, args=(end, captured)) for end in (output_end, error_end)]
    for thread in threads:
        thread.start()
    try:
        code, is_complete = process.wait(timeout), True
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        code, is_complete = process.wait(), False
    for thread in threads:
        thread.join()
    if not is_complete:
        raise subprocess.TimeoutExpired(list(arguments), timeout, captured[output_end], captured[error_end])
    return subprocess.CompletedProcess(list(arguments), code, captured[output_end], captured[error_end])


def run_pytest(
    arguments: Sequence[str], cwd: Path, variables: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m pytest`` with arguments, and return what ``subprocess.run`` with ``capture_output`` returns."""
    if can_fork(variables):
        return run_command(arguments, cwd, variables, "", timeout, kind="pytest")
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, check=False, timeout=timeout, env=dict(variables)
    )


def use_preloaded_processes(find_server: Callable[[str], socket.socket] | None = None) -> None:
    """Let servers fork the template processes and the child processes of checks that this process starts.

    Args:
        find_server: returns the server of a kind; default: start a server when it is needed.
    """
    from algotools.federation.runners import _template_process
    from algotools.project import check

    find = find_server or _start_server
    start_template, start_check = _template_process._start_interpreter, check._start_interpreter

    def fork_template(arguments: Sequence[str], descriptors: Sequence[int]) -> Any:
        if not can_fork(os.environ):
            return start_template(arguments, descriptors)
        with open(os.devnull, "rb") as null:
            passed = {0: null.fileno(), **{number: number for number in (1, 2, *descriptors)}}
            return _fork(find("template"), arguments, passed, os.environ, os.getcwd())

    def fork_check(arguments: Sequence[str], descriptors: Sequence[int], variables: Mapping[str, str]) -> Any:
        if not can_fork(variables):
            return start_check(arguments, descriptors, variables)
        output_end, stdout = os.pipe()
        with open(os.devnull, "r+b", buffering=0) as null, open(stdout, "wb"):
            passed = {0: null.fileno(), 1: stdout, 2: null.fileno(), **{number: number for number in descriptors}}
            return _fork(find("check"), arguments, passed, variables, os.getcwd(), output=output_end)

    _template_process._start_interpreter, check._start_interpreter = fork_template, fork_check


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _read(descriptor: int, captured: dict[int, str]) -> None:
    with open(descriptor, encoding="utf-8") as stream:
        captured[descriptor] = stream.read()


def _fork(
    server: socket.socket,
    arguments: Sequence[str],
    descriptors: Mapping[int, int],
    variables: Mapping[str, str],
    cwd: str,
    *,
    is_leader: bool = True,
    is_strict: bool = False,
    output: int | None = None,
) -> ForkedProcess:
    """Let a server fork a process.

    Args:
        server: the socket for requests to the server.
        arguments: the arguments of the process.
        descriptors: descriptor in the process -> descriptor of this process.
        variables: all environment variables of the process.
        cwd: its working directory.
        is_leader: whether it has a session and a group of its own.
        is_strict: whether it reports files and sockets that it leaves open.
        output: the end of a pipe at which this process reads what the process writes.
    """
    request = {
        "arguments": list(arguments),
        "descriptors": list(descriptors),
        "variables": dict(variables),
        "cwd": cwd,
        "is_leader": is_leader,
        "is_strict": is_strict,
    }
    status_end, status = os.pipe()
    with open(status, "wb"):
        socket.send_fds(server, [json.dumps(request).encode()], [status, *descriptors.values()])
    return ForkedProcess(status_end, output)


@cache
def _get_variables() -> dict[str, str]:
    """Return the variables of the servers' interpreters."""
    return dict(os.environ)


@cache
def _start_server(kind: str) -> socket.socket:
    """Start a server, and return the socket for its requests. The server stops when the socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Commands start templates and checks, so the server of commands passes on the sockets of the other servers.
    others = {name: _start_server(name).fileno() for name in ("template", "check")} if kind == "command" else {}
    command = [sys.executable, __file__, kind, str(theirs.fileno()), json.dumps(others)]
    pipe = subprocess.PIPE  # Python's standard streams are made for pipes, like those of a command
    variables = {**_get_variables(), "OPENBLAS_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    descriptors = [theirs.fileno(), *others.values()]
    process = subprocess.Popen(command, env=variables, pass_fds=descriptors, stdin=pipe, stdout=pipe, stderr=pipe)
    theirs.close()

    def stop() -> None:
        ours.shutdown(socket.SHUT_RDWR)  # processes of the server of commands may have copies of the socket
        ours.close()
        process.communicate()

    atexit.register(stop)
    return ours


def _serve(requests: socket.socket, kind: str) -> tuple[list[str], bool]:
    """Fork a process for each request. In that process the function returns the arguments and ``is_strict``."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, MAXIMUM, 16)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if kind == "command" and ENGINE_COMMANDS & {*request["arguments"]}:
            for name in ENGINE_MODULES:
                importlib.import_module(name)
        if os.fork() == 0:
            requests.close()
            if os.fork() == 0:
                _prepare(request, *descriptors)
                return request["arguments"], request["is_strict"]
            status, *others = descriptors
            for descriptor in others:
                os.close(descriptor)
            code = os.waitstatus_to_exitcode(os.wait()[1])
            with contextlib.suppress(BrokenPipeError):
                os.write(status, f"{code}\n".encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _prepare(request: dict[str, Any], status: int, *descriptors: int) -> None:
    """Give this process the descriptors, folder and variables of a request, and report its id."""
    highest = max(*request["descriptors"], status, *descriptors) + 1
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, highest) for descriptor in (status, *descriptors)]
    for descriptor in (status, *descriptors):
        os.close(descriptor)
    for copy, target in zip(copies[1:], request["descriptors"], strict=True):
        os.dup2(copy, target)
        os.close(copy)
    if request["is_leader"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["variables"])
    with open(copies[0], "wb") as stream:
        stream.write(f"{os.getpid()}\n".encode())
    if request["is_strict"]:
        warnings.simplefilter("error", ResourceWarning)


def _main(kind: str, descriptor: str, others: str) -> None:
    """Serve one kind of process. In a forked process, run its code."""
    for name in MODULES[kind]:
        importlib.import_module(name)
    if kind == "template":
        from algotools.federation.runners import _template

        _template.preload()
    _get_variables()
    sys.path[0] = ""  # as with `python -c`
    servers = {name: socket.socket(fileno=number) for name, number in json.loads(others).items()}
    # The garbage collector writes to every object that it examines, so processes would copy the server's memory.
    gc.freeze()
    arguments, is_strict = _serve(socket.socket(fileno=int(descriptor)), kind)
    if kind == "command":
        from algotools.cli import main

        use_preloaded_processes(servers.__getitem__)
        sys.argv = ["-c", *arguments]
        try:
            main()
        except SystemExit as request:
            if is_strict:  # objects that are still in use are reported when their memory is freed
                raise
            _exit(request.code)
    elif kind == "pytest":
        import pytest

        sys.path[0] = os.getcwd()
        sys.argv = [str(Path(pytest.__file__).with_name("__main__.py")), *arguments]
        _exit(int(pytest.main()))
    elif kind == "template":
        if os.fork():  # as in `_template_process`
            os._exit(0)
        _template.main(*arguments)
    else:
        from algotools.project.check import _functions

        del sys.path[0]  # as in `_functions`
        _functions.main(*arguments)


def _exit(code: Any) -> None:
    """End the process as Python does, but leave the memory to the kernel: to free pandas takes 70 ms."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):  # `main` has reported it
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main(*sys.argv[1:])
