"""The server's records, and the parts of the REST API that all generations share."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from algotools.runtime.contract import FINAL_STATUSES
from algotools.task import Database, Identity, Role, Step

MASKED = (500, {"msg": "Request failed, see node logs"})
"""The response of a proxy whenever the server refuses a request. The proxy hides the server's status and message."""

PAGE_SIZE = 10
"""Number of items on a page of a list, if a request does not name it."""


def to_base64(data: bytes) -> str:
    """Encode bytes in base64, with msgspec because it is three times as fast as the module base64."""
    return msgspec.json.encode(data)[1:-1].decode("ascii")


def make_reference(kind: str, id_: int, methods: Sequence[str] = ()) -> dict[str, object]:
    """Return a reference to another resource."""
    return {"id": id_, "link": f"/api/{kind}/{id_}", "methods": list(methods)}


def paginate(
    items: Sequence[object], path: str, query: Mapping[str, str], default_size: int = PAGE_SIZE
) -> dict[str, object]:
    """Return ``data`` and ``links`` of the requested page: by default the first one, with *default_size* items.

    The links show the number of pages, also if the requested page is after the last one.

    Raises:
        ValueError: the page or its size is not a positive number.
    """
    parameters = "&".join(f"{key}={value}" for key, value in query.items() if key != "page")

    def link(number: int) -> str:
        return f"/api/{path}?{parameters}{'&' if parameters else ''}page={number}"

    size, number = int(query.get("per_page", default_size)), int(query.get("page", "1"))
    if size < 1 or number < 1:
        raise ValueError("pages are counted from 1")
    last = -(-len(items) // size)
    links = {"first": link(1), "self": link(number)}
    if last:
        links["last"] = link(last)
    if number < last:
        links["next"] = link(number + 1)
    if number > 1:
        links["previous"] = link(number - 1)
    return {"data": list(items[(number - 1) * size : number * size]), "links": links}


def create_subtask(
    body: bytes, caller: Identity, platform: Platform, key: str = "input", *, has_posted_image: bool = False
) -> TaskRecord | tuple[int, object]:
    """Create the subtask that the body of a request describes, or return the response that refuses the request.

    ``key`` is the generation's key for the input of an organization. With ``has_posted_image``, the subtask runs the
    image in the request, whose name ends with that of the caller's image (v3); otherwise it runs the caller's image.
    """
    try:
        content: dict[str, Any] = _parse_json(body)
        organizations = content.get("organizations")
        if not organizations:
            source = "input" if key == "input" else f"input {key}"
            return 400, {"msg": f"Organizations missing from {source}"}
        inputs = {item["id"]: msgspec.convert(item[key], bytes) for item in organizations}  # base64
        name, description = str(content.get("name", "subtask")), str(content.get("description", ""))
        # The server refuses another collaboration, an organization that is named twice, and another image.
        if content.get("collaboration_id") != caller.collaboration_id or len(inputs) < len(organizations):
            return MASKED
        image = str(content["image"])
        if not image.endswith(caller.image):
            return MASKED
        own_image = image if has_posted_image else None
        return platform.create_subtask(caller, name, description, inputs, str(content.get("method", "")), own_image)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        return MASKED


def _parse_json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)  # faster for large inputs
    except ValueError:
        return json.loads(body)


def list_results(content: object) -> Iterator[int]:
    """Yield the id of each run whose result is in a response."""
    data = content.get("data", content) if isinstance(content, dict) else content
    for item in data if isinstance(data, list) else [data]:
        if isinstance(item, dict) and item.get("result"):
            yield item["id"]


