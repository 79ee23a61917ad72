"""Workers of an engine are killed at random moments: every run has one outcome, and nothing is left behind."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import random
import re
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from algotools import Federation
from algotools.federation.contract.rest import RunRecord
from algotools.federation.folders import make_folder
from algotools.runtime.logs import read_failure

from ...processes import LIMIT, is_alive, wait_until, wait_until_dead
from .clusters import DaskCluster, start_dask

SEED = "ALGOTOOLS_TEST_SEED"
"""A variable that repeats the random choices of a failed test. The times at which processes run remain random."""

PROJECT = '''
"""A function that notes each of its executions."""

import os
import time

from algotools import RunInfo, rpc


def note(file: str, number: int, event: str) -> None:
    line = f"{number} {event} {time.time()} {os.getpid()} {os.getppid()}\\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


@rpc
def square(file: str, number: int, seconds: float, info: RunInfo) -> list[int]:
    note(file, number, "start")
    time.sleep(seconds)
    note(file, number, "end")
    return [number**2, info.organization_id]
'''

FRAMES = [pd.DataFrame({"age": [number]}) for number in range(3)]
RUNS = 60
RESTARTED = "was lost; the run starts again"


class Execution(NamedTuple):
    """A line that the function has written."""

    number: int
    event: str
    time: float
    pid: int
    parent: int


class Notes:
    """The file in which the function notes its executions."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> list[Execution]:
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []
        fields = (line.split() for line in lines)
        return [Execution(int(number), event, float(at), *map(int, pids)) for number, event, at, *pids in fields]

    def read_starts(self) -> dict[int, list[Execution]]:
        """Return the starts of each run."""
        starts: dict[int, list[Execution]] = {}
        for execution in self.read():
            if execution.event == "start":
                starts.setdefault(execution.number, []).append(execution)
        return starts

    def count_starts(self) -> int:
        return sum(map(len, self.read_starts().values()))


@pytest.fixture
def choices() -> random.Random:
    """The random choices of a test. Pytest prints the seed if the test fails."""
    seed = os.environ.get(SEED) or secrets.token_hex(4)
    print(f"repeat the choices with {SEED}={seed}")  # noqa: T201 - shown if the test fails
    return random.Random(seed)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "squares.py").write_text(PROJECT, encoding="utf-8")
    return tmp_path / "squares.py"


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "executions")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The TMPDIR of the test and of all processes that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def cluster(tmp_path: Path, temporary: Path) -> Iterator[DaskCluster]:
    (tmp_path / "cluster").mkdir()
    with start_dask(tmp_path / "cluster", workers=3, variables={"TMPDIR": str(temporary)}) as cluster:
        yield cluster


def post_runs(federation: Federation, notes: Notes, choices: random.Random, count: int) -> list[int]:
    """Post tasks for one organization each, and return their ids."""
    client, ids = federation.client(), []
    for number in range(count):
        arguments = {"file": str(notes.file), "number": number, "seconds": choices.uniform(0.0, 0.3)}
        input_ = {"method": "square", "kwargs": arguments, "master": False}
        ids.append(client.task.create(1, [2 + number % len(FRAMES)], input=input_)["id"])
    return ids


def list_runs(federation: Federation, tasks: list[int]) -> list[RunRecord]:
    return [run for task in tasks for run in federation.task(task).runs]


def check_outcome(federation: Federation, run: RunRecord, number: int, starts: list[Execution]) -> None:
    """Check that a run has one final status, the right result, and a line for each execution after the first one."""
    failure = read_failure(run.log)
    if run.status == "completed":
        assert failure is None
        assert federation.answer(run) == [number**2, run.organization_id]
        assert starts
    else:
        assert (run.status, run.output, failure is not None and failure.exit_code) == ("crashed", b"", 44), run.log
    assert run.log.count("algotools.failure ") == (run.status != "completed")
    assert run.log.count(RESTARTED) >= len(starts) - 1
    assert run.finished_at is not None
    finished = datetime.datetime.fromisoformat(run.finished_at).replace(tzinfo=datetime.timezone.utc).timestamp()
    assert all(start.time <= finished for start in starts)


# --- What is left behind ---


def list_marked_processes(temporary: Path) -> set[int]:
    """Return the living processes that were started with a folder for temporary files."""
    pids = set()
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables, command = file.read_bytes().split(b"\0"), file.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if f"TMPDIR={temporary}".encode() in variables and PRELOADED not in command:
            pids.add(int(file.parent.name))
    return set(filter(is_alive, pids))


def list_sockets(pid: int | str = "self") -> dict[str, str]:
    """Return the TCP sockets of a process: inode -> state."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        except OSError:
            continue
        if match:
            inodes.add(match[1])
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[9]: row[3] for row in rows if row[9] in inodes}


PRELOADED = b"tests/preloaded.py"
"""A process that all tests share, and that the first test starts."""
REMOVAL_LIMIT = 60.0
"""Seconds in which a process of an engine must remove its files."""
DASK_FOLDER = "dask-scratch-space"
"""The folder of Dask's own scheduler, which the test starts."""
CLOSE_WAIT = "08"
"""The state of a socket whose other end is closed, while this end is still open."""


