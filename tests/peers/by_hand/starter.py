"""Start the command of a container repeatedly, each time in a new process.

The modules in the arguments are imported once, and every start is a fork of this process. Requests and replies are
lines of JSON on standard input and output. A request has ``command`` (the code for ``python -c``), ``environment`` and
``log`` (a file for both streams). The reply is the exit status, negative for a signal. An empty line stops the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def run(command: str, environment: dict[str, str], log: str) -> int:
    """Run a command in the child process like ``python -c``."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv = ["-c"]
    code: object = 0
    try:
        exec(command, {"__name__": "__main__"})
    except SystemExit as exit_request:
        code = exit_request.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return 0 if code is None else code if isinstance(code, int) else 1


def write_reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    write_reply("ready")
    for line in iter(sys.stdin.readline, "\n"):
        if not line:
            return
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = run(**json.loads(line))
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        write_reply(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
