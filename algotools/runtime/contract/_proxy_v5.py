"""A master's connection to v5's proxy; see ``_proxy``."""

from __future__ import annotations

import itertools
from typing import cast

from algotools.runtime.client.connection import Item
from algotools.runtime.contract._proxy import PAGE_SIZE, V4Connection, convert_format_errors
from algotools.runtime.contract._run_fields import clean_log, measure_duration

NEWEST_SUBTASKS = 3
"""Number of other masters' subtasks whose runs are compared with a run that may be lost."""


class V5Connection(V4Connection):
    """Connection to v5's proxy, which has v4's endpoints."""

    input_key = "arguments"
    may_lose_results = True

    def read_durations(self, method: str) -> list[float]:
        """See ``Connection``. The other masters' subtasks have the same parent; read the newest few."""
        tasks = self._fetch_optional_list(f"task?parent_id={self.identity.task_id}")  # sorted, the newest first
        siblings = [task for task in tasks if task.get("method") == method and task.get("id") not in self._created]
        newest = sorted(siblings, key=lambda task: int(task["id"]))[-NEWEST_SUBTASKS:]
        runs = itertools.chain.from_iterable(self._fetch_optional_list(f"run?task_id={task['id']}") for task in newest)
        durations = (measure_duration(run) for run in runs if run.get("status") == "completed")
        return [duration for duration in durations if duration is not None]

    def _fetch_optional_list(self, path: str) -> list[Item]:
        """Fetch the first page of a list that the server may refuse; an empty list then."""
        response = self._http.get_optional(f"{path}&page=1&per_page={PAGE_SIZE}")
        items = response.get("data") if isinstance(response, dict) else None
        return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []

    @convert_format_errors()
    def count_finished(self, task_id: int, run_count: int) -> int | None:
        """See ``Connection``. v5 selects open runs by their whole task, but finished runs one by one."""
        del run_count
        return self._count_runs(task_id, state="finished")

    def list_databases(self) -> list[Item]:
        """See ``Connection``. v5 groups tables by argument; return one list of all tables."""
        return list(itertools.chain.from_iterable(cast("list[list[Item]]", self.identity.databases or [])))

    def _make_subtask_fields(self, method: str) -> Item:
        """See ``BaseConnection``. A subtask uses the tables of the master's own task, in the same session."""
        fields = {name: getattr(self.identity, name) for name in ("databases", "session_id")}
        return {**fields, "method": method, "action": "federated_compute"}

    def _convert_task(self, item: Item) -> Item:
        """Return a task with a status of v4, whose readers would take ``awaiting`` for the end of the task."""
        return {**item, "status": "pending" if item["status"] == "awaiting" else item["status"]}

    def _convert_run(self, item: Item) -> Item:
        """Return a run with v4's fields for its input and its node."""
        run = {**item, "input": item.get("arguments"), "ports": [], "log": clean_log(item.get("log") or "") or None}
        run.pop("arguments", None)
        if item.get("node"):
            run["node"] = {"ip": None, **item["node"]}
        return run
