"""Many nodes on one machine: no copies of data, runs that queue, limits, and nothing left between two tasks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Database, Federation, RunsFailed, master, rpc
from algotools.contract.platform import Run
from algotools.errors import FederationError
from algotools.federation import Dead, owner
from algotools.federation.runners import process

from ..conftest import ALGORITHMS

COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3
"""Whether pandas lets two frames share their values without either seeing what is done to the other."""

going: list[int] = []
"""One for each run of ``counts_who_goes`` that goes on."""


@rpc
def part_of_mean(data: pd.DataFrame, column: Column) -> dict[str, float]:
    return {"sum": data[column].sum(), "count": data[column].size}


@master
def mean_of_all(client: AlgorithmClient, column: str) -> float:
    parts = client.run(part_of_mean, column=column)
    return sum(part["sum"] for part in parts) / sum(part["count"] for part in parts)


@rpc
def address(data: pd.DataFrame) -> int:
    return data["x"].to_numpy().ctypes.data


@rpc
def overwrites(data: pd.DataFrame) -> list[float]:
    seen = data["x"].tolist()
    data.loc[:, "x"] = -1.0
    data["y"] = 0
    return seen


@rpc
def has_a_file(data: Database) -> bool:
    return Path(data.uri).stat().st_size > 0


@rpc
def counts_who_goes(data: Database) -> int:
    going.append(1)
    time.sleep(0.02)
    most = len(going)
    going.pop()
    return most


@rpc
def takes_memory(data: Database, megabytes: int) -> float:
    return float(np.ones(megabytes << 17).sum())


@rpc
def takes_it_bit_by_bit(data: Database) -> int:
    kept = []
    while True:
        kept.append(bytearray(1 << 20))


@rpc
def draws(data: Database) -> float:
    return float(np.random.random())  # noqa: NPY002 - as many authors still do


@rpc
def sleeps(data: Database, seconds: float) -> None:
    time.sleep(seconds)


@master
def waits_for_sleepers(client: AlgorithmClient) -> int:
    return len(client.run(sleeps, seconds=60.0))


FUNCTIONS = [
    part_of_mean, mean_of_all, address, overwrites, has_a_file, counts_who_goes, takes_memory, takes_it_bit_by_bit,
    draws, sleeps, waits_for_sleepers,
]  # fmt: skip


def frames(count: int) -> list[pd.DataFrame]:
    return [pd.DataFrame({"x": np.arange(3.0) + position, "z": "text"}) for position in range(count)]


@pytest.mark.parametrize(("runner", "count"), [("inline", 1000), ("process", 100)])
def test_a_master_asks_very_many_nodes(runner: str, count: int) -> None:
    made = frames(count)
    with Federation(made, algorithm=FUNCTIONS, runner=runner) as federation:
        mean = federation.ask(mean_of_all, column="x")
    assert mean == pytest.approx(pd.concat(made)["x"].mean(), rel=1e-12)


def test_a_frame_is_not_copied_for_its_node() -> None:
    frame = frames(1)[0]
    with Federation([frame], algorithm=FUNCTIONS) as federation:
        [there] = federation.run(address)
        assert (there == address(frame)) == COPIES_ON_WRITE
        assert [*federation._folder.rglob("*.frame")] == [] or not COPIES_ON_WRITE


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_what_a_function_or_the_caller_does_to_a_frame_is_theirs_alone(runner: str) -> None:
    frame = frames(1)[0]
    with Federation([frame], algorithm=FUNCTIONS, runner=runner) as federation:
        assert [federation.run(overwrites), federation.run(overwrites)] == [[[0.0, 1.0, 2.0]]] * 2
        assert list(frame.columns) == ["x", "z"]
        frame.loc[0, "x"] = 77.0
        assert federation.run(overwrites) == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_frame_is_in_a_file_for_a_function_that_wants_one(runner: str) -> None:
    with Federation(frames(2), algorithm=FUNCTIONS, runner=runner) as federation:
        assert federation.run(has_a_file) == [True, True]


def test_a_frame_is_in_no_file_for_runs_that_see_it_and_an_algorithm_is_imported_anew_by_each() -> None:
    """In an interpreter of its own: in this one Polars may have been at work, of which no copies are made."""
    script = f"""
