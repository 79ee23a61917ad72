"""v3's proxy, both sides: the endpoints that a master needs, and those that any v3 container may ask."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cached_property
from typing import cast

from algotools.client.connection import Item, RunState
from algotools.client.http import PATIENCE
from algotools.contract import rest, v3_as_v4
from algotools.contract.connection import NO_TASK, BaseConnection, understanding
from algotools.contract.platform import FINAL, Organization, Platform, Run
from algotools.contract.platform import Task as TaskRecord
from algotools.task import Identity


class ProxyConnection(BaseConnection):
    """The container's side; see ``Connection``."""

    _ended: dict[int, list[Item]] = {}  # noqa: RUF012 - never changed, only replaced

    def members(self) -> list[Item]:
        """See ``Connection``."""
        return [dict(item) for item in self._members]

    @cached_property
    @understanding()
    def _members(self) -> list[Item]:
        path = f"collaboration/{self.identity.collaboration_id}/organization"
        return [v3_as_v4.organization(item) for item in cast("list[Item]", self._http.get(path))]

    def create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        """See ``Connection``: a JSON input, so that nothing is pickled on the way."""
        task = self._post_task(method, arguments, name, description, database=self.identity.databases)
        with understanding():
            return v3_as_v4.task(task)

    @understanding()
    def under_way(self, task_id: int) -> bool:
        """See ``Connection``."""
        return self._item("task", task_id, self._patience(task_id)).get("complete") is False

    @understanding()
    def runs(self, task_id: int) -> list[RunState]:
        """See ``Connection``: their results are among them. Once there are all, they need not be fetched again."""
        items = self._items(task_id)
        if items and all(item.get("finished_at") for item in items):
            self._ended = {task_id: items}
        return [
            RunState(
                run_id=item["id"],
                organization_id=v3_as_v4.organization_id(item["organization"]),
                status=item.get("status") or "pending",
                finished=bool(item.get("finished_at")),
                log=item.get("log") or "",
                node_online=not item.get("node") or item["node"].get("status") == "online",
            )
            for item in items
        ]

    @understanding()
    def results(self, task_id: int) -> dict[int, bytes]:
        """See ``Connection``."""
        items = self._ended.get(task_id) or self._items(task_id)
        self._ended = {}
        return {
            item["id"]: self._contract.result(rest.from_base64(item["result"])) for item in items if item.get("result")
        }

    def databases(self) -> list[Item]:
        """See ``Connection``."""
        return v3_as_v4.databases(self.identity.databases)

    @understanding()
    def task(self, task_id: int) -> Item:
        """See ``Connection``."""
        return v3_as_v4.task(self._item("task", task_id, self._patience(task_id)))

    @understanding()
    def run(self, run_id: int) -> Item:
        """See ``Connection``: v3 calls it a result."""
        return v3_as_v4.run(self._item("result", run_id))

    @understanding()
    def runs_of(self, task_id: int) -> list[Item]:
        """See ``Connection``."""
        return sorted(map(v3_as_v4.run, self._items(task_id)), key=lambda run: int(run["id"]))

    @understanding()
    def collaboration(self) -> Item:
        """See ``Connection``."""
        return v3_as_v4.collaboration(self._item("collaboration", self.identity.collaboration_id, PATIENCE))

    def _items(self, task_id: int) -> list[Item]:
        return cast("list[Item]", self._http.get(f"task/{task_id}/result", self._patience(task_id), NO_TASK))


def respond(
    method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
) -> tuple[int, object]:
    """The proxy's side; see ``Contract.respond``."""
    del query  # none of these endpoints looks at it
    match [method, *path.split("/")]:
        case ["POST", "task"]:
            parent = platform.task(caller.task_id)
            created = rest.MASKED if parent is None or parent.complete else rest.create(body, caller, platform)
            return (200, task(created, platform)) if isinstance(created, TaskRecord) else created
        case ["GET", "task", id_] if found := platform.task(int(id_)):
            return 200, task(found, platform)
        case ["GET", "task", id_, "result"] if found := platform.task(int(id_)):
            return 200, [plain_result(run, platform) for run in found.runs]
        case ["GET", "result", id_] if run := platform.run(int(id_)):
            return 200, result(run, platform)
        case ["GET", "collaboration", id_, "organization"] if int(id_) == platform.collaboration_id:
            return 200, [organization(o) for o in platform.organizations()]
        case ["GET", "collaboration", id_] if int(id_) == platform.collaboration_id:
            return 200, collaboration(platform)
        case ["GET", "organization"]:
            return 200, [organization(o) for o in platform.organizations()]
        case ["GET", "organization", id_]:
            return next(((200, organization(o)) for o in platform.organizations() if o.id == int(id_)), rest.MASKED)
        case ["GET", "vpn", "algorithm", "addresses"]:
            return 200, {"addresses": []}
        case _:
            return rest.MASKED


def collaboration(platform: Platform) -> dict[str, object]:
    """A collaboration as v3 shows it."""
    return {
        "id": platform.collaboration_id,
        "name": platform.collaboration,
        "encrypted": False,
        "organizations": [rest.reference("organization", o.id, ["GET", "PATCH"]) for o in platform.organizations()],
    }


def organization(record: Organization) -> dict[str, object]:
    """An organization as v3 shows it."""
    empty = dict.fromkeys(("domain", "address1", "address2", "zipcode", "country", "public_key"), "")
    related = dict.fromkeys(("collaborations", "nodes", "users", "roles", "results"))
    return {"id": record.id, "name": record.name, **empty, **related}


def task(record: TaskRecord, platform: Platform) -> dict[str, object]:
    """A task as v3 shows it."""
    return {
        "id": record.id,
        "run_id": record.job_id,
        "name": record.name,
        "description": record.description,
        "image": record.image,
        "initiator": record.init_organization_id,
        "init_user": None,
        "status": "failed" if record.status in FINAL - {"completed"} else record.status,
        "complete": record.complete,
        "collaboration": rest.reference("collaboration", platform.collaboration_id),
        "parent": rest.reference("task", record.parent_id) if record.parent_id else None,
        "children": [rest.reference("task", child.id) for child in platform.children(record.id)] or None,
        "results": [rest.reference("result", run.id) for run in record.runs],
        "database": record.databases,
        "created_at": _time(record.created_at),
        "finished_at": _time(record.finished_at),
    }


def plain_result(run: Run, platform: Platform) -> dict[str, object]:
    """A run, which v3 calls a result, as v3 shows it among those of its task; its bytes become base64 in JSON."""
    return {
        "id": run.id,
        "task": run.task_id,
        "organization": run.organization_id,
        "status": run.status,
        "input": base64.b64encode(run.input).decode(),
        "result": run.output if run.status in FINAL else None,
        "log": run.log or None,
        "assigned_at": _time(run.assigned_at),
        "started_at": _time(run.started_at),
        "finished_at": _time(run.finished_at),
        "ports": [],
        "node": {
            "id": run.node_id,
            "name": platform.node_name(run.node_id),
            "ip": None,
            "status": platform.node_status(run.node_id),
            "config": [],
        },
    }


def result(run: Run, platform: Platform) -> dict[str, object]:
    """A run as v3 shows it by itself: with references to its task and its organization."""
    links = {
        "task": rest.reference("task", run.task_id),
        "organization": rest.reference("organization", run.organization_id),
    }
    return {**plain_result(run, platform), **links}


def run(run: Run, platform: Platform) -> dict[str, object]:
    """A run apart from its result, which v3 itself never shows so."""
    item = result(run, platform)
    del item["result"]
    return item


def _time(text: str | None) -> str | None:
    return text and f"{text}+00:00"
