"""Engines that fail, that stop in the middle of a run, or that have other files than the federation."""

from __future__ import annotations

import io
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsFailed, __version__
from algotools.federation._results import parse_databases
from algotools.federation.engines import relay
from algotools.federation.engines._connections import CONTROL, Ticket, connect
from algotools.federation.engines._handshake import Hello, Offer, Ready, StartWorker
from algotools.runtime.dispatch.messages import receive, send

from ...conftest import AVERAGE
from ...processes import LIMIT, wait_until


class TicketReader(pickle.Unpickler):
    """Reads the ticket of a packed call without making the call."""

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        return (lambda ticket: ticket) if found is relay.execute else found


class ReplacingExecutor(Executor):
    """Calls another function instead of the one that is submitted."""

    def __init__(self, replacement: Callable[[Ticket], Any]) -> None:
        self._replacement = replacement

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Any:
        del function, keywords
        return self._replacement(TicketReader(io.BytesIO(arguments[0])).load())


def write_ages(folder: Path, first: int) -> Path:
    folder.mkdir()
    file = folder / "ages.csv"
    pd.DataFrame({"age": range(first, first + 12)}).to_csv(file, index=False)
    return file


def run_sum(file: Path, executor: Executor) -> Any:
    with Federation([file], algorithm=AVERAGE, runner=executor) as federation:
        return federation.run("average_partial", column_name="age", timeout=LIMIT)


@pytest.mark.parametrize("error", [ValueError("a word"), OSError(5, "a word")])
def test_an_executor_that_raises_in_submit_is_named(tmp_path: Path, error: Exception) -> None:
    def fail(_: Ticket) -> None:
        raise error

    expected = (
        rf"\(ReplacingExecutor\) does not accept the call: submit\(\) raised {type(error).__name__} \[exit code 62"
    )
    with pytest.raises(RunsFailed, match=expected) as caught:
        run_sum(write_ages(tmp_path / "data", 20), ReplacingExecutor(fail))
    assert "Traceback" not in str(caught.value)


def test_an_executor_that_returns_no_future_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunsFailed, match=r"returned a value of the type NoneType; an executor returns"):
        run_sum(write_ages(tmp_path / "data", 20), ReplacingExecutor(lambda _: None))


# --- A process of the engine that stops responding, as after SIGSTOP ---


def stop_before_hello(_: Any) -> None:
    return


def stop_before_ready(connection: Any) -> None:
    send(connection, Hello(__version__, "3.10", "host"))
    receive(connection, Offer)


def stop_before_started(connection: Any) -> None:
    stop_before_ready(connection)
    send(connection, Ready(folder="/nowhere"))
    receive(connection, StartWorker)


@pytest.mark.parametrize("talk", [stop_before_hello, stop_before_ready, stop_before_started])
def test_a_cancelled_run_does_not_wait_for_a_process_that_has_stopped(
    tmp_path: Path, talk: Callable[[Any], None]
) -> None:
    has_stopped, released = threading.Event(), threading.Event()

    def stop(ticket: Ticket) -> None:
        with connect(ticket, CONTROL) as connection:
            talk(connection)
            has_stopped.set()
            released.wait(LIMIT)

    before = set(threading.enumerate())
    with (
        ThreadPoolExecutor(1) as pool,
        Federation(
            [write_ages(tmp_path / "data", 20)],
            algorithm=AVERAGE,
            runner=ReplacingExecutor(lambda ticket: pool.submit(stop, ticket)),
        ) as federation,
    ):
        databases = parse_databases(["default"])
        request = federation.prepare("average_partial", [2], databases, {"column_name": "age"})
        task = federation.post([2], request, databases)
        try:
            assert has_stopped.wait(LIMIT)
            runs = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("run ")]
            federation.kill(task.id)
            assert runs
            wait_until(lambda: not any(thread.is_alive() for thread in runs), 10)
            assert federation.task(task.id).runs[0].status == "killed by user"
        finally:
            released.set()


# --- Files ---


def test_a_process_that_has_another_file_at_the_same_path_receives_the_federations(tmp_path: Path, monkeypatch) -> None:
    # `/proc/self/cwd` is a different folder for each process, as a disk of its own is for each machine.
    here, elsewhere = write_ages(tmp_path / "here", 20), write_ages(tmp_path / "elsewhere", 70)
    assert here.stat().st_size == elsewhere.stat().st_size
    monkeypatch.chdir(here.parent)
    with ProcessPoolExecutor(1, initializer=os.chdir, initargs=(elsewhere.parent,)) as pool:
        pool.submit(os.getpid).result()
        (result,) = run_sum(Path("/proc/self/cwd/ages.csv"), pool)
    assert result == {"sum": sum(range(20, 32)), "count": 12}
