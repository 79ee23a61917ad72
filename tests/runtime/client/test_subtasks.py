"""The recipients and arguments of a master's subtasks."""

import decimal
import enum

import numpy as np
import pandas as pd
import pytest

from algotools import AlgorithmClient, master, rpc
from algotools.errors import ArgumentsError, TotalRefused, UnknownOrganization, WrongRole


def test_the_default_organizations_are_those_of_the_masters_task(client, nodes, log):
    client.run("count", column="age")
    assert [(method, list(sent)) for method, sent, _ in nodes.created] == [("count", [5, 2, 3])]
    assert log == ["info > sent count to 3 of 4 organizations"]


def test_a_task_is_sent_once_to_each_organization_in_order(client, nodes, log):
    client.run("count", organizations=iter([7, 2, 7]))
    assert list(nodes.created[0][1]) == [7, 2]
    assert log == ["info > sent count to 2 of 4 organizations"]


def test_a_subtask_with_too_few_organizations_is_not_sent(client, nodes):
    message = r"has 2 organizations, but needs at least 3 \(minimum_organizations=3\); send the task to more"
    with pytest.raises(TotalRefused, match=message):
        client.run("count", organizations=["alpha", 3, 2], minimum_organizations=3)
    assert nodes.created == []


def test_a_subtask_with_enough_organizations_is_sent(client, nodes):
    client.run("count", minimum_organizations=np.int64(3))
    assert [list(sent) for _, sent, _ in nodes.created] == [[5, 2, 3]]


@pytest.mark.parametrize("minimum", [0, -1, 2.0, "3", True])
def test_a_minimum_of_organizations_is_a_positive_integer(client, nodes, minimum):
    with pytest.raises(ArgumentsError, match="minimum_organizations must be an integer of at least 1"):
        client.run("count", minimum_organizations=minimum)
    assert nodes.created == []


def test_a_master_reads_which_organizations_a_subtask_is_sent_to(client, nodes):
    assert list(client.task_organizations.items()) == [(5, "gamma"), (2, "alpha"), (3, "beta")]
    client.run("count")
    assert list(nodes.created[0][1]) == list(client.task_organizations)


class Site(enum.IntEnum):
    ALPHA = 2


IDS = {
    "numpy": np.array([2, 7]),
    "unsigned": list(np.array([2, 7], dtype=np.uint8)),
    "a series": pd.Series([2, 7]),
    "a nullable series": pd.Series([2, 7], dtype="Int64"),
    "an index": pd.Index([2, 7]),
    "an enum": [Site.ALPHA, 7],
    "names": ["alpha", "delta"],
    "a name and an id": ["alpha", np.int64(7)],
    "both of the same": ["alpha", 2, np.int64(7), "delta"],
    "a mapping": {2: "alpha", 7: "delta"},
    "a generator": (id_ for id_ in (2, 7)),
}


@pytest.mark.parametrize("organizations", IDS.values(), ids=IDS)
def test_organizations_are_ids_of_any_integer_type_and_names(client, nodes, organizations):
    client.run("count", organizations=organizations)
    sent = list(nodes.created[0][1])
    assert sent == [2, 7]
    assert {type(id_) for id_ in sent} == {int}


MEMBERS = "choose from 2 (alpha), 3 (beta), 5 (gamma), 7 (delta)"

NO_IDS = {
    "a float": ([2, 3.0], ArgumentsError, r"organizations\[1\] is a float"),
    "a boolean": ([True], ArgumentsError, r"organizations\[0\] is a bool"),
    "a boolean of numpy": ([np.bool_(True)], ArgumentsError, r"organizations\[0\] is a bool"),
    "nothing": ([None], ArgumentsError, r"organizations\[0\] is a NoneType"),
    "a float of numpy": (np.array([2.0]), ArgumentsError, r"organizations\[0\] is a float64"),
    "a missing value": ([pd.NA], ArgumentsError, r"organizations\[0\] is a NAType"),
    "a decimal": ([decimal.Decimal(2)], ArgumentsError, r"organizations\[0\] is a Decimal"),
    "bytes in a list": ([b"alpha"], ArgumentsError, r"organizations\[0\] is a bytes"),
    "an organization as v4 lists it": ([{"id": 2}], ArgumentsError, r"organizations\[0\] is a dict"),
    "two dimensions": (np.array([[2, 3]]), ArgumentsError, r"organizations\[0\] is a ndarray"),
    "a single id": (2, ArgumentsError, "must be a list of ids or names, not a single int; write it in brackets"),
    "a single id of numpy": (np.int64(2), ArgumentsError, "not a single int64"),
    "a single name": ("alpha", ArgumentsError, "not a single str"),
    "bytes": (b"\x02", ArgumentsError, "not a single bytes"),
    "a single float": (2.0, ArgumentsError, "must be a list of ids or names, not a float"),
    "an id as a text": (["2"], UnknownOrganization, r"organizations\[0\] is a text .* an id must be an integer"),
    "another text": (["Jane"], UnknownOrganization, r"organizations\[0\] is a text that is not an organization's name"),
}


