"""What the proxies of all generations have in common, on the proxy's side."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from algotools.contract.platform import Organization, Platform, Task
from algotools.task import Identity

MASKED = (500, {"msg": "Request failed, see node logs"})
"""How a proxy passes on whatever the server refuses: the server's own status and words are lost."""


def to_base64(data: bytes) -> str:
    """Bytes as a JSON text has them. msgspec takes a third of the time of Python's own module."""
    return msgspec.json.encode(data)[1:-1].decode("ascii")


def from_base64(text: str) -> bytes:
    """The bytes that a text tells of; raises ValueError if it tells of none."""
    return msgspec.json.decode(f'"{text}"', type=bytes)


def reference(kind: str, id_: int, methods: Sequence[str] = ()) -> dict[str, object]:
    """How an answer refers to another resource."""
    return {"id": id_, "link": f"/api/{kind}/{id_}", "methods": list(methods)}


def node(record: Organization, platform: Platform) -> dict[str, object]:
    """The node of an organization, as v3 and v4 show it."""
    id_ = platform.node_id(record.id)
    return {
        "id": id_,
        "name": platform.node_name(id_),
        "status": platform.node_status(id_),
        "organization": reference("organization", record.id),
        "collaboration": reference("collaboration", platform.collaboration_id),
        "type": "node",
        "ip": None,
        "last_seen": None,
        "config": [],
    }


def page(items: Sequence[object], path: str, query: Mapping[str, str]) -> dict[str, object]:
    """``data`` and ``links``: everything, or the page that is asked for, by default of ten."""
    rest = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")

    def link(number: int) -> str:
        return f"/api/{path}?{rest}{'&' if rest else ''}page={number}"

    if not query.keys() & {"page", "per_page"}:
        return {"data": list(items), "links": {"first": link(1), "self": link(1), "last": link(1)}}
    size, number = int(query.get("per_page", "10")), int(query.get("page", "1"))
    if size < 1 or number < 1:
        raise ValueError("pages are counted from 1")
    last = max(1, -(-len(items) // size))
    links = {"first": link(1), "self": link(number), "last": link(last)}
    if number < last:
        links["next"] = link(number + 1)
    if number > 1:
        links["previous"] = link(number - 1)
    return {"data": list(items[(number - 1) * size : number * size]), "links": links}


def create(
    body: bytes,
    caller: Identity,
    platform: Platform,
    key: str = "input",
    missing: str = "Organizations missing from input",
) -> Task | tuple[int, object]:
    """Create the subtask that a request's body describes; or the answer that refuses it.

    ``key`` is the generation's word for an organization's input, ``missing`` what it says where none is named.
    """
    try:
        content: dict[str, Any] = json.loads(body)
        asked = content.get("organizations")
        if not asked:
            return 400, {"msg": missing}
        inputs = {item["id"]: base64.b64decode(item[key], validate=True) for item in asked}
        name, description = str(content.get("name", "subtask")), str(content.get("description", ""))
        if content.get("collaboration_id") != caller.collaboration_id or len(inputs) < len(asked):
            return MASKED
        if not str(content["image"]).endswith(caller.image):
            return MASKED
        return platform.create_subtask(caller, name, description, inputs, str(content.get("method", "")))
    except (ValueError, TypeError, KeyError, AttributeError, LookupError, RecursionError, binascii.Error):
        return MASKED
