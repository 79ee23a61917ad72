"""An algorithm in the style of v4 gives the same results with our client and with the client of v4."""

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
from algotools.errors import RunsFailed, RunsIncomplete
from algotools.runtime.client import _subclients

from ..conftest import ALGORITHMS
from ..processes import LIMIT

pytestmark = pytest.mark.peers

OURS = ALGORITHMS / "v4_style"
FRAMES = [pd.DataFrame({"age": values}) for values in ([1.0, 2.0, None], [30.0], [4.0, 5.0, 6.5], [None])]
"""The data of each organization; the last one has no values, so its run fails."""

REPLACEMENTS = {
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
"""Text in our source -> text for v4: imports, decorators, and lists instead of arrays, which v4 cannot encode."""

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

UNAVAILABLE = {"result.get"}
"""Calls that the proxy of a node does not support."""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The same source with the tools of v4."""
    folder = Path(shutil.copytree(OURS, tmp_path / "v4_style"))
    sources = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    for text_of_ours, text_of_theirs in REPLACEMENTS.items():
        assert any(text_of_ours in text for text in sources.values()), text_of_ours
        sources = {path: text.replace(text_of_ours, text_of_theirs) for path, text in sources.items()}
    for path, text in sources.items():
        path.write_text(text, encoding="utf-8")
    return folder


def central(federation: Federation, organizations: list[int]) -> Any:
    [result] = federation.run("central", at=[3], column="age", organizations_to_include=organizations)
    return result


def test_one_source_gives_the_same_result_with_both_clients(peer_python: Callable[[str], Path], theirs: Path) -> None:
    with Federation(FRAMES, algorithm=theirs, runner="process", python=peer_python("v4")) as peers:
        results = central(peers, [4, 2])
        with pytest.warns(RunsIncomplete, match="2 of 3 organizations; organization_5 failed"):
            results_with_failure = central(peers, [2, 3, 5])
    with Federation(FRAMES, algorithm=OURS) as ours:
        expected = central(ours, [4, 2])
        with pytest.raises(RunsFailed, match=r"1 of 3 organizations failed: organization_5"):
            central(ours, [2, 3, 5])
    assert expected["counts"] == [3, 2]
    assert results == {**expected, "counts": expected["counts"][::-1]}  # theirs returns the newest run first
    assert results_with_failure["counts"] == [1, 2]  # theirs silently omits the failed run


def test_our_client_accepts_the_arguments_of_the_v4_client(peer_python: Callable[[str], Path]) -> None:
    output = subprocess.run(
        [peer_python("v4"), "-c", SIGNATURES], check=True, capture_output=True, text=True, timeout=LIMIT
    ).stdout
    kinds = {
        "run": _subclients.Runs,
        "task": _subclients.Tasks,
        "result": _subclients.TaskResults,
        "organization": _subclients.Organizations,
        "collaboration": _subclients.Collaboration,
        "": AlgorithmClient,
    }
    for call, parameters in json.loads(output).items():
        if call not in UNAVAILABLE:
            name, _, method = call.rpartition(".")
            ours = list(inspect.signature(getattr(kinds[name], method)).parameters)
            assert ours[: len(parameters)] == parameters, call
