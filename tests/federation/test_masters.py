"""Masters and the other nodes: over the HTTP that a real node's proxy speaks, under every contract and runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from algotools import Federation
from algotools.contract import by_name
from algotools.contract.platform import Run
from algotools.task import Database

from ..conftest import ALGORITHMS, SECRET


@pytest.fixture(
    scope="module", params=[("inline", "v3"), ("inline", "v5"), ("process", "v4"), ("process", "v5")], ids="-".join
)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Every runner and every generation."""
    return request.param


@pytest.fixture(scope="module")
def contract(way: tuple[str, str]) -> str:
    return way[1]


@pytest.fixture(scope="module")
def federation(way: tuple[str, str], tmp_path_factory) -> Iterator[Federation]:
    folder: Path = tmp_path_factory.mktemp("data")
    files = [folder / f"{number}.csv" for number in range(3)]
    for file in files:
        file.write_text(f"name\n{SECRET}\n", encoding="utf-8")
    options = {"algorithm": ALGORITHMS / "misbehaving", "runner": way[0], "contract": way[1]}
    with Federation(files, **options) as made:
        yield made


def run_master(federation: Federation, contract: str, at: list[int], method: str, **kwargs: object) -> Run:
    """The first run of a task that is sent to some organizations.

    A master that fails is sent to one only: v4's server takes no subtask of a task that counts as failed already, so
    that of two masters only the first to ask would be sure to be heard.
    """
    request = by_name(contract).request({"method": method, "kwargs": kwargs, "master": True})
    task = federation.client().task.post(at, request, [Database("default")])
    assert federation.wait(task.id, 60)
    return task.runs[0]


def test_a_failed_subtask_is_named_with_its_reason(federation: Federation, contract: str) -> None:
    run = run_master(federation, contract, [2], "asks_for_what_fails", organizations=[2, 3])
    failure = federation.failure(run)
    assert failure is not None
    assert failure.exit_code == 52
    assert (
        "2 of 2 organizations failed: organization_2 (id 2), organization_3 (id 3): crashed: ValueError in raises"
        in failure.message
    )
    assert "[exit code 40]" in failure.message
    assert SECRET not in run.log


def test_without_a_quorum_one_failure_is_a_failure(federation: Federation, contract: str) -> None:
    failure = federation.failure(run_master(federation, contract, [2], "gathers", organizations=[2, 3, 4]))
    assert failure is not None
    assert "1 of 3 organizations failed: organization_3 (id 3)" in failure.message


def test_with_a_quorum_the_others_answer(federation: Federation, contract: str) -> None:
    run = run_master(federation, contract, [2], "gathers", organizations=[2, 3, 4], quorum=2)
    assert federation.answer(run) == {"results": [2, 4], "failures": [3]}
    assert "asked 3 of 3 organizations for picky" in run.log


def test_a_quorum_that_is_missed_is_a_failure(federation: Federation, contract: str) -> None:
    failure = federation.failure(run_master(federation, contract, [2], "gathers", organizations=[2, 3], quorum=2))
    assert failure is not None
    assert "(quorum: 2)" in failure.message


def test_by_default_those_are_asked_that_the_task_was_sent_to(federation: Federation, contract: str) -> None:
    run = run_master(federation, contract, [4, 2], "gathers")
    assert federation.answer(run) == {"results": [4, 2], "failures": []}
    assert "asked 2 of 3 organizations for picky" in run.log


def test_a_function_that_does_not_exist_is_named(federation: Federation, contract: str) -> None:
    failure = federation.failure(run_master(federation, contract, [2], "asks_for_nothing_there"))
    assert failure is not None
    assert "has no method 'no_such_function'" in failure.message


def test_the_owner_of_the_other_node_sees_why(federation: Federation, contract: str) -> None:
    run = run_master(federation, contract, [2], "asks_for_what_fails", organizations=[2, 3])
    subruns = [subrun for task in federation.subtasks(run.task_id) for subrun in task.runs]
    assert [SECRET in subrun.detail for subrun in subruns] == [True] * 2
