"""The calls of v4's tools, and v5's form of creating a task: the same checks, the same guarantees as client.run."""

import inspect

import numpy as np
import pytest

from algotools import AlgorithmClient, master, rpc
from algotools.errors import ArgumentsError, PartialFailure, ProxyError, UnknownOrganization, WrongRole
from algotools.payload import encode_rich

INPUT = {"method": "count", "kwargs": {"column": "age"}}


def test_a_task_is_created_as_it_is_written(client, nodes, log):
    task = client.task.create(input_=INPUT, organizations=[7, 2, 7], name="counts", description="of ages")
    assert task["id"] == 1
    assert [(method, list(sent.items())) for method, sent, _ in nodes.created] == [
        ("count", [(7, {"column": "age"}), (2, {"column": "age"})])
    ]
    assert nodes.texts == [("counts", "of ages")]
    assert log == ["info > asked 2 of 4 organizations for count"]


def test_by_default_those_that_the_master_was_asked_with_are_asked(client, nodes):
    client.task.create(INPUT)
    assert list(nodes.created[0][1]) == [5, 2, 3]
    assert nodes.texts == [("subtask", "")]


def test_arguments_by_position_get_their_names(client, nodes):
    client.task.create({"method": "count", "args": ["age"], "kwargs": {"limit": 3}, "master": False}, [2])
    assert nodes.created[0][1] == {2: {"column": "age", "limit": 3}}


def test_without_a_function_to_ask_arguments_by_position_are_refused(nodes):
    with pytest.raises(ArgumentsError, match="give the arguments of count by name, under kwargs"):
        AlgorithmClient(nodes).task.create({"method": "count", "args": ["age"]})