def check_nothing_left(temporary: Path, notes: Notes, living: set[int], sockets_before: set[str]) -> None:
    """Check processes, files and sockets after a federation is closed.

    Args:
        temporary: the TMPDIR of all processes.
        notes: the executions.
        living: the processes that belong to the test, not to the federation.
        sockets_before: the TCP sockets of this process before the federation existed.
    """
    wait_until_dead({pid for execution in notes.read() for pid in (execution.pid, execution.parent)})
    wait_until(lambda: list_marked_processes(temporary) <= living, REMOVAL_LIMIT)
    # A process that is killed before it has started its guard leaves an empty folder to the next federation.
    with_next = make_folder(temporary)
    with_next.rmdir()

    def list_files() -> list[Path]:
        return [path for path in temporary.rglob("*") if DASK_FOLDER not in path.relative_to(temporary).parts]

    with contextlib.suppress(AssertionError):
        wait_until(lambda: not list_files(), REMOVAL_LIMIT)
    assert list_files() == []
    assert set(list_sockets()) <= sockets_before
    wait_until(lambda: not any(CLOSE_WAIT in list_sockets(pid).values() for pid in living if is_alive(pid)))
    assert "engine gateway" not in [thread.name for thread in threading.enumerate()]


# --- Dask ---


def kill_workers(
    cluster: DaskCluster, notes: Notes, choices: random.Random, federation: Federation, tasks: list[int]
) -> int:
    """Kill and replace workers until all runs have a final status; return the number of kills.

    Some runs start between two kills. Otherwise a slow machine would kill each worker before it can do anything.
    """
    kills, next_count = 0, choices.randint(1, 6)
    deadline = time.monotonic() + LIMIT
    while not all(run.finished_at for run in list_runs(federation, tasks)):
        assert time.monotonic() < deadline, f"{kills} kills, {notes.count_starts()} executions"
        if notes.count_starts() < next_count:
            time.sleep(0.02)
            continue
        time.sleep(choices.uniform(0.0, 0.3))
        worker = cluster.workers.pop(choices.randrange(len(cluster.workers)))
        worker.kill()
        worker.wait()
        cluster.start_worker()
        kills += 1
        next_count = notes.count_starts() + choices.randint(6, 14)
    return kills


@pytest.mark.cluster
def test_workers_of_dask_that_are_killed_at_random(
    cluster: DaskCluster, temporary: Path, project: Path, notes: Notes, choices: random.Random
) -> None:
    sockets = set(list_sockets())
    with Federation(FRAMES, algorithm=project, runner="dask", scheduler=cluster.file) as federation:
        tasks = post_runs(federation, notes, choices, RUNS)
        kills = kill_workers(cluster, notes, choices, federation, tasks)
        runs, starts = list_runs(federation, tasks), notes.read_starts()
        for number, run in enumerate(runs):
            check_outcome(federation, run, number, starts.get(number, []))
    summary = {
        "kills": kills,
        "executions": notes.count_starts(),
        "restarts": sum(run.log.count(RESTARTED) for run in runs),
        "completed": sum(run.status == "completed" for run in runs),
    }
    print(json.dumps(summary))  # noqa: T201 - shown if the test fails
    assert len(runs) == RUNS
    assert kills >= 3
    assert summary["completed"] >= RUNS - kills  # a run fails only if three of its workers were killed
    check_nothing_left(temporary, notes, {process.pid for process in cluster.processes}, sockets)
    assert notes.read_starts() == starts  # no run was executed after its final status


# --- A pool that breaks ---


def test_a_pool_that_breaks_at_a_random_moment(
    temporary: Path, project: Path, notes: Notes, choices: random.Random
) -> None:
    sockets = set(list_sockets())
    with (
        ProcessPoolExecutor(3) as pool,
        Federation(FRAMES, algorithm=project, runner=pool) as federation,
    ):
        tasks = post_runs(federation, notes, choices, 15)
        count = choices.randint(1, 6)
        wait_until(lambda: notes.count_starts() >= count)
        time.sleep(choices.uniform(0.0, 0.2))
        processes = list(pool._processes)
        os.kill(choices.choice(processes), signal.SIGKILL)
        for task in tasks:
            assert federation.wait(task, LIMIT)
        tasks += post_runs(federation, notes, choices, 1)  # the pool remains broken
        assert federation.wait(tasks[-1], LIMIT)
        runs, starts = list_runs(federation, tasks), notes.read_starts()
        for number, run in enumerate(runs[:-1]):
            check_outcome(federation, run, number, starts.get(number, []))
        failures = {read_failure(run.log) for run in runs} - {None}
    assert runs[-1].status == "crashed"
    assert len(failures) == 1, failures
    assert "the engine accepts no calls any more; create a new one" in str(failures)
    assert all(len(executions) == 1 for executions in starts.values())
    wait_until_dead(processes)
    check_nothing_left(temporary, notes, set(), sockets)
    assert notes.read_starts() == starts
