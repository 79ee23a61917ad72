"""The order of queued runs: tasks become complete one after the other, and few masters wait at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from algotools import AlgorithmClient, Federation, master, rpc
from algotools.federation._schedule import Priority, Schedule
from algotools.federation.contract.rest import RunRecord

from ..processes import LIMIT

NODES = {"north": pd.DataFrame({"x": range(10)}), "south": pd.DataFrame({"x": range(20)})}
SLOTS = 2
TASKS = 20


class Counter:
    """Counts the masters that execute at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self.maximum = 0

    @contextmanager
    def count(self) -> Iterator[None]:
        with self._lock:
            self._number += 1
            self.maximum = max(self.maximum, self._number)
        yield
        with self._lock:
            self._number -= 1


MASTERS = Counter()


@rpc(name="queued_count")
def count_rows(data: pd.DataFrame, number: int) -> int:
    time.sleep(0.05)
    return len(data) + number


@master(name="queued_total")
def add_counts(client: AlgorithmClient, number: int) -> int:
    with MASTERS.count():
        return sum(client.run(count_rows, number=number))


def send_tasks(federation: Federation, method: str, number: int) -> list[int]:
    client = federation.client()
    inputs = [{"master": True, "method": method, "kwargs": {"number": i}} for i in range(number)]
    return [client.task.create(1, [2, 3], input=input_)["id"] for input_ in inputs]


def run_tasks(method: str, number: int) -> list[list[object]]:
    """Create all tasks at once with few slots; return the results in the order of the tasks."""
    MASTERS.maximum = 0
    with Federation(NODES, algorithm=[count_rows, add_counts], contract="v4") as federation:
        federation._platform._schedule._slots = SLOTS
        ids = send_tasks(federation, method, number)
        assert all(federation.wait(id_, LIMIT) for id_ in ids)
        tasks = [federation.task(id_) for id_ in ids]
        finished = sorted(ids, key=lambda id_: str(federation.task(id_).runs[0].finished_at))
        # Neighbours may finish in another order, because each master polls at its own times.
        assert all(abs(finished.index(id_) - ids.index(id_)) <= 2 * SLOTS for id_ in ids)
        assert {run.status for task in federation.tasks() for run in task.runs} == {"completed"}
        return [[federation._platform.contract.decode_output(run.output) for run in task.runs] for task in tasks]


def test_the_subtasks_of_old_tasks_start_before_new_masters() -> None:
    assert run_tasks("queued_total", TASKS) == [[30 + 2 * number] * 2 for number in range(TASKS)]
    assert MASTERS.maximum <= 4 * SLOTS < TASKS  # each task has two masters


def test_nested_subtasks_start_before_their_siblings_and_before_other_tasks() -> None:
    started: list[int] = []
    idle = threading.Event()
    first_may_finish = threading.Event()

    def execute(run: RunRecord) -> None:
        started.append(run.id)
        if run.id == 1:
            first_may_finish.wait(LIMIT)

    schedule = Schedule(1, execute, idle.set)
    # The first run has the only slot meanwhile, so the order of the others depends only on their priorities.
    for id_, root_id, depth in [(1, 1, 0), (2, 9, 0), (3, 9, 1), (4, 1, 1), (5, 1, 1), (6, 1, 2)]:
        record = RunRecord(id=id_, task_id=root_id, organization_id=2, node_id=1, input=b"", assigned_at="")
        schedule.submit(record, Priority(root_id, -depth))
    first_may_finish.set()
    assert idle.wait(LIMIT)
    assert started == [1, 6, 4, 5, 3, 2]


def test_the_slots_of_a_killed_task_execute_the_next_task() -> None:
    with Federation(NODES, algorithm=[count_rows, add_counts], contract="v4") as federation:
        federation._platform._schedule._slots = 1
        first, second, third = send_tasks(federation, "queued_total", 3)
        federation.kill(first)
        federation.kill(second)
        assert federation.wait(third, LIMIT)
        statuses = [federation.task(id_).runs[0].status for id_ in (first, second, third)]
        assert statuses == ["killed by user", "killed by user", "completed"]
        assert not federation._platform._schedule.is_busy
