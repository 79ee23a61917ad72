"""What v3's proxy tells, in v4's words: a master sees the same things at nodes of every generation.

What v4 has and v3 does not is there, and empty. What v3 lists, v4 links to.
"""

from __future__ import annotations

from typing import Any

from algotools.client.connection import Item
from algotools.contract import rest


def databases(requested: object) -> list[Item]:
    """The databases that a task asks for; v3's asks for one at most, by its label."""
    return [{"label": requested}] if requested else []


def task(item: Item) -> Item:
    """A task."""
    id_ = item["id"]
    return {
        "id": id_,
        "job_id": item["run_id"],
        "name": item["name"],
        "description": item["description"],
        "image": item["image"],
        "status": item.get("status") or ("completed" if item["complete"] else "pending"),
        "created_at": _time(item["created_at"]),
        "finished_at": _time(item.get("finished_at")),
        "collaboration": _reference("collaboration", item["collaboration"]),
        "init_org": _reference("organization", item["initiator"]),
        "init_user": _reference("user", item.get("init_user")),
        "parent": _reference("task", item["parent"]),
        "children": f"/api/task?parent_id={id_}",
        "runs": f"/api/run?task_id={id_}",
        "results": f"/api/result?task_id={id_}",
        "databases": [{**database, "parameters": "{}"} for database in databases(item["database"])],
        "study": None,
        "algorithm_store": None,
    }


def run(item: Item) -> Item:
    """A run, which v3 calls a result."""
    node = item.get("node") or {}
    return {
        "id": item["id"],
        "organization": _reference("organization", item["organization"]),
        "task": _reference("task", item["task"]),
        "results": rest.reference("result", item["id"]),
        "node": {key: node.get(key) for key in ("id", "ip", "status", "name")},
        "ports": item.get("ports") or [],
        "input": item.get("input"),
        "status": item.get("status") or "pending",
        "log": item.get("log"),
        "assigned_at": _time(item.get("assigned_at")),
        "started_at": _time(item.get("started_at")),
        "finished_at": _time(item.get("finished_at")),
        "cleanup_at": None,
        "blob_storage_used": False,
    }


def organization(item: Item) -> Item:
    """An organization."""
    texts = ("domain", "address1", "address2", "zipcode", "country", "public_key")
    lists = ("collaborations", "nodes", "users", "tasks", "runs", "studies")
    links = {name: f"/api/{_singular(name)}?organization_id={item['id']}" for name in lists}
    return {**links, **{name: item.get(name) for name in texts}, "id": item["id"], "name": item["name"]}


def collaboration(item: Item) -> Item:
    """A collaboration."""
    lists = ("organizations", "nodes", "tasks", "algorithm_stores", "studies")
    links = {name: f"/api/{_singular(name)}?collaboration_id={item['id']}" for name in lists}
    return {**links, "id": item["id"], "name": item["name"], "encrypted": item.get("encrypted", False)}


def organization_id(reference: Any) -> int:
    """The id in v3's reference to an organization: the number itself, or an object that has it."""
    return int(reference["id"] if isinstance(reference, dict) else reference)


def _singular(name: str) -> str:
    """What a list is called in a path."""
    return {"studies": "study", "algorithm_stores": "algorithmstore"}.get(name, name.removesuffix("s"))


def _reference(kind: str, value: Any) -> object:
    """A reference to another thing, which v3 gives as a number in some answers, and as an object in others."""
    return rest.reference(kind, value) if isinstance(value, int) else value


def _time(text: str | None) -> str | None:
    """A time without v3's offset, which is always that of UTC."""
    return text and text.removesuffix("+00:00")
