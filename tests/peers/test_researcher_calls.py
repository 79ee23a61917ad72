"""The real client of v3, asked which calls it has: ours takes them, but for what one machine has no use for."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools import Federation
from algotools.federation import Client
from algotools.federation.client.selection import Selection

pytestmark = pytest.mark.peers

ASK = """
import inspect, json
from vantage6.client import UserClient

parts = {"": UserClient, **{name.lower(): getattr(UserClient, name) for name in
         ("Collaboration", "Organization", "Node", "Task", "Result")}}
print(json.dumps({
    f"{part}.{name}": [p for p in inspect.signature(call).parameters if p != "self"]
    for part, owner in parts.items()
    for name, call in vars(owner).items()
    if name in ("list", "get", "create", "kill", "from_task", "wait_for_results", "authenticate")
}))
"""

LEFT_OUT = {
    "collaboration.create": "a federation is made from a description",
    "organization.create": "as above",
    "node.create": "as above",
    "organization.list country": "organizations have a name, and nothing else that tells them apart",
    "task.list initiating_user": "there are no users",
    "result.list port": "runs have no network",
    "node.list ip": "nodes have no network",
    "node.list last_seen_from": "nothing is kept of when a node was seen",
    "node.list last_seen_till": "as above",
}
"""What ours does not take, and why."""


@pytest.fixture
def theirs(peer_python: Callable[[str], Path]) -> dict[str, list[str]]:
    asked = subprocess.run([peer_python("v3"), "-c", ASK], capture_output=True, text=True, check=True, timeout=100)
    return json.loads(asked.stdout.splitlines()[-1])


def test_what_v3s_client_can_be_asked_ours_can_be_asked_too(theirs: dict[str, list[str]], tmp_path: Path) -> None:
    assert theirs.keys() > {name for name in LEFT_OUT if " " not in name}
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n", encoding="utf-8")
    with Federation([file], algorithm=[], contract="v3") as federation:
        client = federation.client()
        missing = {
            place
            for name, parameters in theirs.items()
            for place in (f"{name} {parameter}" for parameter in parameters)
            if name not in LEFT_OUT and place.split()[1] not in taken(client, name)
        }
    assert missing == {place for place in LEFT_OUT if " " in place}


def taken(client: Client, name: str) -> set[str]:
    """The arguments that a call of ours takes."""
    part, _, call = name.rpartition(".")
    parameters = inspect.signature(getattr(getattr(client, part) if part else client, call)).parameters
    more = Selection.__optional_keys__ if "selection" in parameters else ()
    return {*parameters, *more}