def make_token(identity: Identity, key: bytes) -> str:
    """Return the token of a run: a JWT, signed with HS256, without expiry."""
    subject = {name: value for name, value in msgspec.to_builtins(identity).items() if value is not None}
    if isinstance(identity.databases, str):
        subject["database"] = subject.pop("databases")
    claims: dict[str, object]
    if identity.session_id is None:
        subject["client_type"] = "container"
        claims = {"type": "access", "client_type": "container", "roles": [], "sub": subject}
    else:  # only v5 has sessions, and its token has no further claims
        claims = {"sub": {"vantage6_client_type": "container", **subject}}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    signed = ".".join(_to_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{_to_base64url(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class OrganizationRecord(Struct, frozen=True):
    """An organization of the server."""

    id: int
    name: str


class RunRecord(Struct, kw_only=True):
    """A task at one organization. Times are in UTC, in ISO format without an offset."""

    id: int
    task_id: int
    organization_id: int
    node_id: int
    input: bytes
    status: str = "pending"
    log: str = ""
    output: bytes = b""
    assigned_at: str
    started_at: str | None = None
    finished_at: str | None = None
    detail: str = ""
    """Details for the node's owner, which no response of the API contains."""


class TaskRecord(Struct, kw_only=True):
    """A task as the server stores it."""

    id: int
    job_id: int
    parent_id: int | None
    name: str
    description: str
    image: str
    init_organization_id: int
    databases: str | list[Any]
    """The databases that the task requests, in the format of the generation."""
    created_at: str
    runs: list[RunRecord]
    method: str = ""
    """The method to call. Only v5 stores method, role and step, because on v3 and v4 the input contains them."""
    role: Role | None = None
    step: Step = "compute"
    session_id: int | None = None
    dataframe: dict[str, object] | None = None
    """The table that the task creates: ``id``, ``name`` and ``db_label``."""
    depends_on: tuple[int, ...] = ()
    """The ids of the tasks that must be completed before this task starts."""

    only_organization: int | None = None
    """The only organization whose node fetches its run; None if all nodes fetch their runs."""
    chosen_organizations: tuple[int, ...] | None = None
    """The organizations that arguments of a master name; None if the algorithm's signature is not known."""

    @property
    def fetched_runs(self) -> list[RunRecord]:
        """The runs that nodes fetch."""
        return [run for run in self.runs if self.only_organization in (None, run.organization_id)]

    @property
    def complete(self) -> bool:
        """Whether all runs have finished, in any status."""
        return all(run.finished_at for run in self.runs)

    @property
    def status(self) -> str:
        """The common status of the failed runs, ``failed`` if they differ; without these, that of the slowest run."""
        statuses = {run.status for run in self.runs}
        if failures := statuses & (FINAL_STATUSES - {"completed"}):
            return failures.pop() if len(failures) == 1 else "failed"
        return next((status for status in ("active", "initializing", "pending") if status in statuses), "completed")

    @property
    def finished_at(self) -> str | None:
        """The time at which the last run finished; None while a run is active."""
        return max(str(run.finished_at) for run in self.runs) if self.complete else None


class SessionRecord(Struct, kw_only=True):
    """A session (v5), in which tables are created and used."""

    id: int
    name: str
    scope: str
    created_at: str
    last_used_at: str | None = None


class DataframeRecord(Struct, kw_only=True):
    """A table of a session. Every node has its own part of the table."""

    id: int
    session_id: int
    name: str
    label: str
    """The label of the database that the table is extracted from."""
    source: Database | None = None
    """The database and its query, if nodes extract the table unchanged and without a task."""
    tasks: list[int] = []
    """Ids of the tasks that created and changed the table."""
    columns: list[dict[str, object]] = []
    """``node_id``, ``name`` and ``dtype`` of each column."""


class Platform(Protocol):
    """The part of the server that the proxy's routes use."""

    collaboration_id: int
    collaboration: str

    def organizations(self) -> Sequence[OrganizationRecord]:
        """Return the organizations of the collaboration."""

    def node_id(self, organization_id: int) -> int:
        """Return the id of an organization's node."""

    def node_name(self, node_id: int) -> str:
        """Return the name of a node."""

    def node_status(self, node_id: int) -> Literal["online", "offline"]:
        """Return whether a node fetches its runs."""

    def task(self, task_id: int) -> TaskRecord | None:
        """Return a task; None if the id is unknown."""

    def run(self, run_id: int) -> RunRecord | None:
        """Return a run; None if the id is unknown."""

    def children(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the subtasks of a task."""

    def required_by(self, task_id: int) -> Sequence[TaskRecord]:
        """Return the tasks that depend on a task."""

    def create_subtask(
        self,
        caller: Identity,
        name: str,
        description: str,
        inputs: Mapping[int, bytes],
        method: str = "",
        image: str | None = None,
    ) -> TaskRecord:
        """Create a subtask with the databases and the session of the caller's task; default image: that of the task.

        Raises:
            LookupError: an organization is not in the collaboration.
        """
