"""The researcher's client of the local federation: the calls of the platform's client, for each generation."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from algotools.errors import FederationError
from algotools.federation.client._members import CollaborationCalls, NodeCalls, OrganizationCalls
from algotools.federation.client._results import ResultCalls, RunCalls
from algotools.federation.client._sessions import DataframeCalls, SessionCalls
from algotools.federation.client._tasks import TaskCalls
from algotools.federation.client._view import ItemList, View, select_items

if TYPE_CHECKING:
    from algotools.federation._platform import LocalPlatform

__all__ = ["Client"]


class Client:
    """The client of a researcher, with the calls of the platform's client.

    The calls are grouped in ``collaboration``, ``organization``, ``node``, ``task``, ``run`` and ``result``, and on v5
    also in ``session`` and ``dataframe``.

    Items have the fields of the federation's generation. In addition, the calls of the platform's manual work on every
    generation, so v4 and v5 behave like v3 in three respects:

    * a task has the additional field ``complete``;
    * ``organizations`` of a collaboration is the list of its members, where v4 and v5 have a link;
    * ``result.list``, a call of v3 only, returns v3's items with decoded values, in the order of the organizations.

    ``result.from_task`` and ``wait_for_results`` return the format of each generation: plain lists on v3; on v4 and v5
    ``{"data": […], "links": {…}}``, with the newest run first and results as JSON text. No run is ever missing.
    """

    def __init__(self, owner: object, platform: LocalPlatform) -> None:
        self._view = View(owner, platform)

    @cached_property
    def collaboration(self) -> CollaborationCalls:
        """The calls for collaborations."""
        return CollaborationCalls(self._view)

    @cached_property
    def organization(self) -> OrganizationCalls:
        """The calls for organizations."""
        return OrganizationCalls(self._view)

    @cached_property
    def node(self) -> NodeCalls:
        """The calls for nodes."""
        return NodeCalls(self._view)

    @cached_property
    def task(self) -> TaskCalls:
        """The calls for tasks."""
        return TaskCalls(self._view)

    @cached_property
    def run(self) -> RunCalls:
        """The calls for runs."""
        return RunCalls(self._view)

    @cached_property
    def result(self) -> ResultCalls:
        """The calls for results."""
        return ResultCalls(self._view)

    @cached_property
    def session(self) -> SessionCalls:
        """The calls for sessions (v5)."""
        return SessionCalls(self._view)

    @cached_property
    def dataframe(self) -> DataframeCalls:
        """The calls for the tables of sessions (v5)."""
        return DataframeCalls(self._view)

    @property
    def collaboration_id(self) -> int | None:
        """The id of the collaboration that ``setup_collaboration`` has set; None before."""
        return self._view.default_collaboration

    def authenticate(self, username: str = "", password: str = "", mfa_code: str | int | None = None) -> None:
        """Do nothing, so that a researcher's script runs unchanged.

        Every caller of the local federation may do everything. Name and password are ignored.

        Raises:
            FederationError: the federation is closed.
        """
        del username, password, mfa_code
        self._view.platform.check_open()

    def setup_encryption(self, private_key_file: str | None = None) -> None:
        """Do nothing, because this collaboration is not encrypted.

        Args:
            private_key_file: None, as in every collaboration without encryption.

        Raises:
            FederationError: a key is passed, which would not be used.
        """
        if private_key_file is not None:
            raise FederationError("this collaboration is not encrypted: use setup_encryption(None)")

    def setup_collaboration(self, collaboration_id: int) -> None:
        """Set the collaboration for calls that do not name one.

        The local federation has a single collaboration. The only effect is that of v4: ``organization.list`` returns
        only the members of the collaboration.

        Raises:
            FederationError: the collaboration is unknown.
        """
        self._view.check_collaboration(collaboration_id)
        self._view.default_collaboration = collaboration_id

    def wait_for_results(self, task_id: int, interval: float = 1.0, *, sleep: float | None = None) -> ItemList:
        """Wait until a task is complete, and return its results.

        Args:
            task_id: id of the task.
            interval: polling interval in seconds on the platform; ignored here, because the call returns at once when
                the task is complete.
            sleep: the name of ``interval`` on v3.

        Returns:
            The same as ``client.result.from_task``. On v3 the results are not decoded: ``result`` has the bytes of the
            output, ``b'json.{…}'``. The result of a failed run is None, and ``client.run.from_task`` has its
            ``status`` and ``log``.

        Raises:
            FederationError: the task is unknown, or the federation was closed before the task was complete.
        """
        del interval, sleep
        task = self._view.find_task(task_id)
        self._view.platform.wait(task)
        if any(run.status == "killed by user" for run in task.runs):
            self._view.platform.check_open()
        if not self._view.is_v3:
            return self.result.from_task(task_id)
        return select_items(
            task.runs, self._view.show_raw_result, "result", {"include_metadata": False}, self.wait_for_results
        )
