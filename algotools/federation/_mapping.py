"""Run many tasks of one method: a few at a time, and none that the history has with the same data and versions."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from algotools.errors import RunsFailed
from algotools.federation._answers import Answers
from algotools.federation._grid import Cell, Grid
from algotools.federation._platform import LocalPlatform
from algotools.federation._tasks import PlannedTask, choose_node, run_at_all, run_at_one
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.history import StoredTask
from algotools.federation.progress.status_line import StatusLine
from algotools.federation.progress.waiting import Watch

MOST_AT_ONCE = 4
"""Maximum number of tasks at a time. Their runs share the slots of the runner, so more tasks are not faster."""


class _SilentWatch(Watch):
    """Waits for the tasks of a grid without showing each of them, and knows the tasks."""

    def __init__(self, platform: LocalPlatform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._stopped = False
        self.tasks: dict[int, TaskRecord] = {}
        """Identity of a thread -> the task that it waits for."""

    def wait(self, task: TaskRecord, runs: Sequence[RunRecord], timeout: float | None) -> None:
        """See ``Watch``."""
        with self._lock:
            self.tasks[threading.get_ident()] = task
            stopped = self._stopped
        if stopped:
            self._platform.kill(task)
        self._platform.store.wait(runs, timeout)

    def stop(self) -> None:
        """Kill the tasks that are not complete."""
        with self._lock:
            self._stopped = True
            tasks = list(self.tasks.values())
        for task in tasks:
            if not task.complete:
                self._platform.kill(task)


def run_map(
    platform: LocalPlatform, tasks: Sequence[PlannedTask], timeout: float | None, *, fresh: bool, line: StatusLine
) -> Grid:
    """Run tasks of one method, and return all results and failures; see ``Federation.map``."""
    names = platform.organizations()
    role = tasks[0].call.role if tasks else None
    first = choose_node(platform, tasks[0]) if role == "master" else None
    stored = {} if fresh else _find_stored(platform, tasks, first)
    cells: dict[int, Cell] = {i: _make_stored_cell(tasks[i], task, names) for i, task in stored.items()}
    if stored:
        line.write(
            f"note: {len(stored)} of {len(tasks)} tasks are in the history with the same data and versions, and are "
            "not run again"
        )
    watch = _SilentWatch(platform)
    workers = min(MOST_AT_ONCE, os.cpu_count() or 1)
    executor = ThreadPoolExecutor(workers, thread_name_prefix="algotools map")
    try:
        futures = {
            executor.submit(_run_cell, platform, task, timeout, watch): i
            for i, task in enumerate(tasks)
            if i not in cells
        }
        pending: set[Future[Cell]] = set(futures)
        while pending:
            done, pending = wait(pending, line.interval, FIRST_COMPLETED)
            for future in done:
                cells[futures[future]] = future.result()
            failed = sum(cell.error is not None for cell in cells.values())
            line.update(
                f"{len(cells) - failed} of {len(tasks)} tasks completed" + (f", {failed} failed" if failed else "")
            )
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        watch.stop()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        line.close()
    return Grid([cells[i] for i in range(len(tasks))], role, names)


def _find_stored(
    platform: LocalPlatform, tasks: Sequence[PlannedTask], only_organization: int | None
) -> dict[int, StoredTask]:
    if platform.recorder.history is None or not tasks:
        return {}
    plans = [(task.request, task.databases, task.organizations) for task in tasks]
    return platform.recorder.find_completed(platform.store, plans, only_organization, platform.find_image_id(""))


def _make_stored_cell(planned: PlannedTask, stored: StoredTask, names: dict[int, str]) -> Cell:
    answers = {run.organization_id: stored.answer(run) for run in stored.runs}
    results = Answers(answers.values(), {id_: names[id_] for id_ in answers})
    return Cell(planned.arguments, results, None, stored.entry.number, is_reused=True)


def _run_cell(platform: LocalPlatform, planned: PlannedTask, timeout: float | None, watch: _SilentWatch) -> Cell:
    """Run one task. A failure is part of the cell, and the results of the other nodes as well."""
    error = None
    try:
        if planned.call.role == "master":
            run_at_one(platform, planned, timeout, watch, require_all=False)
        else:
            run_at_all(platform, planned, timeout, watch, require_all=False)
    except RunsFailed as failure:
        error = failure
    task = watch.tasks[threading.get_ident()]
    completed = [run for run in task.fetched_runs if run.status == "completed"]
    names = platform.organizations()
    results = Answers(
        (platform.contract.decode_output(run.output) for run in completed),
        {run.organization_id: names[run.organization_id] for run in completed},
    )
    return Cell(planned.arguments, results, error, platform.recorder.find_number(task.id))
