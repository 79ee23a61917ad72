"""v5's proxy, both sides: what differs from v4's, whose endpoints it has kept."""

from __future__ import annotations

import ast
import base64
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import cast

from algotools.client.connection import Item
from algotools.contract import rest, v4_http
from algotools.contract.connection import understanding
from algotools.contract.platform import FINAL, Dataframe, Organization, Platform, Run, Session
from algotools.contract.platform import Task as TaskRecord
from algotools.contract.v5 import action
from algotools.task import Identity


class ProxyConnection(v4_http.ProxyConnection):
    """The container's side; see ``Connection``."""

    key = "arguments"

    def create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        """See ``Connection``: the tables of the master's own task, in the same session."""
        task = self._post_task(
            method,
            arguments,
            name,
            description,
            databases=self.identity.databases,
            session_id=self.identity.session_id,
            method=method,
            action=action("rpc", "compute"),
        )
        with understanding():
            return _task_as_v4(task)

    @understanding()
    def under_way(self, task_id: int) -> bool:
        """See ``Connection``."""
        return self.task(task_id)["status"] in v4_http.UNDER_WAY

    def databases(self) -> list[Item]:
        """See ``Connection``: the tables of all arguments, one after the other."""
        return list(itertools.chain.from_iterable(cast("list[list[Item]]", self.identity.databases or [])))

    def task(self, task_id: int) -> Item:
        """See ``Connection``."""
        with understanding():
            return _task_as_v4(super().task(task_id))

    def run(self, run_id: int) -> Item:
        """See ``Connection``."""
        with understanding():
            return _run_as_v4(super().run(run_id))

    def runs_of(self, task_id: int) -> list[Item]:
        """See ``Connection``."""
        with understanding():
            return [_run_as_v4(run) for run in super().runs_of(task_id)]


def _task_as_v4(item: Item) -> Item:
    """A task whose status is one of v4's, all of whose readers take ``awaiting`` for an end."""
    return {**item, "status": "pending" if item["status"] == "awaiting" else item["status"]}


def _run_as_v4(item: Item) -> Item:
    """A run with v4's words for its input and its node."""
    run = {**item, "input": item.get("arguments"), "ports": [], "log": written(item.get("log") or "") or None}
    run.pop("arguments", None)
    if item.get("node"):
        run["node"] = {"ip": None, **item["node"]}
    return run


_HEADING = re.compile(r"LOGS of POD .*? \(created by job .*?\)\s*")


def written(log: str) -> str:
    """A run's log as its container wrote it: of several attempts the last.

    5.0's nodes put a heading before each, and 5.0.3 stores what Python shows of a bytes object.
    """
    text = _HEADING.split(log)[-1].strip()
    if text[:2] not in ("b'", 'b"'):
        return text
    try:
        data = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return data.decode(errors="replace") if isinstance(data, bytes) else text


def respond(
    method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
) -> tuple[int, object]:
    """The proxy's side; see ``Contract.respond``."""
    match [method, *path.split("/")]:
        case ["POST", "task"]:
            parent = platform.task(caller.task_id)
            if parent is None or parent.status in FINAL:
                return rest.MASKED
            created = rest.create(body, caller, platform, "arguments", "Organizations missing from input arguments")
            return (201, task(created, platform)) if isinstance(created, TaskRecord) else created
        case ["GET", "task", id_] if found := platform.task(int(id_)):
            return 200, task(found, platform)
        case ["GET", "task", id_, "status"] if found := platform.task(int(id_)):
            return 200, {"status": status(found)}
        case ["GET", "run"] if found := platform.task(int(query.get("task_id", 0))):
            return 200, rest.page([run(one, platform) for one in reversed(found.runs)], path, query)
        case ["GET", "run", id_] if one := platform.run(int(id_)):
            return 200, run(one, platform)
        case ["GET", "result"] if found := platform.task(int(query.get("task_id", 0))):
            return 200, rest.page([result(one, platform) for one in reversed(found.runs)], path, query)
        case ["GET", "collaboration", _]:
            code, content = v4_http.respond(method, path, query, body, caller, platform)
            return code, collaboration(platform) if code == 200 else content
        case ["GET", "vpn", *_]:
            return rest.MASKED
        case _:
            return v4_http.respond(method, path, query, body, caller, platform)