@pytest.mark.parametrize(
    ("input_", "told"),
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
def test_an_input_of_another_shape_is_refused_before_anything_is_sent(client, nodes, input_, told):
    with pytest.raises(ArgumentsError) as refused:
        client.task.create(input_)
    assert told in str(refused.value)
    assert nodes.created == []


def test_a_master_is_refused(client, nodes):
    @master
    def combine(client: AlgorithmClient) -> int:
        return 1

    with pytest.raises(WrongRole, match="count is asked for as a master; a master runs rpcs at other nodes"):
        client.task.create({"method": "count", "master": True})
    for call in ({"input_": {"method": combine}}, {"method": combine}):
        with pytest.raises(WrongRole, match="combine is a master; a master runs rpcs at other nodes"):
            client.task.create(**call)
    assert nodes.created == []


@pytest.mark.parametrize("organizations", [[2, 9], [9]])
def test_unknown_organizations_are_named_with_what_there_is(client, nodes, organizations):
    with pytest.raises(UnknownOrganization, match=r"not in the collaboration: 9; it has 2 \(alpha\), 3 \(beta\)"):
        client.task.create(INPUT, organizations)
    assert nodes.created == []


def test_a_task_for_nobody_is_refused(client, nodes):
    with pytest.raises(UnknownOrganization, match="no organization is named"):
        client.task.create(INPUT, organizations=[])
    assert nodes.created == []


def test_v5s_form_creates_the_same(client, nodes):
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
def test_what_to_call_is_said_in_one_way(client, nodes, call):
    with pytest.raises(ArgumentsError, match="by `input_` alone, or by `method` and `arguments`"):
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
def test_one_that_fails_is_never_dropped(client, nodes, answer, get):
    nodes.answers = {2: answer(status="crashed"), 3: answer(output=b"")}
    with pytest.raises(PartialFailure) as failed:
        get(client, client.task.create(INPUT)["id"])
    assert str(failed.value) == (
        "2 of 3 organizations failed: alpha (id 2): crashed: its log does not say why; "
        "beta (id 3): completed, but without a result"
    )


def test_a_quorum_and_a_limit_hold_as_in_client_run(client, nodes, clock, answer, log):
    nodes.answers = {5: answer(5), 2: answer(status="failed"), 3: answer(3, after=1000)}
    task_id = client.task.create(INPUT)["id"]
    clock.now += 100  # the limit counts from the call
    assert client.wait_for_results(task_id, timeout=60, quorum=1) == [5]
    assert any("2 of 3 organizations failed: alpha" in line for line in log)
    with pytest.raises(PartialFailure, match=r"no answer within 60 s .*\(quorum: 2\)"):
        client.wait_for_results(task_id, timeout=60, quorum=2)
    assert client.wait_for_results(task_id, quorum=2) == [5, 3]  # what was too late then has come
    with pytest.raises(ArgumentsError, match="quorum must be from 1 to 3"):
        client.wait_for_results(task_id, quorum=4)


@pytest.mark.parametrize(("interval", "longest"), [(None, 15), (0.5, 0.5), (0, 0.02), (200, 200)])
def test_the_interval_is_the_longest_pause(client, nodes, answer, clock, interval, longest):
    nodes.answers = {3: answer(3, after=60 * longest)}
    client.wait_for_results(client.task.create(INPUT)["id"], interval)
    assert max(clock.slept) == pytest.approx(longest)
    assert clock.slept[0] <= 0.02


@pytest.mark.parametrize("interval", [-1, float("nan")])
def test_an_interval_that_cannot_be_is_refused(client, interval):
    task_id = client.task.create(INPUT)["id"]
    with pytest.raises(ArgumentsError, match="interval must be a number of seconds, not less than 0"):
        client.wait_for_results(task_id, interval)


LOOKS = {
    "waiting": lambda c, id_: c.wait_for_results(id_),
    "results": lambda c, id_: c.result.from_task(id_),
    "the task": lambda c, id_: c.task.get(id_),
    "its runs": lambda c, id_: c.run.from_task(id_),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_task_that_was_looked_at_is_not_told(client, log, look):
    LOOKS[look](client, client.task.create(INPUT)["id"])
    client.close()
    assert not any("never looked at" in line for line in log)


def test_a_task_that_was_never_looked_at_is_told(client, log):
    client.task.create(INPUT)
    client.task.get(client.task.create({"method": "total"})["id"])
    client.close()
    assert log[-1] == "info > the results of count were never looked at; whether it failed is not known"
    assert len(log) == 3


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("id_", ["1", None, True, 0, 1.0, {"id": 1}])
def test_what_is_no_id_is_refused(client, look, id_):
    with pytest.raises(ArgumentsError, match=r"must be an id, a positive integer; a task's is task\['id'\]"):
        LOOKS[look](client, id_)


def test_a_task_that_is_not_there_is_an_error_with_its_id(client):
    for look in (LOOKS["waiting"], LOOKS["results"], LOOKS["the task"]):
        with pytest.raises(ProxyError, match="task 99"):
            look(client, 99)


def test_the_masters_own_task_cannot_be_waited_for(client):
    with pytest.raises(ArgumentsError, match="task 1 is the master's own, and ends after it"):
        client.wait_for_results(1)


def test_a_task_that_another_client_has_created_is_waited_for(client, nodes, answer):
    nodes.answers = {5: answer(5, after=30), 2: answer(2, after=20)}
    client.task.create(INPUT)
    task_id = client.task.create(INPUT, [5, 2])["id"]
    assert nodes.client().wait_for_results(task_id) == [2, 5]  # as the platform lists its runs


def test_runs_are_told(client):
    task = client.task.create(INPUT, organizations=[2, 3])
    assert [run["organization"]["id"] for run in client.run.from_task(task["id"])] == [2, 3]
    assert client.run.get(200) == {"id": 200, "status": "active"}


def test_organizations_and_the_collaboration_are_told(client):
    assert [organization["name"] for organization in client.organization.list()] == ["alpha", "beta", "gamma", "delta"]
    assert client.organization.get(3) == {"id": 3, "name": "beta"}
    assert client.collaboration.get()["name"] == "collab"
    with pytest.raises(UnknownOrganization, match="not in the collaboration: 9; it has 2"):
        client.organization.get(9)
    with pytest.raises(ArgumentsError, match="must be an id"):
        client.organization.get("beta")


def test_the_client_knows_where_it_is(client):
    ids = (client.node_id, client.organization_id, client.collaboration_id, client.study_id, client.store_id)
    assert ids == (2, 3, 4, None, None)
    assert (client.image, client.databases) == ("image", [{"label": "default"}])


def test_run_is_still_a_call_that_says_what_it_takes(client):
    assert callable(client.run)
    assert list(inspect.signature(client.run).parameters) == [
        *("function", "organizations", "timeout", "quorum", "arguments", "keywords"),
    ]
