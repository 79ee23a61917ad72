"""What the proxy's HTTP needs to know of the server behind it: records, and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from algotools.task import Database, Identity, Role, Step

FINAL = frozenset(
    {
        "completed", "failed", "start failed", "non-existing Docker image", "crashed", "killed by user", "not allowed",
        "unknown error", "dataframe not found", "depended on failed task", "unexpected output",
    }
)  # fmt: skip
"""The statuses after which nothing more happens to a run."""


class Organization(Struct, frozen=True):
    """An organization that the server knows."""

    id: int
    name: str


class Run(Struct, kw_only=True):
    """A task at one organization; times are UTC in ISO format without an offset."""

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
    """What only the node's owner sees; no answer of the API holds it."""


class Task(Struct, kw_only=True):
    """A task as the server keeps it."""

    id: int
    job_id: int
    parent_id: int | None
    name: str
    description: str
    image: str
    init_organization_id: int
    databases: str | list[Any]
    """The databases that the task asks for, in the generation's own words."""
    created_at: str
    runs: list[Run]
    method: str = ""
    """What is called, where it is no part of the input (v5); so are role and step."""
    role: Role | None = None
    step: Step = "compute"
    session_id: int | None = None
    dataframe: dict[str, object] | None = None
    """The table that the task makes: ``id``, ``name`` and ``db_label``."""
    depends_on: tuple[int, ...] = ()
    """The tasks that must be completed before this one begins."""

    @property
    def complete(self) -> bool:
        """Whether all runs have ended."""
        return all(run.finished_at for run in self.runs)

    @property
    def status(self) -> str:
        """The runs' failure, if they share one; else ``failed``; else how far the slowest has come."""
        statuses = {run.status for run in self.runs}
        if failures := statuses & (FINAL - {"completed"}):
            return failures.pop() if len(failures) == 1 else "failed"
        return next((status for status in ("active", "initializing", "pending") if status in statuses), "completed")

    @property
    def finished_at(self) -> str | None:
        """When the last run ended; None while one has not."""
        return max(str(run.finished_at) for run in self.runs) if self.complete else None


class Session(Struct, kw_only=True):
    """What tables are made and used in (v5)."""

    id: int
    name: str
    scope: str
    created_at: str
    last_used_at: str | None = None


class Dataframe(Struct, kw_only=True):
    """A table of a session, of which every node has a part of its own."""

    id: int
    session_id: int
    name: str
    label: str
    """The database that it comes from."""
    source: Database | None = None
    """Set where nodes extract it as it is, without a task; what the database is asked for."""
    tasks: list[int] = []
    """Ids of the tasks that made it what it is."""
    columns: list[dict[str, object]] = []
    """``node_id``, ``name`` and ``dtype`` of each."""


class Platform(Protocol):
    """The server, as the proxy's routes use it."""

    collaboration_id: int
    collaboration: str

    def organizations(self) -> Sequence[Organization]:
        """The organizations of the collaboration."""

    def node_id(self, organization_id: int) -> int:
        """The node of an organization of the collaboration."""

    def node_name(self, node_id: int) -> str:
        """What a node is called."""

    def node_status(self, node_id: int) -> Literal["online", "offline"]:
        """Whether a node is there to fetch its runs."""

    def task(self, task_id: int) -> Task | None:
        """A task by its id."""

    def run(self, run_id: int) -> Run | None:
        """A run by its id."""

    def children(self, task_id: int) -> Sequence[Task]:
        """The subtasks of a task."""

    def required_by(self, task_id: int) -> Sequence[Task]:
        """The tasks that wait for a task to be completed."""

    def create_subtask(
        self, caller: Identity, name: str, description: str, inputs: Mapping[int, bytes], method: str = ""
    ) -> Task:
        """A task of the caller's organization, with the image, the databases and the session of the caller's task.

        Raises:
            LookupError: an organization is not in the collaboration.
        """
