"""The master gets records in the format of v4 through each generation's proxy, with few requests."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from algotools.errors import ProxyError
from algotools.federation.contract import get_contract
from algotools.runtime.contract import _proxy

from .test_proxy_v4 import COLLABORATION_KEYS, MASKED, ORGANIZATION_KEYS, RUN_KEYS, TASK_KEYS

GENERATIONS = ("v3", "v4", "v5")


@pytest.fixture(params=GENERATIONS)
def server(serve, request):
    return serve(request.param)


def test_a_created_task_has_the_format_of_v4(server):
    task = server.connect().create_task("partial", {4: {}, 2: {}}, "counts", "of ages")

    assert task.keys() >= TASK_KEYS
    assert (task["id"], task["job_id"], task["parent"]["id"], task["init_org"]["id"]) == (2, 1, 1, 2)
    assert (task["name"], task["description"], task["status"]) == ("counts", "of ages", "pending")
    assert server.connect().read_task(2) == task


def test_a_task_without_a_name_gets_a_default_name(server):
    task = server.connect().create_task("partial", {4: {}})

    assert (task["name"], task["description"]) == ("subtask", "partial, sent by the master at node 1")


def test_a_task_is_under_way_until_its_runs_have_finished(server):
    connection = server.connect()
    first, second = server.create_subtask(2).runs
    assert connection.read_progress(2) == "active"
    server.store.mark_started(first)
    server.store.finish(first, "completed", server.contract.wrap_result(b"1"))
    assert connection.read_progress(2) == "active"
    server.store.finish(second, "completed", server.contract.wrap_result(b"1"))
    assert connection.read_progress(2) == "completed"
    assert connection.read_task(2)["status"] == "completed"


@pytest.mark.parametrize("status", ["crashed", "killed by user"])
def test_a_task_with_a_failed_run_is_not_under_way(server, status):
    first, second = server.create_subtask(2).runs
    server.store.finish(first, status)
    server.store.finish(second, "completed", server.contract.wrap_result(b"1"))
    assert server.connect().read_progress(2) == "unclear"


def test_a_task_is_not_under_way_as_soon_as_a_run_has_failed(server):
    first, _ = server.create_subtask(2).runs
    server.store.finish(first, "crashed")
    assert server.connect().read_progress(2) == "unclear"


def test_several_threads_can_use_one_connection(server):
    connection = server.connect()
    server.create_subtask(2)
    with ThreadPoolExecutor(8) as threads:
        items = list(threads.map(lambda task_id: connection.read_task(1 + task_id % 2), range(200)))
    assert [item["id"] for item in items] == [1, 2] * 100


def test_runs_are_sorted_by_their_creation(server):
    connection = server.connect()
    first, _, _ = server.create_subtask(3).runs
    server.store.log(first, "what happened")
    server.store.finish(first, "crashed")
    runs = connection.list_runs(2)

    assert all(run.keys() >= RUN_KEYS for run in runs)
    assert [run["organization"]["id"] for run in runs] == [2, 3, 4]
    assert [(run["task"]["id"], run["results"]["id"]) for run in runs] == [(2, 3), (2, 4), (2, 5)]
    assert [run["status"] for run in runs] == ["crashed", "pending", "pending"]
    assert runs[0]["log"].strip() == "what happened"
    assert runs[0]["node"].keys() >= {"id", "ip", "status", "name"}
    assert connection.read_run(3) == runs[0]


def test_organizations_are_requested_once(server):
    connection = server.connect()
    assert connection.list_organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    members = connection.list_members()
    members.pop()["name"] = "changed"
    assert [member["name"] for member in connection.list_members()] == ["orgA", "orgB", "orgC"]
    assert all(member.keys() >= ORGANIZATION_KEYS for member in members)
    assert members[0]["users"] == "/api/user?organization_id=2"
    assert connection.read_collaboration().keys() >= COLLABORATION_KEYS
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
    assert serve(generation).connect().list_databases() == databases


@pytest.mark.parametrize(
    "question", ["read_task", "list_runs", "read_run", "read_progress", "read_run_states", "read_outputs"]
)
def test_an_unknown_id_is_an_error_after_a_few_seconds(server, clock, question):
    with pytest.raises(ProxyError, match=r"most often there is no \w+ of this id that this master may read"):
        getattr(server.connect(), question)(99)
    assert clock.now - 1000 <= _proxy.RETRY_TIME_FOR_UNKNOWN_ID


def test_requests_for_the_masters_own_task_are_retried_for_long(server, clock):
    connection = server.connect()
    task_id = connection.create_task("partial", {2: {}})["id"]
    server.failures = [MASKED] * 30
    assert connection.read_task(task_id)["id"] == task_id
    assert clock.now - 1000 > 200


@pytest.mark.parametrize("answer", [None, 3, [3], {"msg": "hello"}, {"data": 3}, [{"id": 1}]])
@pytest.mark.parametrize("question", ["list_members", "read_task", "list_runs", "read_progress"])
def test_a_response_of_another_shape_is_an_error_of_the_proxy(server, answer, question):
    server.failures = [(200, answer)] * 2
    arguments = () if question == "list_members" else (1,)
    with contextlib.closing(server.connect()) as connection, pytest.raises(ProxyError, match="in an unexpected format"):
        getattr(connection, question)(*arguments)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_same_arguments_are_encoded_once(serve, monkeypatch, generation):
    server, encoded = serve(generation), []
    kind = type(get_contract(generation))
    encode = kind.encode_input
    monkeypatch.setattr(kind, "encode_input", lambda self, content: encoded.append(content) or encode(self, content))
    same = {"column": "age"}
    server.connect().create_task("partial", {2: same, 3: same, 4: {"column": "sex"}})
    assert [content["kwargs"]["column"] for content in encoded] == ["age", "sex"]
    assert server.store.task(2).runs[0].input == server.store.task(2).runs[1].input
