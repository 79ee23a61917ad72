"""An algorithm written as authors of v4's tools write: it runs at nodes of every generation, and sees v4's shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.contract.platform import Run
from algotools.errors import Failure, RunsFailed

from ..conftest import ALGORITHMS
from ..contract.test_proxy_v4 import COLLABORATION_KEYS, ORGANIZATION_KEYS, RUN_KEYS, TASK_KEYS

ALGORITHM = ALGORITHMS / "in_v4s_manner"
VALUES = [[1.0, 2.0, 3.0, None], [4.0, 5.0], [9.0]]
POOLED = pd.Series([value for values in VALUES for value in values])
SOUND = {f"hospital_{number}": pd.DataFrame({"age": values}) for number, values in enumerate(VALUES)}
NODES = {**SOUND, "without_values": pd.DataFrame({"age": [None, None]}, dtype=float)}


@pytest.fixture(
    scope="module", params=[(r, c) for r in ("inline", "process") for c in ("v3", "v4", "v5")], ids="-".join
)
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Three hospitals, and one that fails; every runner and every generation."""
    runner, contract = request.param
    with Federation(NODES, algorithm=ALGORITHM, runner=runner, contract=contract) as made:
        yield made


def failed(federation: Federation, method: str, **arguments: object) -> Failure:
    """Why a master fails that is sent to the second hospital."""
    with pytest.raises(RunsFailed) as raised:
        federation.run(method, at=[3], **arguments)
    return raised.value.failures[3]


def last_run(federation: Federation) -> Run:
    """The last master's."""
    tasks = [task for task in federation.client().task.list()["data"] if task["parent"] is None]
    return federation.task(max(task["id"] for task in tasks)).runs[0]


def test_the_mean_is_that_of_all_rows(federation: Federation) -> None:
    [found] = federation.run("central", at=[3], column="age", organizations_to_include=[4, 2, 3])
    assert found["mean"] == pytest.approx(POOLED.mean(), rel=1e-15)
    assert found["spread"] == pytest.approx(POOLED.std(), rel=1e-14)
    assert found["counts"] == [1, 3, 2]  # in the order in which they are named
    assert found["collaboration"] == "collaboration"


def test_one_that_fails_is_named_with_its_reason(federation: Federation) -> None:
    failure = failed(federation, "central", column="age")
    assert failure.exit_code == 52
    assert "1 of 4 organizations failed: without_values (id 5): crashed: no row has a value" in failure.message


def test_with_a_quorum_the_others_answer(federation: Federation) -> None:
    [found] = federation.run("in_v5s_form", at=[3], column="age", organizations=[5, 4, 2])
    assert found == [{"sum": 9.0, "count": 1}, {"sum": 6.0, "count": 3}]


def test_arrays_come_back_as_arrays_and_results_are_waited_for_by_from_task_too(federation: Federation) -> None:
    [found] = federation.run("two_at_once", at=[3], column="age", organizations=[4, 2])
    assert found == [[1, 3], [["ndarray", 1], ["ndarray", 3]]]


def test_whatever_is_asked_for_has_v4s_shape(federation: Federation) -> None:
    arguments: dict[str, Any] = {"column": "age", "organizations": [4, 2]}
    [found] = federation.run("looks_around", at=[3], **arguments)
    task, runs, me = found["task"], found["runs"], found["client"]
    assert task.keys() >= TASK_KEYS
    assert found["created"].keys() == task.keys()
    assert (task["status"], task["name"], task["init_org"]["id"]) == ("completed", "subtask", 3)
    assert found["created"]["status"] in {"pending", "initializing", "active", "completed"}
    assert all(run.keys() >= RUN_KEYS for run in runs)
    assert [run["organization"]["id"] for run in runs] == [4, 2]
    assert [run["status"] for run in runs] == ["completed"] * 2
    assert all(run["node"].keys() >= {"id", "ip", "status", "name"} for run in runs)
    assert found["run"] == runs[0]
    assert not any("+" in str(when) for when in (task["created_at"], runs[0]["finished_at"]))
    assert [o["name"] for o in found["organizations"]] == list(NODES)
    assert all(organization.keys() >= ORGANIZATION_KEYS for organization in found["organizations"])
    assert found["organization"] == found["organizations"][1]
    assert found["collaboration"].keys() >= COLLABORATION_KEYS
    assert {key: me[key] for key in ("node_id", "organization_id", "collaboration_id", "study_id", "store_id")} == {
        "node_id": 2,
        "organization_id": 3,
        "collaboration_id": 1,
        "study_id": None,
        "store_id": None,
    }
    assert [database.keys() >= {"label"} for database in me["databases"]] == [True]


def test_a_task_that_nobody_looks_at_is_told(federation: Federation) -> None:
    assert federation.run("never_looks", at=[3], column="age") == ["done"]
    assert "the results of partial were never looked at" in last_run(federation).log


def test_who_is_not_in_the_collaboration_is_named_before_anything_is_sent(federation: Federation) -> None:
    before = len(federation.client().task.list()["data"])
    failure = failed(federation, "central", column="age", organizations_to_include=[2, 99])
    assert failure.exit_code == 17
    assert "not in the collaboration: 99" in failure.message
    assert len(federation.client().task.list()["data"]) == before + 1
