"""Many nodes on one machine: no copies of data, a queue of runs, limits, and nothing left between two tasks."""

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
from algotools.errors import FederationError, UnknownColumn
from algotools.federation import Dead
from algotools.federation import folders as owner
from algotools.federation.contract import NAMES
from algotools.federation.contract.rest import RunRecord
from algotools.federation.runners import _template_process
from algotools.runtime.contract import _proxy

from ..conftest import ALGORITHMS, fail_at_nodes
from ..processes import LIMIT, wait_until

COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3
"""Whether two frames of pandas can share their values, and a change of one does not change the other."""

active_runs: list[int] = []
"""One item for each active run of ``count_active_runs``."""


@rpc
def sum_with_count(data: pd.DataFrame, column: Column) -> dict[str, float]:
    return {"sum": data[column].sum(), "count": data[column].size}


@master
def mean_of_nodes(client: AlgorithmClient, column: str) -> float:
    parts = client.run(sum_with_count, column=column)
    return sum(part["sum"] for part in parts) / sum(part["count"] for part in parts)


@rpc
def get_address(data: pd.DataFrame) -> int:
    return data["x"].to_numpy().ctypes.data


@rpc
def overwrite(data: pd.DataFrame) -> list[float]:
    values = data["x"].tolist()
    data.loc[:, "x"] = -1.0
    data["y"] = 0
    return values


@rpc
def has_file(data: Database) -> bool:
    return Path(data.uri).stat().st_size > 0


@rpc
def count_active_runs(data: Database) -> int:
    active_runs.append(1)
    time.sleep(0.02)
    most = len(active_runs)
    active_runs.pop()
    return most


@rpc
def allocate(data: Database, megabytes: int) -> float:
    return float(np.ones(megabytes << 17).sum())


@rpc
def allocate_slowly(data: Database) -> int:
    blocks = []
    while True:
        blocks.append(bytearray(1 << 20))


@rpc
def draw(data: Database) -> float:
    return float(np.random.random())  # noqa: NPY002 - many authors still use it


@rpc
def sleep(data: Database, seconds: float) -> None:
    time.sleep(seconds)


@master
def count_members(client: AlgorithmClient, column: Column) -> list[int]:
    results = client.run(sum_with_count, column=column, quorum=12)
    return [len(client.organizations), len(client.organization.list()), len(results)]


@master
def wait_for_sleepers(client: AlgorithmClient) -> int:
    return len(client.run(sleep, seconds=60.0))


FUNCTIONS = [
    sum_with_count, mean_of_nodes, get_address, overwrite, has_file, count_active_runs, allocate, allocate_slowly,
    draw, sleep, count_members, wait_for_sleepers,
]  # fmt: skip


def make_frames(count: int) -> list[pd.DataFrame]:
    return [pd.DataFrame({"x": np.arange(3.0) + position, "z": "text"}) for position in range(count)]


@pytest.mark.parametrize(("runner", "count"), [("inline", 1000), ("process", 40)])
def test_a_master_uses_very_many_nodes(runner: str, count: int) -> None:
    frames = make_frames(count)
    with Federation(frames, algorithm=FUNCTIONS, runner=runner) as federation:
        result = federation.ask(mean_of_nodes, column="x")
    assert result == pytest.approx(pd.concat(frames)["x"].mean(), rel=1e-12)


@pytest.mark.parametrize("contract", NAMES)
@pytest.mark.parametrize("size", [5, 12, 100])
def test_a_master_reads_lists_that_have_several_pages(
    contract: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_proxy, "PAGE_SIZE", size)
    with Federation(make_frames(12), algorithm=FUNCTIONS, contract=contract) as federation:
        assert federation.ask(count_members, column="x") == [12, 12, 12]


def test_a_frame_is_not_copied_for_its_node() -> None:
    frame = make_frames(1)[0]
    with Federation([frame], algorithm=FUNCTIONS) as federation:
        [node_address] = federation.run(get_address)
        assert (node_address == get_address(frame)) == COPIES_ON_WRITE
        assert [*federation._platform.folders.base.rglob("*.frame")] == [] or not COPIES_ON_WRITE


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_changes_of_a_frame_are_not_shared(runner: str) -> None:
    frame = make_frames(1)[0]
    with Federation([frame], algorithm=FUNCTIONS, runner=runner) as federation:
        assert [federation.run(overwrite), federation.run(overwrite)] == [[[0.0, 1.0, 2.0]]] * 2
        assert list(frame.columns) == ["x", "z"]
        frame.loc[0, "x"] = 77.0
        assert federation.run(overwrite) == [[0.0, 1.0, 2.0]]


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_function_with_a_database_gets_the_frame_in_a_file(runner: str) -> None:
    with Federation(make_frames(2), algorithm=FUNCTIONS, runner=runner) as federation:
        assert federation.run(has_file) == [True, True]


