"""A master's connection to v3's proxy, which converts responses to v4's fields.

v3's oddities: a run is called a result, and contains its output. A run is finished as soon as ``finished_at`` is set,
whatever its status. References are numbers in some responses and objects in others. Times have an offset. Where v3
returns a list of items, v4 returns a link to the list. Fields that only v4 has are added, and are empty.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from algotools.disclosure.parent import TaskOrigin
from algotools.runtime.client.connection import Item, Progress, RunState
from algotools.runtime.client.http import RETRY_TIME
from algotools.runtime.contract._proxy import (
    TASK_HINT,
    UNDER_WAY,
    BaseConnection,
    convert_format_errors,
)
from algotools.runtime.contract._run_fields import measure_duration


class V3Connection(BaseConnection):
    """Connection to v3's proxy."""

    run_kind = "result"

    _finished_runs: dict[int, list[Item]] = {}  # noqa: RUF012 - never changed, only replaced

    def _fetch_members(self) -> list[Item]:
        """See ``BaseConnection``."""
        path = f"collaboration/{self.identity.collaboration_id}/organization"
        return [_convert_organization(item) for item in cast("list[Item]", self._http.get(path))]

    def _fetch_runs(self, task_id: int) -> list[Item]:
        return cast("list[Item]", self._http.get(f"task/{task_id}/result", self._select_retry_time(task_id), TASK_HINT))

    def _make_subtask_fields(self, method: str) -> Item:
        del method  # the method is in the input
        return {"database": self.identity.databases}

    @convert_format_errors()
    def read_progress(self, task_id: int) -> Progress:
        """See ``Connection``. A task is complete after its last run, but its status is that of a failed run."""
        item = self._fetch_item("task", task_id, self._select_retry_time(task_id))
        status = item.get("status") or "pending"
        if item.get("complete") is False and status in UNDER_WAY:
            return "active"
        return "completed" if item.get("complete") is True and status == "completed" else "unclear"

    @convert_format_errors()
    def read_run_states(self, task_id: int) -> list[RunState]:
        """See ``Connection``."""
        # The response contains the outputs, too. Keep it once all runs have finished: `read_outputs` follows, and
        # would otherwise fetch the same large response again.
        items = self._fetch_runs(task_id)
        if items and all(item.get("finished_at") for item in items):
            self._finished_runs = {task_id: items}
        return [
            RunState(
                run_id=item["id"],
                organization_id=_read_id(item["organization"]),
                status=item.get("status") or "pending",
                is_finished=bool(item.get("finished_at")),
                log=item.get("log") or "",
                is_node_online=not item.get("node") or item["node"].get("status") == "online",
                duration=measure_duration(item),
            )
            for item in items
        ]

    @convert_format_errors()
    def read_outputs(self, task_id: int) -> dict[int, bytes]:
        """See ``Connection``."""
        items = self._finished_runs.get(task_id) or self._fetch_runs(task_id)
        self._finished_runs = {}
        encoded = {item["id"]: item["result"] for item in items if item.get("result")}
        return {id_: self._contract.unwrap_result(_decode_base64(text)) for id_, text in encoded.items()}

    @convert_format_errors()
    def read_origin(self, *, with_organizations: bool) -> TaskOrigin:
        """See ``BaseConnection``. The server runs any image whose name ends with that of the parent's image."""
        del with_organizations  # the response contains the number
        task = self._fetch_item("task", self.identity.task_id, RETRY_TIME)
        parent = None if task["parent"] is None else _read_id(task["parent"])
        image = None if parent is None else self._fetch_item("task", parent, RETRY_TIME)["image"]
        is_same = parent is not None and image == task["image"] == self.identity.image
        return TaskOrigin(parent=parent, has_same_image=is_same, organizations=len(task["results"]))

    def _count_runs(self, task_id: int) -> int:
        return len(self._fetch_runs(task_id))

    def list_databases(self) -> list[Item]:
        """See ``Connection``."""
        return _convert_databases(self.identity.databases)

    def _convert_task(self, item: Item) -> Item:
        """Return a task with v4's fields."""
        id_ = item["id"]
        return {
            "id": id_,
            "job_id": item["run_id"],
            "name": item["name"],
            "description": item["description"],
            "image": item["image"],
            "status": item.get("status") or ("completed" if item["complete"] else "pending"),
            "created_at": _remove_offset(item["created_at"]),
            "finished_at": _remove_offset(item.get("finished_at")),
            "collaboration": _make_reference("collaboration", item["collaboration"]),
            "init_org": _make_reference("organization", item["initiator"]),
            "init_user": _make_reference("user", item.get("init_user")),
            "parent": _make_reference("task", item["parent"]),
            "children": f"/api/task?parent_id={id_}",
            "runs": f"/api/run?task_id={id_}",
            "results": f"/api/result?task_id={id_}",
            "databases": [{**database, "parameters": "{}"} for database in _convert_databases(item["database"])],
            "study": None,
            "algorithm_store": None,
        }

    def _convert_run(self, item: Item) -> Item:
        """Return a run with v4's fields."""
        node = item.get("node") or {}
        return {
            "id": item["id"],
            "organization": _make_reference("organization", item["organization"]),
            "task": _make_reference("task", item["task"]),
            "results": _make_reference("result", item["id"]),
            "node": {key: node.get(key) for key in ("id", "ip", "status", "name")},
            "ports": item.get("ports") or [],
            "input": item.get("input"),
            "status": item.get("status") or "pending",
            "log": item.get("log"),
            "assigned_at": _remove_offset(item.get("assigned_at")),
            "started_at": _remove_offset(item.get("started_at")),
            "finished_at": _remove_offset(item.get("finished_at")),
            "cleanup_at": None,
            "blob_storage_used": False,
        }

    def _convert_collaboration(self, item: Item) -> Item:
        """Return a collaboration with v4's fields."""
        lists = ("organizations", "nodes", "tasks", "algorithm_stores", "studies")
        links = {name: f"/api/{_make_singular(name)}?collaboration_id={item['id']}" for name in lists}
        return {**links, "id": item["id"], "name": item["name"], "encrypted": item.get("encrypted", False)}