def status(task: TaskRecord) -> str:
    """How a task is doing: ``awaiting``, ``completed`` or ``failed``."""
    if task.status == "completed":
        return "completed"
    return "failed" if task.status in FINAL else "awaiting"


def task(record: TaskRecord, platform: Platform) -> dict[str, object]:
    """A task as v5 shows it."""
    groups = cast("list[list[dict[str, object]]]", record.databases)
    databases = [
        {**{key: table.get(key) for key in ("label", "type", "dataframe_id", "dataframe_name")}, "position": position}
        for position, group in enumerate(groups)
        for table in group
    ]
    return {
        **v4_http.task(record, platform, databases),
        "status": status(record),
        "action": action(record.role or "rpc", record.step),
        "method": record.method,
        "session": None if record.session_id is None else rest.reference("session", record.session_id),
        "dataframe": record.dataframe,
        "depends_on": list(record.depends_on),
        "required_by": [other.id for other in platform.required_by(record.id)],
    }


def session(record: Session, tables: Sequence[Dataframe], tasks: Mapping[int, TaskRecord]) -> dict[str, object]:
    """A session as v5 shows it; ``tasks`` are those that made its tables."""
    return {
        "id": record.id,
        "name": record.name,
        "scope": record.scope,
        "owner": rest.reference("user", 1),
        "collaboration": rest.reference("collaboration", 1),
        "study": None,
        "image": None,
        "tasks": f"/api/task?session_id={record.id}",
        "dataframes": f"/api/session/{record.id}/dataframe",
        "ready": all(ready(table, tasks) for table in tables),
        "created_at": record.created_at,
        "last_used_at": record.last_used_at or record.created_at,
    }


def dataframe(record: Dataframe, tasks: Mapping[int, TaskRecord], platform: Platform) -> dict[str, object]:
    """A table of a session as v5 shows it."""
    last = tasks[record.tasks[-1]] if record.tasks else None
    return {
        "id": record.id,
        "name": record.name,
        "db_label": record.label,
        "session": rest.reference("session", record.session_id),
        "tasks": f"/api/task?dataframe_id={record.id}",
        "last_session_task": task(last, platform) if last else None,
        "ready": ready(record, tasks),
        "organizations_ready": [run.organization_id for run in last.runs if run.status == "completed"] if last else [],
        "columns": record.columns,
    }


def ready(record: Dataframe, tasks: Mapping[int, TaskRecord]) -> bool:
    """Whether tasks can use a table: every node has made its part of it."""
    return all(tasks[id_].status == "completed" for id_ in record.tasks)


def run(run: Run, platform: Platform) -> dict[str, object]:
    """A run as v5 shows it."""
    item = {**v4_http.run(run, platform), "action": _action(run, platform)}
    del item["ports"], item["input"]
    node = {"id": run.node_id, "name": platform.node_name(run.node_id), "status": platform.node_status(run.node_id)}
    return {**item, "arguments": base64.b64encode(run.input).decode(), "node": {**node, **ACCOUNT}}


def result(run: Run, platform: Platform) -> dict[str, object]:
    """A run's result as v5 shows it."""
    return {**v4_http.result(run, platform), "action": _action(run, platform)}


def node(record: Organization, platform: Platform) -> dict[str, object]:
    """The node of an organization as v5 shows it."""
    item = {**rest.node(record, platform), **ACCOUNT}
    del item["ip"]
    return item


ACCOUNT = dict.fromkeys(("keycloak_id", "keycloak_client_id"))
"""What a node is at the identity provider, of which there is none here."""


def collaboration(platform: Platform) -> dict[str, object]:
    """A collaboration as v5 shows it."""
    return {**v4_http.collaboration(platform), "session_restrict_to_same_image": False}


def _action(run: Run, platform: Platform) -> str:
    record = cast("TaskRecord", platform.task(run.task_id))
    return action(record.role or "rpc", record.step)
