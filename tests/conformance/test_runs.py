"""Limits, kills, databases and faulty nodes, on every generation and with every runner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from algotools import Federation
from algotools.errors import ContractError, DatabaseUnreadable, Failure, RunsFailed, RunsIncomplete, UnknownLabel
from algotools.federation import Slow, Wrong
from algotools.federation.contract.rest import RunRecord
from algotools.runtime.logs import read_failure

from ..processes import LIMIT, wait_until
from .conftest import WAYS, Way, parameters

Make = Callable[..., Federation]


def fail(federation: Federation, method: str, **call: Any) -> dict[int, Failure]:
    """Return the failures of a call, by organization."""
    with pytest.raises(RunsFailed) as raised:
        federation.run(method, **call)
    return raised.value.failures


def fail_at_node(
    federation: Federation, organization: int, method: str, label: str, **arguments: object
) -> tuple[int, str]:
    """Send a task like a real server, which checks nothing, and return exit code and message of the node's failure."""
    call = {"method": method, "kwargs": arguments}
    task = federation.client().task.create(
        organizations=[organization], image="", input_=call, databases=[{"label": label}]
    )
    assert federation.wait(task["id"], LIMIT)
    failure = federation.failure(federation.task(task["id"]).runs[0])
    assert failure is not None
    return failure.exit_code, failure.message


def test_several_databases_come_in_the_order_of_the_task(federation: Federation, way: Way) -> None:
    labels = ["visits", "default"]
    if way.contract == "v3":
        with pytest.raises(ContractError, match="a v3 task can request only one database"):
            federation.run("rows", databases=labels)
        assert federation.run("rows_of_one", at=3, databases="visits") == [4]
    else:
        assert federation.run("rows", at=3, databases=labels) == [[4, 1]]


def test_an_unknown_label_is_refused_with_the_labels_of_the_node(federation: Federation, way: Way) -> None:
    # A node of v3 does not name an unknown label to its containers.
    message = {"v3": "the function takes 1 database, the task requests none; this node has: default, visits"}
    expected = message.get(way.contract, "this node has no database 'nowhere'; it has: default, visits")
    with pytest.raises(UnknownLabel):  # before any node runs the call
        federation.run("sum_and_count", at=3, databases="nowhere", column="age")
    assert fail_at_node(federation, 3, "sum_and_count", "nowhere", column="age") == (30, expected)


def test_a_database_without_its_file_is_named(federation: Federation) -> None:
    with pytest.raises(DatabaseUnreadable, match="the file of database 'missing' does not exist"):
        federation.run("rows_of_one", at=4, databases="missing")  # before any node runs the call
    assert fail_at_node(federation, 4, "rows_of_one", "missing") == (31, "database 'missing': its file does not exist")


def test_a_run_is_cancelled_at_its_time_limit(make: Make) -> None:
    failure = fail(make(timeout=1.5), "sleep", at=3, seconds=600.0)[3]
    place = "the run did not end within its limit of 1.5 s; it was at __init__.py, line "
    assert (failure.exit_code, failure.message.rstrip("0123456789")) == (45, place)


@pytest.mark.parametrize(
    "way", parameters([way for way in WAYS if way.runner in ("process", "container", "dask")]), indirect=True
)
def test_a_run_that_takes_too_much_memory_fails_and_the_next_does_not(make: Make, way: Way) -> None:
    federation = make(memory="250m")
    failure = fail(federation, "take_memory", at=3, megabytes=600)[3]
    code, text = (44, "memory ran out") if way.needs_engine else (49, "more memory than its run may use")
    assert failure.exit_code == code
    assert text in failure.message
    assert federation.run("take_memory", at=3, megabytes=20) == [20 << 17]


def test_killing_a_task_kills_its_subtasks(federation: Federation) -> None:
    input_ = {"method": "wait_for_sleepers", "kwargs": {"seconds": 600.0}, "master": True}
    task = federation.task(federation.client().task.create(1, [2], input=input_)["id"])

    def list_runs() -> list[RunRecord]:
        return [run for member in (task, *federation.subtasks(task.id)) for run in member.runs]

    wait_until(lambda: any("info > asleep" in run.log for run in list_runs()))
    federation.client().task.kill(task.id)
    assert federation.wait(task.id, LIMIT)
    assert [run.status for run in list_runs()] == ["killed by user"] * 2
    failure = Failure(47, "the run was cancelled by a request to kill its task")
    assert [read_failure(run.log) for run in list_runs()] == [failure] * 2


def test_slow_and_wrong_nodes(make: Make) -> None:
    federation = make(faults={2: Wrong(lambda result: {**result, "sum": 78.0}), 3: Slow(0.3), 4: Wrong(ValueError)})
    arguments = {"column": "age", "organizations": [2, 3, 4], "quorum": 2}
    with pytest.warns(RunsIncomplete, match="third failed: ValueError"):
        assert federation.ask("mean_of_all", at=3, arguments=arguments) == 38.0
    failure = "third (id 4): crashed: ValueError, raised by the fault Wrong of its node [exit code 40]"
    assert failure in federation.task(1).runs[0].log


@pytest.mark.parametrize("way", parameters([way for way in WAYS if way.contract == "v5"]), indirect=True)
def test_a_session_of_v5(federation: Federation) -> None:
    client = federation.client()
    session = client.session.create(name="study")
    table = client.dataframe.create("default", method="read_csv", name="people", session=session["id"])
    client.dataframe.preprocess(table["id"], method="without_missing", arguments={"column": "age"})
    assert federation.wait(client.dataframe.get(table["id"])["last_session_task"]["id"], LIMIT)
    dataframe = client.dataframe.get(table["id"])
    assert (dataframe["ready"], dataframe["organizations_ready"]) == (True, [2, 3, 4])
    runs = [run for task in client.task.list(session=session["id"])["data"] for run in federation.task(task["id"]).runs]
    assert [(run.status, run.output) for run in runs] == [("completed", b"")] * 6
    options = {"arguments": {"column": "age"}, "databases": [{"dataframe_id": table["id"]}]}
    master_task = client.task.create(1, [2], method="mean_of_all", action="central_compute", **options)
    rpc_task = client.task.create(1, [4], method="columns", action="federated_compute", **options)
    for id_, expected in ((master_task["id"], 64.5), (rpc_task["id"], ["age"])):
        assert federation.wait(id_, LIMIT)
        assert [federation.answer(run) for run in federation.task(id_).runs] == [expected]
