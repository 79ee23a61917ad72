"""A process that has imported the command line and pandas, and forks a process for each command without imports."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

MAXIMUM = 1 << 17
"""Bytes of a request: arguments, folder and environment of a command."""


USE_ENGINE = {"build", "push", "inspect", "container", "--as-node"}
"""Arguments of the commands that use a container engine."""


def run_command(
    arguments: Sequence[str],
    cwd: Path | None,
    variables: Mapping[str, str],
    text: str,
    timeout: float,
    *,
    is_strict: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``algotools`` with arguments, and return what ``subprocess.run`` with ``capture_output`` returns.

    With ``is_strict``, each file and socket that the command leaves open is reported on standard error.
    """
    request = {"arguments": list(arguments), "cwd": str(cwd or Path.cwd()), "variables": dict(variables)}
    request["is_strict"] = is_strict
    pipes = [os.pipe() for _ in range(4)]  # standard input, output and error; process id and exit code
    (stdin, input_end), (output_end, stdout), (error_end, stderr), (status_end, status) = pipes
    try:
        socket.send_fds(_start_server(), [json.dumps(request).encode()], [stdin, stdout, stderr, status])
    finally:
        for descriptor in (stdin, stdout, stderr, status):
            os.close(descriptor)
    captured: dict[int, str] = {}
    threads = [threading.Thread(target=_write, args=(input_end, text))]
    threads += [threading.Thread(target=_read, args=(end, captured)) for end in (output_end, error_end)]
    for thread in threads:
        thread.start()
    with open(status_end, encoding="utf-8") as lines:
        pid = int(lines.readline())
        is_complete = bool(select.select([status_end], [], [], timeout)[0])
        if not is_complete:
            os.kill(pid, signal.SIGKILL)
        code = int(lines.readline())
    for thread in threads:
        thread.join()
    if not is_complete:
        raise subprocess.TimeoutExpired(list(arguments), timeout, captured[output_end], captured[error_end])
    return subprocess.CompletedProcess(list(arguments), code, captured[output_end], captured[error_end])


def _write(descriptor: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _read(descriptor: int, captured: dict[int, str]) -> None:
    with open(descriptor, encoding="utf-8") as stream:
        captured[descriptor] = stream.read()


@cache
def _start_server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, __file__, str(theirs.fileno())]
    pipe = subprocess.PIPE  # Python's standard streams are made for pipes, like those of a command
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a process with threads cannot fork safely
    process = subprocess.Popen(command, env=variables, pass_fds=[theirs.fileno()], stdin=pipe, stdout=pipe, stderr=pipe)
    theirs.close()

    def stop() -> None:
        ours.close()
        process.communicate()

    atexit.register(stop)
    return ours


def _serve(requests: socket.socket) -> None:
    """Fork a process for each request. In that process the function returns after its command is prepared."""
    while True:
        message, descriptors, *_ = socket.recv_fds(requests, MAXIMUM, 4)
        if not message:
            os._exit(0)
        request = json.loads(message)
        if USE_ENGINE & {*request["arguments"]}:
            import algotools.image.build
            import algotools.image.inspect
            import algotools.image.push  # noqa: F401 - the commands import these modules and their libraries
        if os.fork() == 0:
            pid = os.fork()
            if pid == 0:
                requests.close()
                _prepare(request, descriptors)
                return
            os.write(descriptors[3], f"{pid}\n".encode())
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.write(descriptors[3], f"{code}\n".encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _prepare(request: dict[str, object], descriptors: list[int]) -> None:
    for target, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, target)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["variables"])  # type: ignore[arg-type]
    sys.argv = ["-c", *request["arguments"]]  # type: ignore[misc]
    if request["is_strict"]:
        warnings.simplefilter("error", ResourceWarning)


if __name__ == "__main__":
    import pandas  # noqa: F401 - the runner `inline` reads tables with pandas

    import algotools.cli._app  # noqa: F401 - `main` imports it for each command
    from algotools.cli import main

    sys.path[0] = ""  # as with `python -c`
    _serve(socket.socket(fileno=int(sys.argv[1])))
    main()
