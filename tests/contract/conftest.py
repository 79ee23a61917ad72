"""A small server behind a node's proxy, with three organizations and the task of a master at two of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from algotools.federation._api import Api
from algotools.federation._store import Store
from algotools.federation.contract import NodeContract, get_contract
from algotools.federation.contract.rest import TaskRecord, make_token
from algotools.runtime.client import Connection
from algotools.runtime.contract.environment import read_token
from algotools.task import Identity, Proxy, Task

DATABASES: dict[str, Any] = {
    "v3": "default",
    "v4": [{"label": "default", "query": "select 1"}],
    "v5": [[{"label": None, "type": "dataframe", "dataframe_id": 1, "dataframe_name": "df1"}]],
}
MORE: dict[str, Any] = {"v5": {"method": "env", "role": "master", "session_id": 1}}


class Server:
    """The store, and the API of organization 2's proxy as the master's run uses it."""

    def __init__(self, contract: NodeContract) -> None:
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
        self.failures: list[tuple[int, object]] = []
        """Responses that are sent before those of the store."""
        self.api = Api(self.respond, lambda token: True)
        self.connections: list[Connection] = []

    def respond(self, text: str, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """Return the response of the node's proxy."""
        self.requests.append((method, path, query))
        if self.failures:
            return self.failures.pop(0)
        caller = read_token(text)
        assert caller == self.caller
        return self.contract.respond(method, path, query, body, caller, self.store)

    def send(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        """Send a request, and return the status and the decoded JSON of the response."""
        data = b"" if body is None else json.dumps(body).encode()
        status, content = self.contract.respond(method, path, query, data, self.caller, self.store)
        return status, json.loads(msgspec.json.encode(content))

    def connect(self, url: str | None = None) -> Connection:
        """Return a connection of the container to the server."""
        task = Task(
            method="master",
            input_file=Path("/input"),
            output_file=Path("/output"),
            proxy=Proxy(url or self.api.url, Path("/token")),
        )
        self.connections.append(self.contract.connect(task, make_token(self.caller, b"k" * 32)))
        return self.connections[-1]

    def create_subtask(self, organizations: int = 2) -> TaskRecord:
        """Create a subtask of the master."""
        return self.store.create_subtask(
            self.caller, "subtask", "a part", {o: f"to {o}".encode() for o in range(2, 2 + organizations)}
        )


@pytest.fixture
def serve() -> Iterator[Callable[[str], Server]]:
    """Starts a server of a generation."""
    servers: list[Server] = []

    def start(name: str) -> Server:
        servers.append(Server(get_contract(name)))
        return servers[-1]

    yield start
    for server in servers:
        for connection in server.connections:
            connection.close()
        server.api.close()


class Clock:
    """Replaces the module ``time``: ``sleep`` returns at once and advances the clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    replacement = Clock()
    monkeypatch.setattr("algotools.runtime.client.http.time", replacement)
    return replacement
