"""The researcher's client over the local federation: the platform's calls, in the generation that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from algotools.contract import Contract
from algotools.errors import FederationError
from algotools.federation.client.members import Collaborations, Nodes, Organizations
from algotools.federation.client.results import Results, Runs
from algotools.federation.client.selection import Listed, several
from algotools.federation.client.sessions import Dataframes, Sessions
from algotools.federation.client.tasks import Tasks
from algotools.federation.client.view import View
from algotools.federation.posting import Posting
from algotools.federation.store import Store

if TYPE_CHECKING:
    from algotools.federation import Federation

__all__ = ["Client"]


class Client:
    """What a researcher has in hand.

    ``collaboration``, ``organization``, ``node``, ``task``, ``run`` and ``result``; on v5 ``session`` and
    ``dataframe``, too.

    Items have the fields that the client of the federation's contract gives them. What the platform's manual shows
    works on every contract, so that in these places v4 and v5 have v3's way:

    * a task has ``complete``, besides its own fields;
    * a collaboration has the list of its members in ``organizations``, where v4 and v5 have a link;
    * ``result.list``, which only v3 has, gives v3's items, in the order of the organizations, with decoded values.

    ``result.from_task`` and ``wait_for_results`` are as each generation's: on v3 plain lists, on v4 and v5
    ``{"data": […], "links": {…}}``, the newest run first, with results as JSON text. But no run is ever missing.
    """

    def __init__(self, federation: Federation, store: Store, contract: Contract, posting: Posting) -> None:
        self._view = View(federation, store, contract)
        self.collaboration = Collaborations(self._view)
        self.organization = Organizations(self._view)
        self.node = Nodes(self._view)
        self.task = Tasks(self._view, posting)
        self.run = Runs(self._view)
        self.result = Results(self._view)
        self.session = Sessions(self._view, posting)
        self.dataframe = Dataframes(self._view, posting)

    @property
    def collaboration_id(self) -> int | None:
        """The collaboration of ``setup_collaboration``; None before."""
        return self._view.default_collaboration

    def authenticate(self, username: str = "", password: str = "", mfa_code: str | int | None = None) -> None:
        """Nothing to be done: whoever has the federation may do everything.

        It is here so that a researcher's script runs as it is; name and password are not looked at.

        Raises:
            FederationError: the federation is closed.
        """
        del username, password, mfa_code
        self._view.federation.check_open()

    def setup_encryption(self, private_key_file: str | None = None) -> None:
        """Nothing to be done: this collaboration is not encrypted.

        Args:
            private_key_file: None, as in every collaboration without encryption.

        Raises:
            FederationError: a key is given, which nothing here would be encrypted with.
        """
        if private_key_file is not None:
            raise FederationError("this collaboration is not encrypted: use setup_encryption(None)")

    def setup_collaboration(self, collaboration_id: int) -> None:
        """Name the collaboration that calls mean if they name none.

        Here there is only one, so that it changes but one thing, as on v4: ``organization.list`` gives its members
        alone.

        Raises:
            FederationError: there is no such collaboration.
        """
        self._view.check_collaboration(collaboration_id)
        self._view.default_collaboration = collaboration_id

    def wait_for_results(self, task_id: int, interval: float = 1.0, *, sleep: float | None = None) -> Listed:
        """Wait until a task is complete, and give its results.

        Args:
            task_id: id of the task.
            interval: seconds between two looks, on the platform; here the end of the task is told at once.
            sleep: the same, as v3 spells it.

        Returns:
            What ``client.result.from_task`` gives; on v3, as there, not decoded: with the bytes as they came in
            ``result``, ``b'json.{…}'``. No run is missing: one that failed has None there, and
            ``client.run.from_task`` has its ``status`` and ``log``.

        Raises:
            FederationError: there is no such task, or the federation was closed before the task was complete.
        """
        del interval, sleep
        task = self._view.find_task(task_id)
        self._view.federation.wait(task_id)
        if any(run.status == "killed by user" for run in task.runs):
            self._view.federation.check_open()
        if not self._view.is_v3:
            return self.result.from_task(task_id)
        return several(task.runs, self._view.raw_result, "result", {"include_metadata": False}, self.wait_for_results)
