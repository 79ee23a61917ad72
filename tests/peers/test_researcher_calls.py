"""Our client accepts the calls of the real client of v3, except those without a use on one machine."""

from __future__ import annotations

import inspect
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools import Federation
from algotools.federation import Client
from algotools.federation.client._view import Selection

from ..processes import LIMIT

pytestmark = pytest.mark.peers

READ_SIGNATURES = """
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

OMITTED = {
    "collaboration.create": "a federation is made from a description",
    "organization.create": "as above",
    "node.create": "as above",
    "organization.list country": "organizations have only a name",
    "task.list initiating_user": "there are no users",
    "result.list port": "runs have no network",
    "node.list ip": "nodes have no network",
    "node.list last_seen_from": "the last contact of a node is not stored",
    "node.list last_seen_till": "as above",
}
"""Call or argument that ours does not accept -> the reason."""


@pytest.fixture
def theirs(peer_python: Callable[[str], Path]) -> dict[str, list[str]]:
    completed = subprocess.run(
        [peer_python("v3"), "-c", READ_SIGNATURES], capture_output=True, text=True, check=True, timeout=LIMIT
    )
    return json.loads(completed.stdout.splitlines()[-1])


def test_our_client_accepts_the_arguments_of_the_v3_client(theirs: dict[str, list[str]], tmp_path: Path) -> None:
    assert theirs.keys() > {name for name in OMITTED if " " not in name}
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n", encoding="utf-8")
    with Federation([file], algorithm=[], contract="v3") as federation:
        client = federation.client()
        missing = {
            argument
            for name, parameters in theirs.items()
            for argument in (f"{name} {parameter}" for parameter in parameters)
            if name not in OMITTED and argument.split()[1] not in accepted_arguments(client, name)
        }
    assert missing == {argument for argument in OMITTED if " " in argument}


def accepted_arguments(client: Client, name: str) -> set[str]:
    """Return the arguments that a call of our client accepts."""
    part, _, call = name.rpartition(".")
    parameters = inspect.signature(getattr(getattr(client, part) if part else client, call)).parameters
    selection_arguments = Selection.__optional_keys__ if "selection" in parameters else ()
    return {*parameters, *selection_arguments}
