"""The calls of v4's tools, and v5's form of ``task.create``: the same checks and guarantees as ``client.run``."""

import inspect

import numpy as np
import pytest

from algotools import AlgorithmClient, master, rpc
from algotools.errors import ArgumentsError, PartialFailure, ProxyError, UnknownOrganization, WrongRole
from algotools.payload import encode_rich

INPUT = {"method": "count", "kwargs": {"column": "age"}}


def test_a_task_is_created_from_its_input(client, nodes, log):
    task = client.task.create(input_=INPUT, organizations=[7, 2, 7], name="counts", description="of ages")
    assert task["id"] == 1
    assert [(method, list(sent.items())) for method, sent, _ in nodes.created] == [
        ("count", [(7, {"column": "age"}), (2, {"column": "age"})])
    ]
    assert nodes.texts == [("counts", "of ages")]
    assert log == ["info > sent count to 2 of 4 organizations"]


def test_the_default_organizations_are_those_of_the_masters_task(client, nodes):
    client.task.create(INPUT)
    assert list(nodes.created[0][1]) == [5, 2, 3]
    assert nodes.texts == [("subtask", "")]


def test_arguments_by_position_get_their_names(client, nodes):
    client.task.create({"method": "count", "args": ["age"], "kwargs": {"limit": 3}, "master": False}, [2])
    assert nodes.created[0][1] == {2: {"column": "age", "limit": 3}}


def test_without_known_names_positional_arguments_are_refused(nodes):
    with pytest.raises(ArgumentsError, match="pass the arguments of count by name, under kwargs"):
        AlgorithmClient(nodes).task.create({"method": "count", "args": ["age"]})


@pytest.mark.parametrize(
    ("input_", "message"),
    [
        ("count", "must be a mapping with method, args and kwargs"),
        ({}, "has no method"),
        ({"method": 3}, "`method` of `input_` must be a text"),
        ({"method": "count", "args": "age"}, "args must be a list, and kwargs a mapping by argument's name"),
        ({"method": "count", "kwargs": ["age"]}, "args must be a list, and kwargs a mapping by argument's name"),
        ({"method": "count", "kwargs": {1: "age"}}, "args must be a list, and kwargs a mapping by argument's name"),
        ({"method": "count", "arguments": {}, "database": 3}, "not arguments, database"),
        ({"method": "count", "args": ["age", 3, 4]}, "3 positional arguments where count takes 2"),
        ({"method": "count", "args": ["age"], "kwargs": {"column": "age"}}, "given twice: column"),
    ],
)
def test_an_input_of_the_wrong_shape_is_refused_before_a_request_is_sent(client, nodes, input_, message):
    with pytest.raises(ArgumentsError) as refused:
        client.task.create(input_)
    assert message in str(refused.value)
    assert nodes.created == []


def test_a_master_is_refused(client, nodes):
    @master
    def combine(client: AlgorithmClient) -> int:
        return 1

    with pytest.raises(WrongRole, match="`input_` calls count as a master; a master runs rpcs at other nodes"):
        client.task.create({"method": "count", "master": True})
    for call in ({"input_": {"method": combine}}, {"method": combine}):
        with pytest.raises(WrongRole, match="combine is a master; a master runs rpcs at other nodes"):
            client.task.create(**call)
    assert nodes.created == []


@pytest.mark.parametrize("organizations", [[2, 9], [9]])
def test_unknown_organizations_are_refused_with_the_members(client, nodes, organizations):
    with pytest.raises(UnknownOrganization, match=r"not in the collaboration: 9; it has 2 \(alpha\), 3 \(beta\)"):
        client.task.create(INPUT, organizations)
    assert nodes.created == []


def test_a_task_without_organizations_is_refused(client, nodes):
    with pytest.raises(UnknownOrganization, match="name at least one"):
        client.task.create(INPUT, organizations=[])
    assert nodes.created == []


def test_v5s_form_creates_the_same_task(client, nodes):
    @rpc(name="count_of_all")
    def count(column: str) -> int:
        return 1

    client.task.create(method="count", arguments={"column": "age"}, organizations=[2])
    client.task.create(method=count, arguments={2: {"column": "age"}, 3: {"column": "sex"}})
    client.task.create(method="count")
    assert [(method, sent) for method, sent, _ in nodes.created] == [
        ("count", {2: {"column": "age"}}),
        ("count_of_all", {2: {"column": "age"}, 3: {"column": "sex"}}),
        ("count", {5: {}, 2: {}, 3: {}}),
    ]


@pytest.mark.parametrize("call", [{}, {"input_": INPUT, "method": "count"}, {"input_": INPUT, "arguments": {}}])
def test_input_and_method_exclude_each_other(client, nodes, call):
    with pytest.raises(ArgumentsError, match="pass either `input_`, or `method` and `arguments`"):
        client.task.create(**call)
    with pytest.raises(ArgumentsError, match="a mapping by argument's name, or of such mappings by organization's id"):
        client.task.create(method="count", arguments=["age"])
    assert nodes.created == []


@pytest.mark.parametrize("get", [lambda c, id_: c.wait_for_results(id_), lambda c, id_: c.result.from_task(id_)])
def test_results_come_in_the_order_in_which_organizations_were_named(client, nodes, answer, get):
    nodes.answers = {
        5: answer(5, after=30),
        2: answer(output=encode_rich(np.arange(2)), after=20),
        3: answer(None, after=10),
    }
    five, two, three = get(client, client.task.create(INPUT)["id"])
    assert (five, two.tolist(), three) == (5, [0, 1], None)


