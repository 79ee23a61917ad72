"""What a master is shown over each generation's proxy: v4's shapes, and how much is asked for them."""

from __future__ import annotations

import contextlib

import pytest

from algotools.contract import by_name, connection
from algotools.errors import ProxyError

from .test_proxy_v4 import COLLABORATION_KEYS, MASKED, ORGANIZATION_KEYS, RUN_KEYS, TASK_KEYS

GENERATIONS = ("v3", "v4", "v5")


@pytest.fixture(params=GENERATIONS)
def server(serve, request):
    return serve(request.param)


def test_a_created_task_is_shown_as_v4_shows_it(server):
    shown = server.connect().create("partial", {4: {}, 2: {}}, "counts", "of ages")

    assert shown.keys() >= TASK_KEYS
    assert (shown["id"], shown["job_id"], shown["parent"]["id"], shown["init_org"]["id"]) == (2, 1, 1, 2)
    assert (shown["name"], shown["description"], shown["status"]) == ("counts", "of ages", "pending")
    assert server.connect().task(2) == shown


def test_without_a_name_a_task_says_what_it_is(server):
    shown = server.connect().create("partial", {4: {}})

    assert (shown["name"], shown["description"]) == ("subtask", "partial, asked for by the master at node 1")


def test_a_task_is_under_way_until_its_runs_have_ended(server):
    connection = server.connect()
    first, second = server.subtask(2).runs
    assert connection.under_way(2)
    server.store.started(first)
    server.store.ended(first, "completed", server.contract.output(b"1"))
    assert connection.under_way(2)
    server.store.ended(second, "completed", server.contract.output(b"1"))
    assert not connection.under_way(2)
    assert connection.task(2)["status"] == "completed"


@pytest.mark.parametrize("status", ["crashed", "killed by user"])
def test_a_task_of_which_a_run_has_failed_may_be_looked_at_closely(server, status):
    first, second = server.subtask(2).runs
    server.store.ended(first, status)
    server.store.ended(second, "completed", server.contract.output(b"1"))
    assert not server.connect().under_way(2)


def test_runs_are_shown_in_the_order_of_their_creation(server):
    connection = server.connect()
    first, _, _ = server.subtask(3).runs
    server.store.said(first, "what happened")
    server.store.ended(first, "crashed")
    shown = connection.runs_of(2)

    assert all(run.keys() >= RUN_KEYS for run in shown)
    assert [run["organization"]["id"] for run in shown] == [2, 3, 4]
    assert [(run["task"]["id"], run["results"]["id"]) for run in shown] == [(2, 3), (2, 4), (2, 5)]
    assert [run["status"] for run in shown] == ["crashed", "pending", "pending"]
    assert shown[0]["log"].strip() == "what happened"
    assert shown[0]["node"].keys() >= {"id", "ip", "status", "name"}
    assert connection.run(3) == shown[0]


def test_who_takes_part_is_asked_once(server):
    connection = server.connect()
    assert connection.organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    members = connection.members()
    members.pop()["name"] = "changed"
    assert [member["name"] for member in connection.members()] == ["orgA", "orgB", "orgC"]
    assert all(member.keys() >= ORGANIZATION_KEYS for member in members)
    assert members[0]["users"] == "/api/user?organization_id=2"
    assert connection.collaboration().keys() >= COLLABORATION_KEYS
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("generation", "databases"),
    [
        ("v3", [{"label": "default"}]),
        ("v4", [{"label": "default", "query": "select 1"}]),
        ("v5", [{"label": None, "type": "dataframe", "dataframe_id": 1, "dataframe_name": "df1"}]),
    ],
)
def test_the_databases_of_the_masters_task_are_a_list_of_labels(serve, generation, databases):
    assert serve(generation).connect().databases() == databases


@pytest.mark.parametrize("question", ["task", "runs_of", "run", "under_way", "runs", "results"])
def test_an_id_that_there_is_not_is_an_error_after_a_few_seconds(server, clock, question):
    with pytest.raises(ProxyError, match=r"most often there is no \w+ of this id that this master may look at"):
        getattr(server.connect(), question)(99)
    assert clock.now - 1000 <= connection.PATIENCE_FOR_AN_ID


def test_a_task_of_ones_own_is_believed_to_be_there_through_long_trouble(server, clock):
    own = server.connect()
    task_id = own.create("partial", {2: {}})["id"]
    server.troubles = [MASKED] * 30
    assert own.task(task_id)["id"] == task_id
    assert clock.now - 1000 > 200


@pytest.mark.parametrize("answer", [None, 3, [3], {"msg": "hello"}, {"data": 3}, [{"id": 1}]])
@pytest.mark.parametrize("question", ["members", "task", "runs_of", "under_way"])
def test_an_answer_of_another_shape_is_an_error_of_the_proxy(server, answer, question):
    server.troubles = [(200, answer)] * 2
    arguments = () if question == "members" else (1,)
    with contextlib.closing(server.connect()) as connection, pytest.raises(ProxyError, match="in another form"):
        getattr(connection, question)(*arguments)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_arguments_are_encoded_once(serve, monkeypatch, generation):
    server, encoded = serve(generation), []
    kind = type(by_name(generation))
    encode = kind.input
    monkeypatch.setattr(kind, "input", lambda self, content: encoded.append(content) or encode(self, content))
    same = {"column": "age"}
    server.connect().create("partial", {2: same, 3: same, 4: {"column": "sex"}})
    assert [content["kwargs"]["column"] for content in encoded] == ["age", "sex"]
    assert server.store.task(2).runs[0].input == server.store.task(2).runs[1].input
