"""What a master needs of the platform, whatever its generation: ``contract`` implements it for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from algotools.task import Identity

Item: TypeAlias = dict[str, Any]
"""One thing that the platform knows (a task, a run, …) as v4's server shows it, whatever the node's generation."""


class RunState(Struct, frozen=True, kw_only=True):
    """One run of a subtask, as the node's proxy tells it."""

    run_id: int
    organization_id: int
    status: str
    finished: bool
    log: str = ""
    hint: str = ""
    """Why it failed, as far as the platform itself says."""
    node_online: bool = True


class Connection(Protocol):
    """A node's proxy, spoken to with the run's own token."""

    @property
    def identity(self) -> Identity:
        """Whom the token speaks for; read from the token, without a request."""

    def organizations(self) -> dict[int, str]:
        """Id and name of each organization of the collaboration."""

    def asked(self) -> list[int]:
        """The organizations that the master's own task was sent to."""

    def create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        """Send an rpc with its arguments to each organization; gives the subtask."""

    def under_way(self, task_id: int) -> bool:
        """Whether a subtask is sure to have runs that go on. A question that costs little; not so sure means False."""

    def runs(self, task_id: int) -> Sequence[RunState]:
        """How the subtask's runs are doing."""

    def results(self, task_id: int) -> Mapping[int, bytes]:
        """Run id -> the bytes of its output, for the runs that have one."""

    def databases(self) -> list[Item]:
        """The databases that the master's own task asks for, each with its ``label``."""

    def task(self, task_id: int) -> Item:
        """A task of the same job."""

    def run(self, run_id: int) -> Item:
        """A run of such a task."""

    def runs_of(self, task_id: int) -> list[Item]:
        """All runs of such a task, in the order in which they were created."""

    def members(self) -> list[Item]:
        """The organizations of the collaboration."""

    def collaboration(self) -> Item:
        """The collaboration."""

    def close(self) -> None:
        """Give the connection back."""
