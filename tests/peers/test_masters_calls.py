"""An algorithm in v4's manner, with our client and with v4's own: one source, the same answers."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation
from algotools.client import subclients
from algotools.errors import RunsFailed

from ..conftest import ALGORITHMS

pytestmark = pytest.mark.peers

OURS = ALGORITHMS / "in_v4s_manner"
FRAMES = [pd.DataFrame({"age": values}) for values in ([1.0, 2.0, None], [30.0], [4.0, 5.0, 6.5], [None])]
"""The last has no values, and fails."""

THEIR_WORDS = {
    "from algotools import AlgorithmClient, log, master": (
        "from vantage6.algorithm.client import AlgorithmClient\n"
        "from vantage6.algorithm.tools.decorators import algorithm_client as master\n"
        "from vantage6.algorithm.tools.util import info as log"
    ),
    "from algotools import Column, UserError, rpc": (
        "from vantage6.algorithm.tools.decorators import data\nColumn, rpc, UserError = str, data(1), Exception"
    ),
    "to_numpy(dtype=float) - mean)": "to_numpy(dtype=float) - mean).tolist()",
}
"""Ours -> v4's: imports and decorators; and arrays, which theirs does not take, are lists."""

SIGNATURES = """
import inspect, json
from vantage6.algorithm.client import AlgorithmClient as client
calls = {
    "run": client.Run, "task": client.Task, "result": client.Result,
    "organization": client.Organization, "collaboration": client.Collaboration,
}
found = {f"{name}.{call}": list(inspect.signature(function).parameters)
         for name, kind in calls.items() for call, function in vars(kind).items() if not call.startswith("_")}
print(json.dumps({**found, "wait_for_results": list(inspect.signature(client.wait_for_results).parameters)}))
"""

NOT_THERE = {"result.get"}
"""No node's proxy answers it."""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The same source with v4's tools."""
    folder = Path(shutil.copytree(OURS, tmp_path / "in_v4s_manner"))
    sources = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    for word, word_of_theirs in THEIR_WORDS.items():
        assert any(word in text for text in sources.values()), word
        sources = {path: text.replace(word, word_of_theirs) for path, text in sources.items()}
    for path, text in sources.items():
        path.write_text(text, encoding="utf-8")
    return folder


def central(federation: Federation, organizations: list[int]) -> Any:
    [answer] = federation.run("central", at=[3], column="age", organizations_to_include=organizations)
    return answer


def test_one_source_gives_the_same_with_both(peer_python: Callable[[str], Path], theirs: Path) -> None:
    with Federation(FRAMES, algorithm=theirs, runner="process", python=peer_python("v4")) as peers:
        found = central(peers, [4, 2, 3])
        without = central(peers, [2, 3, 4, 5])
    with Federation(FRAMES, algorithm=OURS) as ours:
        expected = central(ours, [4, 2, 3])
        with pytest.raises(RunsFailed, match=r"1 of 4 organizations failed: organization_5"):
            central(ours, [2, 3, 4, 5])
    assert expected["counts"] == [3, 2, 1]
    assert found == {**expected, "counts": expected["counts"][::-1]}  # theirs has the newest first
    assert without["counts"] == [3, 1, 2]  # and says nothing of the one that failed


def test_what_v4s_client_can_be_asked_ours_can_be_asked_too(peer_python: Callable[[str], Path]) -> None:
    told = subprocess.run(
        [peer_python("v4"), "-c", SIGNATURES], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    kinds = {
        "run": subclients.Runs,
        "task": subclients.Tasks,
        "result": subclients.TaskResults,
        "organization": subclients.Organizations,
        "collaboration": subclients.Collaboration,
        "": AlgorithmClient,
    }
    for call, parameters in json.loads(told).items():
        if call not in NOT_THERE:
            name, _, method = call.rpartition(".")
            ours = list(inspect.signature(getattr(kinds[name], method)).parameters)
            assert ours[: len(parameters)] == parameters, call