def _convert_databases(requested: object) -> list[Item]:
    """Return the databases that a task requests. A task of v3 has at most one, given by its label."""
    return [{"label": requested}] if requested else []


def _convert_organization(item: Item) -> Item:
    """Return an organization with v4's fields."""
    texts = ("domain", "address1", "address2", "zipcode", "country", "public_key")
    lists = ("collaborations", "nodes", "users", "tasks", "runs", "studies")
    links = {name: f"/api/{_make_singular(name)}?organization_id={item['id']}" for name in lists}
    return {**links, **{name: item.get(name) for name in texts}, "id": item["id"], "name": item["name"]}


def _read_id(reference: Any) -> int:
    """Return the id in v3's reference to another item: a number, or an object with an id."""
    return int(reference["id"] if isinstance(reference, dict) else reference)


def _make_singular(name: str) -> str:
    """Return the singular of a list's name, as in the server's paths."""
    return {"studies": "study", "algorithm_stores": "algorithmstore"}.get(name, name.removesuffix("s"))


def _make_reference(kind: str, value: Any) -> object:
    """Return an object that refers to another item. v3 has such objects in some responses, and numbers in others."""
    return {"id": value, "link": f"/api/{kind}/{value}", "methods": []} if isinstance(value, int) else value


def _remove_offset(text: str | None) -> str | None:
    """Return a time without v3's offset, which is always that of UTC."""
    return text and text.removesuffix("+00:00")


def _decode_base64(text: str) -> bytes:
    """Decode base64 with msgspec, which takes a third of the time of Python's own module.

    Raises:
        ValueError: the text is not base64.
    """
    return msgspec.json.decode(f'"{text}"', type=bytes)
