"""Engines for tests: real executors whose calls run in processes of this machine, and that survive a killed process."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

HIDE = """
import sys

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hider())
"""
"""Lets an interpreter act as if the package *name* were not installed."""

_CALL = """
import pickle, sys
function, arguments = pickle.load(sys.stdin.buffer)
try:
    result = function(*arguments)
except Exception as error:
    result = error
sys.stdout.buffer.write(pickle.dumps(result))
"""


class ProcessPerCall(Executor):
    """Runs each call in a new interpreter. If the process is killed, the call fails, and the executor stays usable.

    Args:
        repeats: how many processes run each call at the same time.
        hidden: a package that the processes cannot import.
    """

    def __init__(self, repeats: int = 1, hidden: str = "") -> None:
        self._repeats = repeats
        self._code = (HIDE.format(name=hidden) if hidden else "") + _CALL
        self.processes: list[subprocess.Popen[bytes]] = []
        self.outputs: list[object] = []
        """The result of each process that has finished."""
        self._failures: list[int] = []
        self.calls: list[tuple[Any, ...]] = []
        """The arguments of each call."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        assert not keywords
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.calls.append(arguments)
        content = pickle.dumps((function, arguments))
        threading.Thread(target=self._run_all, args=(future, content), daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures
        for process in self.processes:
            process.kill()
        if wait:
            for process in self.processes:
                process.wait()

    def _run_all(self, future: Future[Any], content: bytes) -> None:
        threads = [threading.Thread(target=self._run, args=(content,), daemon=True) for _ in range(self._repeats)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self._failures:
            future.set_exception(RuntimeError(f"a process ended with {self._failures[-1]}"))
        elif isinstance(error := self.outputs[-1], Exception):
            future.set_exception(error)
        else:
            future.set_result(self.outputs[-1])

    def _run(self, content: bytes) -> None:
        command = [sys.executable, "-c", self._code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.processes.append(process)
        output, _ = process.communicate(content)
        if process.returncode:
            self._failures.append(process.returncode)
        else:
            self.outputs.append(pickle.loads(output))
