"""Run many tasks of one method: a few at a time, and none that the history has with the same data and versions."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Union

from algotools.errors import AlgotoolsError, FederationError, RunsFailed, RunsIncomplete
from algotools.federation._answers import Answers
from algotools.federation._completeness import measure_completeness
from algotools.federation._grid import Cell, Grid
from algotools.federation._platform import LocalPlatform
from algotools.federation._recording import Reusable
from algotools.federation._results import Labels, Members
from algotools.federation._tasks import PlannedTask, choose_node, plan_task, run_at_all, run_at_one
from algotools.federation.contract.rest import RunRecord, TaskRecord
from algotools.federation.history import StoredTask
from algotools.federation.progress.status_line import StatusLine
from algotools.federation.progress.waiting import Watch
from algotools.runtime.logs import format_count

MOST_AT_ONCE = 16
"""Maximum number of tasks at a time, because each waiting master is a process with its own memory."""


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


Plan = Union[PlannedTask, AlgotoolsError]
"""A task of a grid, or the reason why no node could run it."""


def plan_all(
    platform: LocalPlatform,
    function: Callable[..., Any] | str,
    arguments: Sequence[Mapping[str, object]],
    at: Members | None,
    databases: Labels,
) -> list[Plan]:
    """Return the task for each mapping of arguments.

    Raises:
        AlgotoolsError: no node could run any of the tasks.
    """
    __tracebackhide__ = True
    plans = [_plan(platform, function, item, at, databases) for item in arguments]
    if plans and isinstance(plans[0], AlgotoolsError) and not any(isinstance(plan, PlannedTask) for plan in plans):
        raise plans[0]
    return plans


def _plan(
    platform: LocalPlatform,
    function: Callable[..., Any] | str,
    arguments: Mapping[str, object],
    at: Members | None,
    databases: Labels,
) -> Plan:
    try:
        return plan_task(platform, function, at, databases, dict(arguments))
    except FederationError:
        raise  # a mistake of the whole call, and not of these arguments
    except AlgotoolsError as error:
        return error


def run_map(
    platform: LocalPlatform,
    arguments: Sequence[Mapping[str, object]],
    plans: Sequence[Plan],
    timeout: float | None,
    *,
    fresh: bool,
    require_all: bool,
    line: StatusLine,
) -> Grid:
    """Run tasks of one method, and return all results and failures; see ``Federation.map``."""
    names = platform.organizations()
    cells = {i: Cell(arguments[i], Answers([], {}), p) for i, p in enumerate(plans) if isinstance(p, AlgotoolsError)}
    tasks = {i: plan for i, plan in enumerate(plans) if isinstance(plan, PlannedTask)}
    some_task = next(iter(tasks.values()), None)
    role = some_task.call.role if some_task else None
    first = choose_node(platform, some_task) if some_task and role == "master" else None
    stored, unknown = Reusable({}) if fresh else _find_stored(platform, tasks, first)
    if unknown:
        line.write(f"note: the tasks in the history are not reused, because {unknown}")
    cells |= {i: _make_stored_cell(tasks[i], task, names) for i, task in stored.items()}
    if stored:
        line.write(
            f"note: {len(stored)} of {len(plans)} tasks are in the history with the same data and versions, and are "
            "not run again"
        )
    new = len(tasks) - len(stored)
    watch = _SilentWatch(platform)
    executor = ThreadPoolExecutor(_count_tasks_at_once(platform, some_task), thread_name_prefix="algotools map")

    def describe_state() -> str:
        failed = sum(cell.error is not None for cell in cells.values())
        completed = f"{len(cells) - failed} of {format_count(len(plans), 'task')} completed"
        return f"{completed}, {failed} failed" if failed else completed

    try:
        futures = {
            executor.submit(_run_cell, platform, task, timeout, watch, require_all): i
            for i, task in tasks.items()
            if i not in cells
        }
        pending: set[Future[Cell]] = set(futures)
        while pending:
            done, pending = wait(pending, line.interval, FIRST_COMPLETED)
            for future in done:
                cells[futures[future]] = future.result()
            line.update(describe_state(), repeat=True)
        line.finish(describe_state())
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        watch.stop()
        executor.shutdown(wait=True)
        if new and platform.recorder.history is None:
            line.write(f"note: {describe_state()}; without a history, the same call runs all tasks again")
        elif new:
            number = len(_find_stored(platform, tasks, first).tasks)
            way = " without fresh" if fresh else ""
            line.write(
                f"note: {number} of {len(plans)} tasks are in the history; the same call{way} runs only the others"
            )
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        line.close()
    return Grid([cells[i] for i in range(len(plans))], role, names)


def _count_tasks_at_once(platform: LocalPlatform, task: PlannedTask | None) -> int:
    """Return how many tasks fill the slots of the runner, and one more, because a master prepares and combines alone.

    A grid with more tasks at a time is not faster, and an interruption loses more unfinished tasks.
    """
    runs = len(task.organizations) if task else 1
    return min(MOST_AT_ONCE, math.ceil(platform.slots / runs) + 1)


def _find_stored(platform: LocalPlatform, tasks: Mapping[int, PlannedTask], only_organization: int | None) -> Reusable:
    if platform.recorder.history is None or not tasks:
        return Reusable({})
    requests = [(task.request, task.databases, task.organizations) for task in tasks.values()]
    image_id = platform.find_image_id("")
    stored, unknown = platform.recorder.find_completed(platform.store, requests, only_organization, image_id)
    return Reusable({i: stored[position] for position, i in enumerate(tasks) if position in stored}, unknown)


def _make_stored_cell(planned: PlannedTask, stored: StoredTask, names: dict[int, str]) -> Cell:
    answers = {run.organization_id: stored.answer(run) for run in stored.runs}
    results = Answers(answers.values(), {id_: names[id_] for id_ in answers})
    return Cell(planned.arguments, results, number=stored.entry.number, is_reused=True)


def _run_cell(
    platform: LocalPlatform,
    planned: PlannedTask,
    timeout: float | None,
    watch: _SilentWatch,
    require_all: bool,
) -> Cell:
    """Run one task. A failure is part of the cell, and the results of the other nodes as well."""
    error: RunsFailed | RunsIncomplete | None = None
    try:
        if planned.call.role == "master":
            run_at_one(platform, planned, timeout, watch, require_all=require_all)
        else:
            run_at_all(platform, planned, timeout, watch, require_all=require_all)
    except (RunsFailed, RunsIncomplete) as failure:
        error = failure
    task = watch.tasks[threading.get_ident()]
    is_usable = not isinstance(error, RunsIncomplete)
    completed = [run for run in task.fetched_runs if run.status == "completed" and is_usable]
    names = platform.organizations()
    results = Answers(
        (platform.contract.decode_output(run.output) for run in completed),
        {run.organization_id: names[run.organization_id] for run in completed},
        task.id,
    )
    missing = [] if error else [names[id_] for id_ in measure_completeness(platform.store, task).missing]
    return Cell(planned.arguments, results, error, missing, platform.recorder.find_number(task.id))
