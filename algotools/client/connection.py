"""What a master needs of the platform, whatever its generation: ``contract`` implements it for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from algotools.task import Identity


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

    def create(self, method: str, arguments: Mapping[int, Mapping[str, object]]) -> int:
        """Send an rpc with its arguments to each organization; gives the id of the subtask."""

    def runs(self, task_id: int) -> Sequence[RunState]:
        """How the subtask's runs are doing."""

    def close(self) -> None:
        """Give the connection back."""

    def results(self, task_id: int) -> Mapping[int, bytes]:
        """Run id -> the bytes of its output, for the runs that have one."""
