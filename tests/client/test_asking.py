"""Whom a master asks, and what for."""

import pytest

from algotools import AlgorithmClient, master, rpc
from algotools.errors import ArgumentsError, UnknownOrganization, WrongRole


def test_by_default_those_that_the_master_was_asked_with_are_asked(client, nodes, log):
    client.run("count", column="age")
    assert [(method, list(sent)) for method, sent, _ in nodes.created] == [("count", [5, 2, 3])]
    assert log == ["info > asked 3 of 4 organizations for count"]


def test_named_organizations_are_asked_each_once_and_in_order(client, nodes, log):
    client.run("count", organizations=iter([7, 2, 7]))
    assert list(nodes.created[0][1]) == [7, 2]
    assert log == ["info > asked 2 of 4 organizations for count"]


def test_all_get_the_same_arguments(client, nodes):
    client.run("count", organizations=[2, 3], column="age", limit=3)
    assert nodes.created[0][1] == {2: {"column": "age", "limit": 3}, 3: {"column": "age", "limit": 3}}


def test_arguments_may_come_as_a_mapping_where_names_are_taken(client, nodes):
    client.run("count", organizations=[2], arguments={"timeout": 3, "quorum": 4}, column="age")
    assert nodes.created[0][1] == {2: {"timeout": 3, "quorum": 4, "column": "age"}}


def test_each_organization_may_get_arguments_of_its_own(client, nodes):
    client.run("count", arguments={7: {"limit": 1}, 2: {"limit": 2, "column": "sex"}}, column="age")
    assert nodes.created[0][1] == {7: {"column": "age", "limit": 1}, 2: {"column": "sex", "limit": 2}}
    assert list(nodes.created[0][1]) == [7, 2]


def test_own_arguments_go_in_the_order_of_the_organizations_that_are_named(client, nodes):
    client.run("count", organizations=[2, 7], arguments={7: {"limit": 1}, 2: {"limit": 2}})
    assert list(nodes.created[0][1].items()) == [(2, {"limit": 2}), (7, {"limit": 1})]


@pytest.mark.parametrize("named", [[2], [2, 7, 3]])
def test_own_arguments_must_be_for_just_those_that_are_asked(client, nodes, named):
    with pytest.raises(ArgumentsError, match="must name just the organizations that are asked"):
        client.run("count", organizations=named, arguments={7: {"limit": 1}, 2: {"limit": 2}})
    assert nodes.created == []


@pytest.mark.parametrize("arguments", [{7: 3}, {"limit": 1, 7: {}}, {(1, 2): {}}])
def test_arguments_of_another_shape_are_refused(client, nodes, arguments):
    with pytest.raises(ArgumentsError, match="a mapping by argument's name, or of such mappings by organization's id"):
        client.run("count", arguments=arguments)
    assert nodes.created == []


def test_an_argument_given_in_two_ways_is_refused(client):
    with pytest.raises(ArgumentsError, match="given twice: column, limit"):
        client.run("count", arguments={"limit": 1, "column": "age"}, column="sex", limit=2)


@pytest.mark.parametrize(("given", "told"), [([2, 9, 11], "9, 11"), ([0], "0")])
def test_unknown_organizations_are_named_with_what_there_is(client, nodes, given, told):
    with pytest.raises(UnknownOrganization) as refused:
        client.run("count", organizations=given)
    assert str(refused.value) == (f"not in the collaboration: {told}; it has 2 (alpha), 3 (beta), 5 (gamma), 7 (delta)")
    assert nodes.created == []


def test_unknown_organizations_among_own_arguments_are_named(client):
    with pytest.raises(UnknownOrganization, match="not in the collaboration: 9; it has"):
        client.run("count", arguments={9: {"limit": 1}})


def test_a_task_for_nobody_is_refused(client, nodes):
    with pytest.raises(UnknownOrganization, match="no organization is named"):
        client.run("count", organizations=[])
    assert nodes.created == []


def test_a_function_is_asked_for_by_its_methods_name(client, nodes):
    @rpc(name="count_of_all")
    def count() -> int:
        return 1

    client.run(count)
    assert nodes.created[0][0] == "count_of_all"


def test_a_function_that_is_not_registered_is_refused(client, nodes):
    def count() -> int:
        return 1

    with pytest.raises(WrongRole, match="count is not decorated with @rpc, so no node can run it"):
        client.run(count)
    assert nodes.created == []


def test_a_master_is_refused(client, nodes):
    @master
    def combine(client: AlgorithmClient) -> int:
        return 1

    with pytest.raises(WrongRole, match="combine is a master; a master runs rpcs at other nodes"):
        client.run(combine)
    assert nodes.created == []


@pytest.mark.parametrize("quorum", [0, -1, 4])
def test_a_quorum_that_cannot_be_is_refused(client, nodes, quorum):
    with pytest.raises(ArgumentsError, match="quorum must be from 1 to 3"):
        client.run("count", quorum=quorum)
    assert nodes.created == []


def test_the_organizations_of_the_collaboration_are_told(client):
    assert client.organizations == {2: "alpha", 3: "beta", 5: "gamma", 7: "delta"}


def test_sending_waits_for_nothing(client, nodes, clock, answer):
    nodes.answers = {2: answer(1, after=None)}
    client.run("count")
    client.run("count")
    assert len(nodes.created) == 2
    assert nodes.looks == []
    assert clock.slept == []
