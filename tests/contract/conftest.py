"""A small server behind a node's proxy: two organizations, and the task of a master at each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from algotools.client import Connection
from algotools.contract import Contract, by_name, token
from algotools.contract.platform import Task as TaskRecord
from algotools.federation.api import Api
from algotools.federation.store import Store
from algotools.task import Identity, Proxy, Task

DATABASES: dict[str, Any] = {
    "v3": "default",
    "v4": [{"label": "default", "query": "select 1"}],
    "v5": [[{"label": None, "type": "dataframe", "dataframe_id": 1, "dataframe_name": "df1"}]],
}
MORE: dict[str, Any] = {"v5": {"method": "env", "role": "master", "session_id": 1}}


class Server:
    """The store, and its API as the run of the master at organization 2 sees it through its node's proxy."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.store = Store("collab1", ["orgA", "orgB", "orgC"], lambda run: None, lambda run, line: None)
        self.master = self.store.create(
            "env",
            "d",
            "harbor.example/probe:1",
            DATABASES[contract.name],
            {3: b"to three", 2: b"to two"},
            **MORE.get(contract.name, {}),
        )
        self.caller = Identity(
            task_id=self.master.id,
            node_id=1,
            organization_id=2,
            collaboration_id=1,
            image=self.master.image,
            databases=self.master.databases,
            session_id=self.master.session_id,
        )
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        self.troubles: list[tuple[int, object]] = []
        """Answers that come before the store's own."""
        self.api = Api(self.answer)
        self.connections: list[Connection] = []

    def answer(self, text: str, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """What the node's proxy answers."""
        self.requests.append((method, path, query))
        if self.troubles:
            return self.troubles.pop(0)
        caller = token.read(text)
        assert caller == self.caller
        return self.contract.respond(method, path, query, body, caller, self.store)

    def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        """Status and JSON, as they go over the wire."""
        data = b"" if body is None else json.dumps(body).encode()
        status, content = self.contract.respond(method, path, query, data, self.caller, self.store)
        return status, json.loads(msgspec.json.encode(content))

    def connect(self, url: str | None = None) -> Connection:
        """The container's side."""
        task = Task(
            method="master",
            input_file=Path("/input"),
            output_file=Path("/output"),
            proxy=Proxy(url or self.api.url, Path("/token")),
        )
        self.connections.append(self.contract.connect(task, token.make(self.caller, b"k" * 32)))
        return self.connections[-1]

    def subtask(self, organizations: int = 2) -> TaskRecord:
        """A subtask that the master has created."""
        return self.store.create_subtask(
            self.caller, "subtask", "a part", {o: f"to {o}".encode() for o in range(2, 2 + organizations)}
        )


@pytest.fixture
def serve() -> Iterator[Callable[[str], Server]]:
    """Gives a server of the generation that is named."""
    servers: list[Server] = []

    def start(name: str) -> Server:
        servers.append(Server(by_name(name)))
        return servers[-1]

    yield start
    for server in servers:
        for connection in server.connections:
            connection.close()
        server.api.close()


class Clock:
    """Stands in for the module ``time``: nobody waits, and one can see how long it would have been."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("algotools.client.http.time", found)
    return found
