"""v4's proxy, both sides: the endpoints that a master needs, and those that any v4 container may ask."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Optional, cast

import msgspec

from algotools.client.connection import Item, RunState
from algotools.client.http import PATIENCE
from algotools.contract import rest
from algotools.contract.connection import NO_TASK, BaseConnection, understanding
from algotools.contract.platform import FINAL, Organization, Platform, Run
from algotools.contract.platform import Task as TaskRecord
from algotools.task import Identity


class _Run(msgspec.Struct):
    id: int


class _Result(msgspec.Struct):
    """The result of a run: in base64, or the name of what a blob store keeps; still as it stands in the JSON.

    So a large one becomes bytes at once, without being a text in between.
    """

    run: _Run
    result: msgspec.Raw = msgspec.Raw()
    blob_storage_used: Optional[bool] = None

    @property
    def is_there(self) -> bool:
        """Whether it is more than null or an empty text."""
        return len(memoryview(self.result)) > len(b"null")


class _Results(msgspec.Struct):
    data: list[_Result]


class ProxyConnection(BaseConnection):
    """The container's side; see ``Connection``. Only endpoints that every 4.x has."""

    def members(self) -> list[Item]:
        """See ``Connection``: those of the study, if the task belongs to one."""
        return [dict(item) for item in self._members]

    @cached_property
    @understanding()
    def _members(self) -> list[Item]:
        scope = "collaboration_id" if self.identity.study_id is None else "study_id"
        within = self.identity.study_id or self.identity.collaboration_id
        return self._list("organization", **{scope: within})

    def create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        """See ``Connection``."""
        scope = {"study_id": self.identity.study_id, "store_id": self.identity.store_id}
        told = {key: value for key, value in scope.items() if value is not None}
        databases = self.identity.databases
        return self._post_task(method, arguments, name, description, databases=databases, **told)

    @understanding()
    def under_way(self, task_id: int) -> bool:
        """See ``Connection``. A task counts as failed with its first run that fails, while others go on."""
        return self._item("task", task_id, self._patience(task_id))["status"] in UNDER_WAY

    @understanding()
    def runs(self, task_id: int) -> list[RunState]:
        """See ``Connection``."""
        return [
            RunState(
                run_id=item["id"],
                organization_id=item["organization"]["id"],
                status=item["status"],
                finished=item["status"] in FINAL,
                log=item.get("log") or "",
                hint=next((hint for words, hint in HINTS.items() if words in (item.get("log") or "")), ""),
                node_online=not item.get("node") or item["node"].get("status") == "online",
            )
            for item in self.runs_of(task_id)
        ]

    @understanding()
    def results(self, task_id: int) -> dict[int, bytes]:
        """See ``Connection``: what is kept in a blob store is fetched from there."""
        found = {}
        for item in self._http.read(_Results, "result", self._patience(task_id), NO_TASK, task_id=task_id).data:
            if not item.is_there:
                continue
            if item.blob_storage_used:
                output = self._http.download(f"blobstream/{msgspec.json.decode(item.result, type=str)}")
            else:
                output = msgspec.json.decode(item.result, type=bytes)
            found[item.run.id] = self._contract.result(output)
        return found

    def databases(self) -> list[Item]:
        """See ``Connection``."""
        return cast("list[Item]", self.identity.databases or [])

    @understanding()
    def task(self, task_id: int) -> Item:
        """See ``Connection``."""
        return self._item("task", task_id, self._patience(task_id))

    @understanding()
    def run(self, run_id: int) -> Item:
        """See ``Connection``."""
        return self._item("run", run_id)

    @understanding()
    def runs_of(self, task_id: int) -> list[Item]:
        """See ``Connection``: a server lists the newest first."""
        return sorted(self._list("run", self._patience(task_id), task_id=task_id), key=lambda run: int(run["id"]))

    @understanding()
    def collaboration(self) -> Item:
        """See ``Connection``."""
        return self._item("collaboration", self.identity.collaboration_id, PATIENCE)

    def _place(self, organization_id: int, data: bytes) -> str:
        """In the server's blob store, if it has one (4.13): then it takes no other inputs."""
        if not self._has_blob_store:
            return super()._place(organization_id, data)
        key = self._keys.get(organization_id) or "none"  # the proxy refuses an empty one
        return str(cast("Item", self._http.upload("blobstream", data, {"X-Public-Key": key}))["uuid"])

    @cached_property
    def _keys(self) -> dict[int, str | None]:
        """The public key of each organization that has one."""
        return {item["id"]: item.get("public_key") for item in self._members}

    @cached_property
    def _has_blob_store(self) -> bool:
        answer = cast("Item | None", self._http.find("blobstream/status"))
        return answer is not None and bool(answer["blob_store_enabled"])

    def _list(self, path: str, patience: float = PATIENCE, **query: object) -> list[Item]:
        """All items of a list; without a page, all of them come at once."""
        hint = NO_TASK if "task_id" in query else ""
        return list(cast("Item", self._http.get(path, patience, hint, **query))["data"])


UNDER_WAY = frozenset({"pending", "initializing", "active"})
"""How a task is doing of which no run has failed, and some have not ended."""

HINTS = {
    "Marked as failed because sibling run": "not started, because another organization's run had failed",
    "Node does not allow sharing algorithm logs": "its node does not share logs",
}
"""Words of the platform in a run's log, and what they say of why it failed."""