def test_runs_that_see_frames_need_no_file_and_import_the_algorithm_again() -> None:
    """The script runs in another interpreter: a process in which Polars has computed is not copied."""
    script = f"""
import pandas as pd
from algotools import Federation
frames, algorithm = [pd.DataFrame({{"x": [1]}})] * 2, {str(ALGORITHMS / "misbehaving")!r}
with Federation(frames, algorithm=algorithm, runner="process") as federation:
    assert federation.find_role("imported_as") == "rpc"  # imported here, too
    assert len({{*federation.run("imported_as"), *federation.run("imported_as")}}) == 4
    print(len([*federation._platform.folders.base.rglob("*.frame")]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ("0\n" if COPIES_ON_WRITE else "2\n")


def test_a_closed_federation_releases_its_frames() -> None:
    from algotools.data import FRAMES_IN_MEMORY

    before = set(FRAMES_IN_MEMORY)
    with Federation(make_frames(2), algorithm=FUNCTIONS):
        assert len(set(FRAMES_IN_MEMORY) - before) == (2 if COPIES_ON_WRITE else 0)
    assert set(FRAMES_IN_MEMORY) == before


def test_runs_queue_for_the_slots() -> None:
    with Federation(make_frames(40), algorithm=FUNCTIONS) as federation:
        federation._platform._schedule._slots = 3
        assert max(federation.run(count_active_runs)) <= 3


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_nodes_draw_different_random_numbers(runner: str) -> None:
    with Federation(make_frames(8), algorithm=FUNCTIONS, runner=runner) as federation:
        assert len(set(federation.run(draw))) == 8


def test_only_a_run_with_too_much_memory_fails() -> None:
    with Federation(make_frames(2), algorithm=FUNCTIONS, runner="process", memory="200m") as federation:
        assert federation.run(allocate, megabytes=50) == [6553600.0] * 2
        for function, arguments in ((allocate, {"megabytes": 400}), (allocate_slowly, {})):
            with pytest.raises(RunsFailed) as raised:
                federation.run(function, arguments=arguments)
            assert {failure.exit_code for failure in raised.value.failures.values()} == {49}
            assert f"{function.method} at test_many_nodes.py, line" in raised.value.message
            assert "more memory than its run may use" in raised.value.message
        assert federation.run(allocate, megabytes=50) == [6553600.0] * 2


@pytest.mark.parametrize(
    ("runner", "memory"), [("inline", "200m"), ("process", "much"), ("process", "-1"), ("process", 0)]
)
def test_an_invalid_memory_limit_is_refused(runner: str, memory: object) -> None:
    with pytest.raises(FederationError, match="memory"):
        Federation(make_frames(1), algorithm=FUNCTIONS, runner=runner, memory=memory)


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_killed_task_is_cancelled_with_its_subtasks(runner: str) -> None:
    with Federation(make_frames(12), algorithm=FUNCTIONS, runner=runner) as federation:
        input_ = {"method": "wait_for_sleepers", "master": True}
        task = federation.task(federation.client().task.create(1, list(federation.organizations()), input=input_)["id"])
        wait_until(lambda: [run for sub in federation.subtasks(task.id) for run in sub.runs if run.status == "active"])
        federation.kill(task.id)
        assert federation.wait(task.id, LIMIT)
        runs: list[RunRecord] = [run for task_ in federation.tasks() for run in task_.runs]
        assert {run.status for run in runs} == {"killed by user"}
        assert {federation.failure(run).exit_code for run in runs} == {47}  # type: ignore[union-attr]
        assert len(federation.tasks()) > 1
        if runner == "process":
            wait_until(lambda: not federation._platform._schedule.is_busy)
        assert federation.run(sum_with_count, column="x", at=2) == [{"sum": 3.0, "count": 3}]


@pytest.mark.parametrize("function", [sleep, wait_for_sleepers])
def test_a_timeout_of_the_caller_cancels_the_runs(function: Callable[..., object]) -> None:
    arguments = {"seconds": 600.0} if function is sleep else {}
    with Federation(make_frames(3), algorithm=FUNCTIONS, runner="process") as federation:
        with pytest.raises(RunsFailed, match=r"no result within 1\.5 s"):
            federation.run(function, at=2, timeout=1.5, arguments=arguments)
        assert {run.status for task in federation.tasks() for run in task.runs} == {"killed by user"}
        wait_until(lambda: not federation._platform._schedule.is_busy)


def test_a_finished_task_is_unchanged_when_it_is_killed() -> None:
    with Federation(make_frames(1), algorithm=FUNCTIONS) as federation:
        federation.run(sum_with_count, column="x")
        federation.kill(1)
        assert federation.task(1).runs[0].status == "completed"
        with pytest.raises(FederationError, match="unknown task 9"):
            federation.kill(9)


def list_descendants() -> set[str]:
    """Return the ids of all processes below this one, including zombies."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    descendants, level = set[str](), {str(os.getpid())}
    while level:
        level = {pid for pid, parent, name in map(str.split, listed.splitlines()) if parent in level and name != "ps"}
        descendants |= level
    return descendants


