"""An algorithm in the style of v4's tools runs at nodes of every generation, and gets records in v4's format."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import Failure, RunsFailed, RunsIncomplete
from algotools.federation.contract.rest import RunRecord

from ..conftest import ALGORITHMS
from ..contract.test_proxy_v4 import COLLABORATION_KEYS, ORGANIZATION_KEYS, RUN_KEYS, TASK_KEYS

ALGORITHM = ALGORITHMS / "v4_style"
VALUES = [[1.0, 2.0, 3.0, None], [4.0, 5.0], [9.0]]
POOLED = pd.Series([value for values in VALUES for value in values])
HOSPITALS = {f"hospital_{number}": pd.DataFrame({"age": values}) for number, values in enumerate(VALUES)}
NODES = {**HOSPITALS, "without_values": pd.DataFrame({"age": [None, None]}, dtype=float)}


on_each_contract = pytest.mark.parametrize("federation", ["v3", "v4", "v5"], indirect=True)
"""For calls to which the proxies of the generations respond in different formats."""


@pytest.fixture(scope="module")
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Three hospitals, and a node that fails."""
    with Federation(NODES, algorithm=ALGORITHM, contract=getattr(request, "param", "v4")) as federation:
        yield federation


def get_failure(federation: Federation, method: str, **arguments: object) -> Failure:
    """Run a master at the second hospital, and return its failure."""
    with pytest.raises(RunsFailed) as raised:
        federation.run(method, at=[3], **arguments)
    return raised.value.failures[3]


def get_last_run(federation: Federation) -> RunRecord:
    """Return the run of the last master."""
    tasks = [task for task in federation.client().task.list()["data"] if task["parent"] is None]
    return federation.task(max(task["id"] for task in tasks)).runs[0]


@on_each_contract
def test_the_mean_equals_the_pooled_mean(federation: Federation) -> None:
    [result] = federation.run("central", at=[3], column="age", organizations_to_include=[4, 2, 3])
    assert result["mean"] == pytest.approx(POOLED.mean(), rel=1e-15)
    assert result["spread"] == pytest.approx(POOLED.std(), rel=1e-14)
    assert result["counts"] == [1, 3, 2]  # in the order of the argument
    assert result["collaboration"] == "collaboration"


def test_a_failing_organization_is_named_with_its_reason(federation: Federation) -> None:
    failure = get_failure(federation, "central", column="age")
    assert failure.exit_code == 52
    assert "1 of 4 organizations failed: without_values (id 5): crashed: no row has a value" in failure.message


def test_with_a_quorum_the_other_results_are_used(federation: Federation) -> None:
    with pytest.warns(RunsIncomplete, match="incomplete: 2 of 3 organizations; "):
        [result] = federation.run("v5_style_call", at=[3], column="age", organizations=[5, 4, 2])
    assert result == [{"sum": 9.0, "count": 1}, {"sum": 6.0, "count": 3}]


@on_each_contract
def test_arrays_are_kept_and_from_task_waits_for_results(federation: Federation) -> None:
    [result] = federation.run("two_at_once", at=[3], column="age", organizations=[4, 2])
    assert result == [[1, 3], [["ndarray", 1], ["ndarray", 3]]]


@on_each_contract
def test_each_record_has_the_format_of_v4(federation: Federation) -> None:
    arguments: dict[str, Any] = {"column": "age", "organizations": [4, 2]}
    [result] = federation.run("use_every_call", at=[3], **arguments)
    task, runs, me = result["task"], result["runs"], result["client"]
    assert task.keys() >= TASK_KEYS
    assert result["created"].keys() == task.keys()
    assert (task["status"], task["name"], task["init_org"]["id"]) == ("completed", "subtask", 3)
    assert result["created"]["status"] in {"pending", "initializing", "active", "completed"}
    assert all(run.keys() >= RUN_KEYS for run in runs)
    assert [run["organization"]["id"] for run in runs] == [4, 2]
    assert [run["status"] for run in runs] == ["completed"] * 2
    assert all(run["node"].keys() >= {"id", "ip", "status", "name"} for run in runs)
    assert result["run"] == runs[0]
    assert not any("+" in str(when) for when in (task["created_at"], runs[0]["finished_at"]))
    assert [o["name"] for o in result["organizations"]] == list(NODES)
    assert all(organization.keys() >= ORGANIZATION_KEYS for organization in result["organizations"])
    assert result["organization"] == result["organizations"][1]
    assert result["collaboration"].keys() >= COLLABORATION_KEYS
    assert {key: me[key] for key in ("node_id", "organization_id", "collaboration_id", "study_id", "store_id")} == {
        "node_id": 2,
        "organization_id": 3,
        "collaboration_id": 1,
        "study_id": None,
        "store_id": None,
    }
    assert [database.keys() >= {"label"} for database in me["databases"]] == [True]


def test_a_task_whose_results_are_not_read_is_reported(federation: Federation) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RunsIncomplete)  # only if the master is faster than the nodes
        assert federation.run("ignore_results", at=[3], column="age") == ["done"]
    assert "the results of partial were never read" in get_last_run(federation).log


def test_an_unknown_organization_is_refused_before_the_task_is_sent(federation: Federation) -> None:
    before = len(federation.client().task.list()["data"])
    failure = get_failure(federation, "central", column="age", organizations_to_include=[2, 99])
    assert failure.exit_code == 17
    assert "not in the collaboration: 99" in failure.message
    assert len(federation.client().task.list()["data"]) == before + 1