def respond(
    method: str, path: str, query: Mapping[str, str], body: bytes, caller: Identity, platform: Platform
) -> tuple[int, object]:
    """The proxy's side; see ``Contract.respond``. Runs and results come newest first, as from a real server."""
    match [method, *path.split("/")]:
        case ["POST", "task"]:
            parent = platform.task(caller.task_id)
            created = rest.MASKED if parent is None or parent.status in FINAL else rest.create(body, caller, platform)
            return (201, task(created, platform)) if isinstance(created, TaskRecord) else created
        case ["GET", "task", id_] if found := platform.task(int(id_)):
            return 200, task(found, platform)
        case ["GET", "task", id_, "status"] if found := platform.task(int(id_)):
            return 200, {"status": found.status}
        case ["GET", "run"] if found := platform.task(int(query.get("task_id", 0))):
            return 200, rest.page([run(one, platform) for one in reversed(found.runs)], path, query)
        case ["GET", "run", id_] if one := platform.run(int(id_)):
            return 200, run(one, platform)
        case ["GET", "result"] if "task_id" not in query:
            return 400, {"msg": "No task id found in request from algorithm"}
        case ["GET", "result"] if found := platform.task(int(query.get("task_id", 0))):
            return 200, rest.page([result(one, platform) for one in reversed(found.runs)], path, query)
        case ["GET", "organization"] if query.get("collaboration_id", str(platform.collaboration_id)) != str(
            platform.collaboration_id
        ):
            return rest.MASKED
        case ["GET", "organization"]:
            return 200, rest.page([organization(o) for o in platform.organizations()], path, query)
        case ["GET", "organization", id_]:
            members = [o for o in platform.organizations() if o.id == int(id_)]
            return (200, organization(members[0])) if members else rest.MASKED
        case ["GET", "collaboration", id_] if int(id_) == platform.collaboration_id:
            return 200, collaboration(platform)
        case ["GET", "blobstream", "status"]:
            return 200, {"blob_store_enabled": False}
        case ["GET", "vpn", "algorithm", "addresses"]:
            return 200, {"addresses": []}
        case _:
            return rest.MASKED


def organization(record: Organization) -> dict[str, object]:
    """An organization as v4 shows it."""
    lists = {name: name.removesuffix("s") for name in ("collaborations", "nodes", "users", "tasks", "runs")}
    lists["studies"] = "study"
    links = {name: f"/api/{kind}?organization_id={record.id}" for name, kind in lists.items()}
    empty = dict.fromkeys(("public_key", "domain", "address1", "address2", "zipcode", "country"), "")
    return {**links, **empty, "id": record.id, "name": record.name}


def collaboration(platform: Platform) -> dict[str, object]:
    """A collaboration as v4 shows it."""
    id_ = platform.collaboration_id
    lists = {
        "organizations": "organization",
        "nodes": "node",
        "tasks": "task",
        "algorithm_stores": "algorithmstore",
        "studies": "study",
    }
    links = {name: f"/api/{kind}?collaboration_id={id_}" for name, kind in lists.items()}
    return {**links, "id": id_, "name": platform.collaboration, "encrypted": False}


def task(record: TaskRecord, platform: Platform, databases: list[dict[str, object]] | None = None) -> dict[str, object]:
    """A task as v4 shows it; ``databases`` as another generation shows them."""
    return {
        "id": record.id,
        "job_id": record.job_id,
        "name": record.name,
        "description": record.description,
        "image": record.image,
        "status": record.status,
        "created_at": record.created_at,
        "finished_at": record.finished_at,
        "collaboration": rest.reference("collaboration", platform.collaboration_id),
        "init_org": rest.reference("organization", record.init_organization_id),
        "init_user": None,
        "parent": rest.reference("task", record.parent_id) if record.parent_id else None,
        "children": f"/api/task?parent_id={record.id}",
        "runs": f"/api/run?task_id={record.id}",
        "results": f"/api/result?task_id={record.id}",
        "databases": _databases(record) if databases is None else databases,
        "study": None,
        "algorithm_store": None,
    }


def _databases(record: TaskRecord) -> list[dict[str, object]]:
    return [
        {"label": database["label"], "parameters": json.dumps({k: v for k, v in database.items() if k != "label"})}
        for database in cast("list[dict[str, object]]", record.databases)
    ]


def run(run: Run, platform: Platform) -> dict[str, object]:
    """A run as v4 shows it."""
    return {
        "id": run.id,
        "organization": rest.reference("organization", run.organization_id),
        "task": rest.reference("task", run.task_id),
        "results": rest.reference("result", run.id),
        "node": {
            "id": run.node_id,
            "ip": None,
            "status": platform.node_status(run.node_id),
            "name": platform.node_name(run.node_id),
        },
        "ports": [],
        "input": base64.b64encode(run.input).decode(),
        "status": run.status,
        "log": run.log or None,
        "assigned_at": run.assigned_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "cleanup_at": None,
        "blob_storage_used": False,
    }


def result(run: Run, platform: Platform) -> dict[str, object]:
    """A run's result as v4 shows it; its bytes become base64 in JSON."""
    del platform  # v5's result tells more, and asks it
    return {
        "id": run.id,
        "run": rest.reference("run", run.id, ["GET", "PATCH"]),
        "task": rest.reference("task", run.task_id, ["GET", "DELETE"]),
        "result": run.output if run.status in FINAL else None,
        "cleanup_at": None,
        "blob_storage_used": False,
    }