@pytest.fixture
def has_nothing_left() -> Callable[[], bool]:
    """Checks that no thread and no process has been added since the test began. The last ones may be exiting still."""
    threads, processes = set(threading.enumerate()), list_descendants()

    def check() -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if set(threading.enumerate()) <= threads and list_descendants() <= processes:
                return True
            time.sleep(0.01)
        return False

    return check


def test_a_run_that_starts_while_the_federation_closes_leaves_no_server() -> None:
    federation = Federation(make_frames(1), algorithm=FUNCTIONS)
    federation.close()
    with pytest.raises(CancelledError):
        _ = federation._platform._api.url


def list_folders(name: str) -> set[Path]:
    """Return the folders of federations of a process, whose short name is ``name``."""
    return {path for folder in (tempfile.gettempdir(), "/dev/shm") for path in Path(folder).glob(f"algotools-{name}-*")}


def test_no_folder_remains_of_a_closed_or_failed_federation() -> None:
    name = owner._make_short_name()
    before = list_folders(name)
    with Federation(make_frames(2), algorithm=FUNCTIONS) as federation:
        federation.run(sum_with_count, column="x")
        assert not [path for path in list_folders(name) - before if [*path.rglob("task-*")]]
    with pytest.raises(FederationError):
        Federation(make_frames(2), algorithm=FUNCTIONS, faults={9: Dead()})
    assert list_folders(name) <= before


KILLED_SCRIPT = """
import os, signal
import pandas as pd
from algotools import Federation, rpc
@rpc
def nothing_much() -> None: ...
federation = Federation([pd.DataFrame({"x": [1]})], algorithm=[nothing_much])
print(federation._platform.folders.base, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folders_of_a_killed_process_are_removed_by_the_next() -> None:
    process_ = subprocess.run([sys.executable, "-c", KILLED_SCRIPT], capture_output=True, text=True, check=False)
    assert Path(process_.stdout.strip()).exists()
    with Federation(make_frames(1), algorithm=FUNCTIONS):
        assert not Path(process_.stdout.strip()).exists()
    assert not list_folders("-".join(Path(process_.stdout).name.split("-")[1:-1]))


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_no_thread_or_process_remains_between_calls(runner: str, has_nothing_left: Callable[[], bool]) -> None:
    federation = Federation(make_frames(5), algorithm=FUNCTIONS, runner=runner)
    assert has_nothing_left()
    for _ in range(2):
        assert federation.ask(mean_of_nodes, column="x") == 3.0
        assert has_nothing_left()
        with pytest.raises(UnknownColumn):  # before a run
            federation.run(sum_with_count, column="none")
        assert has_nothing_left()
        assert len(fail_at_nodes(federation, "sum_with_count", column="none")) == 5
        assert has_nothing_left()
    federation.close()


def list_templates() -> list[str]:
    """Return the template processes for the project ``tally`` with the idle timeout of the test."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "runners._template" in line and " 0.125 tally" in line]


def test_an_idle_template_process_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_template_process, "IDLE_TIMEOUT", 0.125)
    with Federation(make_frames(1), algorithm=ALGORITHMS / "tally", runner="process") as federation:
        for _ in range(2):
            assert federation.run("tally", arguments={"column": "x"})[0]["count"] == 3
            wait_until(lambda: not list_templates())


def test_a_run_succeeds_while_the_template_process_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_template_process, "IDLE_TIMEOUT", 0.0)
    with Federation(make_frames(1), algorithm=ALGORITHMS / "tally", runner="process") as federation:
        for _ in range(3):
            assert federation.run("tally", arguments={"column": "x"})[0]["count"] == 3
