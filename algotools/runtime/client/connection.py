"""The platform's interface for a master; ``contract`` implements it for each generation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from algotools.task import Identity

if TYPE_CHECKING:
    from algotools.disclosure.parent import TaskOrigin

Item: TypeAlias = dict[str, Any]
"""A task, run, organization or collaboration, with the fields of v4's server at nodes of every generation."""

Progress: TypeAlias = Literal["active", "completed", "unclear"]
"""The progress of a subtask. ``active``: no run has failed, and some are unfinished; ``completed``: all runs are."""


Sign: TypeAlias = Callable[[str, str, Sequence[int]], str]
"""A function: an rpc's method, the hash of its input and the organizations -> the signature; empty without a key."""


class RunState(Struct, frozen=True, kw_only=True):
    """The state of one run of a subtask, as reported by the node's proxy."""

    run_id: int
    organization_id: int
    status: str
    is_finished: bool
    log: str = ""
    hint: str = ""
    """The reason of a failure, if the platform itself reported one."""
    is_node_online: bool = True
    duration: float | None = None
    """Seconds from the start of a finished run to its end, by the clock of its node; None if unknown."""


class Connection(Protocol):
    """A node's proxy, called with the run's token."""

    @property
    def identity(self) -> Identity:
        """The ids in the token; read without a request."""

    @property
    def may_lose_results(self) -> bool:
        """Whether a node loses a result if two of its runs finish within the same second (v5)."""

    def use_signatures(self, sign: Sign) -> None:
        """Sign the input of each subtask from now on."""

    def list_organizations(self) -> dict[int, str]:
        """Return id and name of each organization of the collaboration."""

    def list_recipients(self) -> list[int]:
        """Return the ids of the organizations that the master's own task was sent to."""

    def create_task(
        self,
        method: str,
        arguments: Mapping[int, Mapping[str, object]],
        name: str = "",
        description: str = "",
        *,
        recipients: Collection[int] | None = None,
        resend_of: int | None = None,
    ) -> Item:
        """Create a subtask for an rpc, with arguments for each organization id; return the subtask.

        If the subtask repeats another one, whose result a node has lost, *resend_of* is the id of that one, and
        *recipients* are its organizations.
        """

    def read_progress(self, task_id: int) -> Progress:
        """Return the progress of a subtask. The response is small; in case of doubt, it is ``unclear``."""

    def count_finished(self, task_id: int, run_count: int) -> int | None:
        """Return how many of the *run_count* runs of a subtask have a finishing time; None without such a request.

        The response is small. A run that has failed before its start may never have a finishing time.
        """

    def read_run_states(self, task_id: int) -> Sequence[RunState]:
        """Return the state of each run of a subtask. The response contains the input of each run."""

    def read_durations(self, method: str) -> list[float]:
        """Return durations of runs of a method that other masters of this master's task have sent.

        The list is empty if the proxy does not return these runs.
        """

    def read_outputs(self, task_id: int) -> Mapping[int, bytes]:
        """Return run id and output of each run of a subtask that has an output."""

    def read_origin(self, *, with_organizations: bool) -> TaskOrigin:
        """Return the facts about the run's own task; the number of organizations is 0 unless it is requested."""

    def list_databases(self) -> list[Item]:
        """Return the databases that the master's own task requests, each with its ``label``."""

    def read_task(self, task_id: int) -> Item:
        """Return a task of the same job."""

    def read_run(self, run_id: int) -> Item:
        """Return a run of a task of the same job."""

    def list_runs(self, task_id: int) -> list[Item]:
        """Return all runs of a task of the same job, in the order in which they were created."""

    def list_members(self) -> list[Item]:
        """Return the organizations of the collaboration, with all fields."""

    def read_collaboration(self) -> Item:
        """Return the collaboration."""

    def close(self) -> None:
        """Close the connection."""
