"""From a call to a task at the server, in each generation's own words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from algotools.contract import Contract, Request
from algotools.contract.platform import Dataframe, Task
from algotools.errors import FederationError
from algotools.federation.sessions import Sessions, Tables
from algotools.federation.store import Store
from algotools.task import Database

if TYPE_CHECKING:
    from algotools.federation import Federation

Asked = Union[Database, Sequence[int]]
"""What a task asks for: a database by label, or the tables of one argument by their ids (v5)."""


class Texts(NamedTuple):
    """What people read of a task, and the image that it names."""

    name: str = ""
    description: str = ""
    image: str = ""


class Posting:
    """Creates tasks as a researcher's client does."""

    def __init__(self, federation: Federation, store: Store, contract: Contract, sessions: Sessions) -> None:
        self._federation = federation
        self._store = store
        self._contract = contract
        self.sessions = sessions

    def send(
        self,
        organizations: Iterable[int],
        request: Request,
        databases: Sequence[Asked],
        texts: Texts,
        *,
        session: int | None = None,
        only: int | None = None,
    ) -> Task:
        """Create a task; for ``only`` see ``Store.create``.

        Raises:
            FederationError: the generation has no sessions, or wants to be told more.
            ContractError: the generation cannot express it.
        """
        self._federation.check_open()
        by_label = [asked for asked in databases if isinstance(asked, Database)]
        by_ids = [asked for asked in databases if not isinstance(asked, Database)]
        if self._contract.has_sessions:
            if by_label and by_ids:
                raise FederationError("name either tables by their ids, or databases by label")
            if not request.method:
                raise FederationError("v5 must be told the method beside the input: name it")
            role = request.role or self._federation.role_of(request.method) or "rpc"  # if it is not, the run says so
            found = self.sessions.by_ids(by_ids, session) if by_ids else self.sessions.by_labels(by_label, session)
            return self._create(organizations, request._replace(role=role), texts, found, only=only)
        if by_ids or session is not None:
            raise FederationError(f"{self._contract.name} has no sessions: name databases by label, or use contract v5")
        return self._create(organizations, request, texts, self._contract.databases(by_label), only=only)

    def make(self, table: Dataframe, request: Request, image: str) -> Task:
        """Create the task by which every organization makes a table, or another of what it is now."""
        self._federation.check_open()
        made = {"id": table.id, "name": table.name, "db_label": table.label}
        asked = self.sessions.by_ids([[table.id]] if request.step == "preprocessing" else [], table.session_id)
        texts = Texts(f"{request.method} for {table.name}", image=image)
        request = request._replace(role="rpc")
        task = self._create(self._federation.organizations(), request, texts, asked, dataframe=made)
        table.tasks.append(task.id)
        return task

    def _create(
        self,
        organizations: Iterable[int],
        request: Request,
        texts: Texts,
        asked: Tables | str | list[Any],
        **more: Any,
    ) -> Task:
        if isinstance(asked, Tables):
            more |= {"session_id": asked.session_id, "depends_on": asked.depends_on}
        inputs = dict.fromkeys(organizations, request.data)
        words = asked.words if isinstance(asked, Tables) else asked
        more |= {"method": request.method, "role": request.role, "step": request.step}
        return self._store.create(texts.name, texts.description, texts.image, words, inputs, **more)