@pytest.mark.parametrize("get", [lambda c, id_: c.wait_for_results(id_), lambda c, id_: c.result.from_task(id_)])
def test_a_failed_run_is_never_dropped(client, nodes, answer, get):
    nodes.answers = {2: answer(status="crashed"), 3: answer(output=b"")}
    with pytest.raises(PartialFailure) as failed:
        get(client, client.task.create(INPUT)["id"])
    assert str(failed.value) == (
        "2 of 3 organizations failed: alpha (id 2): crashed: its log contains no reason; "
        "beta (id 3): completed, but without a result"
    )


def test_quorum_and_timeout_work_as_in_client_run(client, nodes, clock, answer, log):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3, after=1000)}
    task_id = client.task.create(INPUT)["id"]
    clock.now += 100  # the limit counts from the call
    assert client.wait_for_results(task_id, timeout=60, quorum=1) == [5]
    assert any("2 of 3 organizations failed: alpha" in line for line in log)
    with pytest.raises(PartialFailure, match=r"no result within 60 s .*\(quorum: 2\)"):
        client.wait_for_results(task_id, timeout=60, quorum=2)
    assert client.wait_for_results(task_id, quorum=2) == [5, 3]  # the late result has arrived by now
    with pytest.raises(ArgumentsError, match="quorum must be from 1 to 3"):
        client.wait_for_results(task_id, quorum=4)


@pytest.mark.parametrize(("interval", "longest"), [(None, 15), (0.5, 0.5), (0, 0.02), (200, 200)])
def test_the_interval_is_the_longest_pause(client, nodes, answer, clock, interval, longest):
    nodes.answers = {3: answer(3, after=60 * longest)}
    client.wait_for_results(client.task.create(INPUT)["id"], interval)
    assert max(clock.slept) == pytest.approx(longest)
    assert clock.slept[0] <= 0.02


@pytest.mark.parametrize("interval", [-1, float("nan")])
def test_an_invalid_interval_is_refused(client, interval):
    task_id = client.task.create(INPUT)["id"]
    with pytest.raises(ArgumentsError, match="interval must be a number of seconds, not less than 0"):
        client.wait_for_results(task_id, interval)


READERS = {
    "wait_for_results": lambda c, id_: c.wait_for_results(id_),
    "result": lambda c, id_: c.result.from_task(id_),
    "task": lambda c, id_: c.task.get(id_),
    "run": lambda c, id_: c.run.from_task(id_),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_task_whose_results_were_read_is_not_reported(client, log, reader):
    READERS[reader](client, client.task.create(INPUT)["id"])
    client.close()
    assert not any("never read" in line for line in log)


def test_a_task_whose_results_were_never_read_is_reported(client, log):
    client.task.create(INPUT)
    client.task.get(client.task.create({"method": "total"})["id"])
    client.close()
    assert log[-1] == "info > the results of count were never read, so a failure would go unnoticed"
    assert len(log) == 3


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("id_", ["1", None, True, 0, 1.0, {"id": 1}])
def test_an_invalid_id_is_refused(client, reader, id_):
    with pytest.raises(ArgumentsError, match=r"must be an id, a positive integer; a task's is task\['id'\]"):
        READERS[reader](client, id_)


def test_an_unknown_task_is_an_error_with_its_id(client):
    for read in (READERS["wait_for_results"], READERS["result"], READERS["task"]):
        with pytest.raises(ProxyError, match="task 99"):
            read(client, 99)


def test_waiting_for_the_masters_own_task_is_refused(client):
    with pytest.raises(ArgumentsError, match="task 1 is the master's own task, which finishes after the master"):
        client.wait_for_results(1)


def test_a_task_of_another_client_can_be_awaited(client, nodes, answer):
    nodes.answers = {5: answer(5, after=30), 2: answer(2, after=20)}
    client.task.create(INPUT)
    task_id = client.task.create(INPUT, [5, 2])["id"]
    assert nodes.client().wait_for_results(task_id) == [2, 5]  # the order in which the platform lists the runs


def test_runs_are_listed(client):
    task = client.task.create(INPUT, organizations=[2, 3])
    assert [run["organization"]["id"] for run in client.run.from_task(task["id"])] == [2, 3]
    assert client.run.get(200) == {"id": 200, "status": "active"}


def test_organizations_and_the_collaboration_are_read(client):
    assert [organization["name"] for organization in client.organization.list()] == ["alpha", "beta", "gamma", "delta"]
    assert client.organization.get(3) == {"id": 3, "name": "beta"}
    assert client.collaboration.get()["name"] == "collab"
    with pytest.raises(UnknownOrganization, match="not in the collaboration: 9; it has 2"):
        client.organization.get(9)
    with pytest.raises(ArgumentsError, match="must be an id"):
        client.organization.get("beta")


def test_the_client_knows_its_ids(client):
    ids = (client.node_id, client.organization_id, client.collaboration_id, client.study_id, client.store_id)
    assert ids == (2, 3, 4, None, None)
    assert (client.image, client.databases) == ("image", [{"label": "default"}])


def test_run_has_the_signature_of_a_call(client):
    assert callable(client.run)
    assert list(inspect.signature(client.run).parameters) == [
        *("function", "organizations", "timeout", "quorum", "grace", "wait_for_all", "interval"),
        "minimum_organizations",
        *("arguments", "keywords"),
    ]
