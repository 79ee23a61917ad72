"""Starts a container's command again and again, each time in a process of its own.

Run by the interpreter that the commands are for; the modules named as arguments are imported once, and
every start is a fork of that. Requests and answers are lines of JSON on standard input and output: a
request has ``command`` (what would follow ``python -c``), ``environment`` and ``log`` (a file for both
streams), its answer is the exit status, below zero for a signal. An empty line is the end.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def run(command: str, environment: dict[str, str], log: str) -> int:
    """In the child: what ``python -c`` does."""
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
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return 0 if code is None else code if isinstance(code, int) else 1


def answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    answer("ready")
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
        answer(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
