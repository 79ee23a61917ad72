"""The container's side of every generation's proxy: what they have in common."""

from __future__ import annotations

import base64
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from algotools.client.connection import Item, RunState
from algotools.client.http import Http
from algotools.contract import files, token
from algotools.contract.base import Contract
from algotools.errors import AlgotoolsError, ProxyError, TokenError
from algotools.task import Task

PATIENCE_WHILE_WAITING = 600.0
"""Seconds for which an unreachable proxy is borne while results are waited for: a server's upgrade."""

PATIENCE_FOR_AN_ID = 10.0
"""Seconds for which it is borne that the proxy gives nothing for an id that we know only from the author: the proxy
answers to an id that does not exist as it does to a passing fault."""

NO_TASK = "most often there is no task of this id that this master may look at; "
"""What it most often means that the proxy gives nothing of a task."""


@contextmanager
def understanding() -> Iterator[None]:
    """Within, an answer of another shape than this generation's is a ``ProxyError``."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, AlgotoolsError):
            raise
        raise ProxyError(
            "the node's proxy answers in another form than this generation's", detail=traceback.format_exc()
        ) from None


class BaseConnection(ABC):
    """A node's proxy, spoken to with the run's token; see ``Connection``."""

    key = "input"
    """How the body of a subtask calls an organization's input."""

    def __init__(self, task: Task, text: str, contract: Contract) -> None:
        if task.proxy is None:
            raise TokenError("the node names no proxy, so this run cannot reach the platform")
        self.identity = token.read(text)
        self._http = Http(task.proxy.url, text)
        self._contract = contract

        self._created: set[int] = set()

    @abstractmethod
    def runs(self, task_id: int) -> list[RunState]:
        """See ``Connection``."""

    @abstractmethod
    def members(self) -> list[Item]:
        """See ``Connection``."""

    def organizations(self) -> dict[int, str]:
        """See ``Connection``."""
        with understanding():
            return {item["id"]: item["name"] for item in self.members()}

    def asked(self) -> list[int]:
        """See ``Connection``."""
        return [run.organization_id for run in sorted(self.runs(self.identity.task_id), key=lambda run: run.run_id)]

    def close(self) -> None:
        """See ``Connection``."""
        self._http.close()

    def _patience(self, task_id: int) -> float:
        """How long a question about a task may stay unanswered: a task of ours is there, whatever the proxy says."""
        known = task_id in self._created or task_id == self.identity.task_id
        return PATIENCE_WHILE_WAITING if known else PATIENCE_FOR_AN_ID

    def _item(self, kind: str, id_: int, patience: float = PATIENCE_FOR_AN_ID) -> Item:
        """One thing by its id, as this generation shows it; within ``understanding``."""
        item = cast("Item", self._http.get(f"{kind}/{id_}", patience, NO_TASK.replace("task", kind)))
        if item["id"] != id_:
            raise LookupError(id_)
        return item

    def _place(self, organization_id: int, data: bytes) -> str:
        """How the body of a subtask names an organization's input: by itself, where there is no other place for it."""
        del organization_id
        return base64.b64encode(data).decode()

    @understanding()
    def _post_task(
        self,
        method: str,
        arguments: Mapping[int, Mapping[str, object]],
        name: str,
        description: str,
        /,
        **more: object,
    ) -> Item:
        """Create a subtask; ``more`` are the fields that only this generation has."""
        different = {id(own): own for own in arguments.values()}
        encoded = {id_: self._contract.input(files.subtask_content(method, own)) for id_, own in different.items()}
        body = {
            "name": name or "subtask",
            "image": self.identity.image,
            "collaboration_id": self.identity.collaboration_id,
            "description": description or f"{method}, asked for by the master at node {self.identity.node_id}",
            "organizations": [{"id": o, self.key: self._place(o, encoded[id(own)])} for o, own in arguments.items()],
            **more,
        }
        task = cast("Item", self._http.post("task", body))
        self._created.add(int(task["id"]))
        return task