import pandas as pd
from algotools import Federation
frames, algorithm = [pd.DataFrame({{"x": [1]}})] * 2, {str(ALGORITHMS / "misbehaving")!r}
with Federation(frames, algorithm=algorithm, runner="process") as federation:
    assert federation.role_of("imported_as") == "rpc"  # imported here, too
    assert len({{*federation.run("imported_as"), *federation.run("imported_as")}}) == 4
    print(len([*federation._folder.rglob("*.frame")]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ("0\n" if COPIES_ON_WRITE else "2\n")


def test_what_a_federation_holds_goes_with_it() -> None:
    from algotools.data.held import HELD

    before = set(HELD)
    with Federation(frames(2), algorithm=FUNCTIONS):
        assert len(set(HELD) - before) == (2 if COPIES_ON_WRITE else 0)
    assert set(HELD) == before


def test_runs_queue_when_there_are_more_than_the_machine_takes_at_once() -> None:
    with Federation(frames(40), algorithm=FUNCTIONS) as federation:
        federation._schedule._places = 3
        assert max(federation.run(counts_who_goes)) <= 3


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_nodes_draw_numbers_of_their_own(runner: str) -> None:
    with Federation(frames(8), algorithm=FUNCTIONS, runner=runner) as federation:
        assert len(set(federation.run(draws))) == 8


def test_a_run_that_takes_too_much_memory_fails_by_name_and_the_others_do_not() -> None:
    with Federation(frames(2), algorithm=FUNCTIONS, runner="process", memory="200m") as federation:
        assert federation.run(takes_memory, megabytes=50) == [6553600.0] * 2
        for function, arguments in ((takes_memory, {"megabytes": 400}), (takes_it_bit_by_bit, {})):
            with pytest.raises(RunsFailed) as raised:
                federation.run(function, arguments=arguments)
            assert {failure.exit_code for failure in raised.value.failures.values()} == {49}
            assert f"{function.method} at test_many_nodes.py, line" in raised.value.message
            assert "more memory than its run may use" in raised.value.message
        assert federation.run(takes_memory, megabytes=50) == [6553600.0] * 2


@pytest.mark.parametrize(
    ("runner", "memory"), [("inline", "200m"), ("process", "much"), ("process", "-1"), ("process", 0)]
)
def test_a_limit_of_memory_that_cannot_be_is_refused(runner: str, memory: object) -> None:
    with pytest.raises(FederationError, match="memory"):
        Federation(frames(1), algorithm=FUNCTIONS, runner=runner, memory=memory)


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_task_that_is_killed_ends_with_its_subtasks(runner: str, contract: str) -> None:
    with Federation(frames(12), algorithm=FUNCTIONS, runner=runner, contract=contract) as federation:
        posted = {"method": "waits_for_sleepers", "master": True}
        task = federation.task(federation.client().task.create(1, list(federation.organizations()), input=posted)["id"])
        until(lambda: [run for sub in federation.subtasks(task.id) for run in sub.runs if run.status == "active"])
        federation.kill(task.id)
        assert federation.wait(task.id, 10)
        runs: list[Run] = [run for one in federation.tasks() for run in one.runs]
        assert {run.status for run in runs} == {"killed by user"}
        assert {federation.failure(run).exit_code for run in runs} == {47}  # type: ignore[union-attr]
        assert len(federation.tasks()) > 1
        if runner == "process":
            until(lambda: not federation._schedule.busy)
        assert federation.run(part_of_mean, column="x", at=2) == [{"sum": 3.0, "count": 3}]


@pytest.mark.parametrize("function", [sleeps, waits_for_sleepers])
def test_who_gives_up_waiting_leaves_nothing_running(function: Callable[..., object]) -> None:
    arguments = {"seconds": 60.0} if function is sleeps else {}
    with Federation(frames(3), algorithm=FUNCTIONS, runner="process") as federation:
        with pytest.raises(RunsFailed, match=r"no answer within 1\.5 s"):
            federation.run(function, at=2, timeout=1.5, arguments=arguments)
        assert {run.status for task in federation.tasks() for run in task.runs} == {"killed by user"}
        until(lambda: not federation._schedule.busy, 5)


def test_a_task_that_has_ended_stays_as_it_is_when_it_is_killed() -> None:
    with Federation(frames(1), algorithm=FUNCTIONS) as federation:
        federation.run(part_of_mean, column="x")
        federation.kill(1)
        assert federation.task(1).runs[0].status == "completed"
        with pytest.raises(FederationError, match="there is no task 9"):
            federation.kill(9)


def descendants() -> set[str]:
    """The processes below this one, by number, whoever started them; dead ones, too."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    found, level = set[str](), {str(os.getpid())}
    while level:
        level = {pid for pid, parent, name in map(str.split, listed.splitlines()) if parent in level and name != "ps"}
        found |= level
    return found


@pytest.fixture
def nothing_more() -> Callable[[], bool]:
    """Whether there is no thread and no process that was not there before."""
    threads, processes = set(threading.enumerate()), descendants()
    return lambda: set(threading.enumerate()) <= threads and descendants() <= processes


def test_a_run_that_begins_as_the_federation_is_closed_leaves_no_server() -> None:
    federation = Federation(frames(1), algorithm=FUNCTIONS)
    federation.close()
    with pytest.raises(CancelledError):
        _ = federation._api.url


def folders(name: str) -> set[Path]:
    """Those of federations in the process of a name."""
    return {path for place in (tempfile.gettempdir(), "/dev/shm") for path in Path(place).glob(f"algotools-{name}-*")}


def test_no_folder_is_left_by_a_federation_that_is_closed_or_cannot_be_made() -> None:
    mine = owner.in_a_name()
    before = folders(mine)
    with Federation(frames(2), algorithm=FUNCTIONS) as federation:
        federation.run(part_of_mean, column="x")
        assert not [path for path in folders(mine) - before if [*path.rglob("task-*")]]
    with pytest.raises(FederationError):
        Federation(frames(2), algorithm=FUNCTIONS, faults={9: Dead()})
    assert folders(mine) <= before


KILLED = """
import os, signal
import pandas as pd
from algotools import Federation, rpc
@rpc
def nothing_much() -> None: ...
federation = Federation([pd.DataFrame({"x": [1]})], algorithm=[nothing_much])
print(federation._folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_leaves_is_removed_by_the_next() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert Path(killed.stdout.strip()).exists()
    with Federation(frames(1), algorithm=FUNCTIONS):
        assert not Path(killed.stdout.strip()).exists()
    assert not folders("-".join(Path(killed.stdout).name.split("-")[1:-1]))


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_nothing_is_left_when_the_caller_goes_on(runner: str, nothing_more: Callable[[], bool]) -> None:
    federation = Federation(frames(5), algorithm=FUNCTIONS, runner=runner)
    assert nothing_more()
    for _ in range(2):
        assert federation.ask(mean_of_all, column="x") == 3.0
        assert nothing_more()
        with pytest.raises(RunsFailed):
            federation.run(part_of_mean, column="none")
        assert nothing_more()
    federation.close()


def warm() -> list[str]:
    """The processes that are kept warm for the project ``tally`` with the patience that a test gave them."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "dispatch.template" in line and " 0.125 tally" in line]


def test_the_process_that_a_project_keeps_warm_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.125)
    with Federation(frames(1), algorithm=ALGORITHMS / "tally", runner="process") as federation:
        for _ in range(2):
            assert federation.run("tally", arguments={"column": "x"})[0]["count"] == 3
            until(lambda: not warm())


def test_a_run_that_comes_as_that_process_ends_is_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.0)
    with Federation(frames(1), algorithm=ALGORITHMS / "tally", runner="process") as federation:
        for _ in range(3):
            assert federation.run("tally", arguments={"column": "x"})[0]["count"] == 3