@pytest.mark.parametrize(("organizations", "error", "reason"), NO_IDS.values(), ids=NO_IDS)
def test_any_other_value_is_refused_with_ids_and_names(client, nodes, organizations, error, reason):
    with pytest.raises(error, match=reason) as refused:
        client.run("count", organizations=organizations)
    assert MEMBERS in str(refused.value)
    assert "Jane" not in str(refused.value)
    with pytest.raises(error, match=reason):
        client.task.create(method="count", organizations=organizations)
    assert nodes.created == []


def test_a_name_of_two_organizations_is_refused(client, nodes):
    nodes.names[3] = "alpha"
    with pytest.raises(UnknownOrganization, match="is the name of several organizations; pass an id"):
        client.run("count", organizations=["alpha"])


def test_arguments_by_organization_have_ids_of_any_integer_type(client, nodes):
    client.run("count", organizations=["alpha"], arguments={np.int64(2): {"limit": 1}})
    assert nodes.created[0][1] == {2: {"limit": 1}}
    assert type(next(iter(nodes.created[0][1]))) is int


def test_all_organizations_get_the_same_arguments(client, nodes):
    client.run("count", organizations=[2, 3], column="age", limit=3)
    assert nodes.created[0][1] == {2: {"column": "age", "limit": 3}, 3: {"column": "age", "limit": 3}}


def test_arguments_with_reserved_names_are_passed_as_a_mapping(client, nodes):
    client.run("count", organizations=[2], arguments={"timeout": 3, "quorum": 4}, column="age")
    assert nodes.created[0][1] == {2: {"timeout": 3, "quorum": 4, "column": "age"}}


def test_each_organization_can_get_its_own_arguments(client, nodes):
    client.run("count", arguments={7: {"limit": 1}, 2: {"limit": 2, "column": "sex"}}, column="age")
    assert nodes.created[0][1] == {7: {"column": "age", "limit": 1}, 2: {"column": "sex", "limit": 2}}
    assert list(nodes.created[0][1]) == [7, 2]


def test_arguments_by_organization_follow_the_order_of_the_organizations(client, nodes):
    client.run("count", organizations=[2, 7], arguments={7: {"limit": 1}, 2: {"limit": 2}})
    assert list(nodes.created[0][1].items()) == [(2, {"limit": 2}), (7, {"limit": 1})]


@pytest.mark.parametrize("organizations", [[2], [2, 7, 3]])
def test_arguments_by_organization_must_match_the_organizations(client, nodes, organizations):
    with pytest.raises(ArgumentsError, match="must name exactly the organizations of the task"):
        client.run("count", organizations=organizations, arguments={7: {"limit": 1}, 2: {"limit": 2}})
    assert nodes.created == []


@pytest.mark.parametrize("arguments", [{7: 3}, {"limit": 1, 7: {}}, {(1, 2): {}}, {True: {}}])
def test_arguments_of_the_wrong_shape_are_refused(client, nodes, arguments):
    with pytest.raises(ArgumentsError, match="a mapping by argument's name, or of such mappings by organization's id"):
        client.run("count", arguments=arguments)
    assert nodes.created == []


def test_an_argument_given_twice_is_refused(client):
    with pytest.raises(ArgumentsError, match="given twice: column, limit"):
        client.run("count", arguments={"limit": 1, "column": "age"}, column="sex", limit=2)


@pytest.mark.parametrize(("organizations", "ids"), [([2, 9, 11], "9, 11"), ([0], "0")])
def test_unknown_organizations_are_refused_with_the_members(client, nodes, organizations, ids):
    with pytest.raises(UnknownOrganization) as refused:
        client.run("count", organizations=organizations)
    assert str(refused.value) == (f"not in the collaboration: {ids}; it has 2 (alpha), 3 (beta), 5 (gamma), 7 (delta)")
    assert nodes.created == []


def test_unknown_organizations_in_arguments_are_refused(client):
    with pytest.raises(UnknownOrganization, match="not in the collaboration: 9; it has"):
        client.run("count", arguments={9: {"limit": 1}})


def test_a_task_without_organizations_is_refused(client, nodes):
    with pytest.raises(UnknownOrganization, match="name at least one"):
        client.run("count", organizations=[])
    assert nodes.created == []


def test_a_function_is_called_by_its_methods_name(client, nodes):
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
def test_an_impossible_quorum_is_refused(client, nodes, quorum):
    with pytest.raises(ArgumentsError, match="quorum must be from 1 to 3"):
        client.run("count", quorum=quorum)
    assert nodes.created == []


def test_the_client_has_the_organizations_of_the_collaboration(client):
    assert client.organizations == {2: "alpha", 3: "beta", 5: "gamma", 7: "delta"}


def test_sending_does_not_wait(client, nodes, clock, answer):
    nodes.answers = {2: answer(1, after=None)}
    client.run("count")
    client.run("count")
    assert len(nodes.created) == 2
    assert nodes.checks == []
    assert clock.slept == []
