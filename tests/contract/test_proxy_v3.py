"""v3's proxy: what it answers, and what a master's side makes of it."""

from __future__ import annotations

import base64
import datetime
import json

import pytest

from algotools.errors import ProxyError

MASKED = (500, {"msg": "Request failed, see node logs"})
TASK_KEYS = {
    *("initiator", "description", "run_id", "status", "collaboration", "id", "finished_at", "parent", "init_user"),
    *("children", "complete", "image", "results", "name", "database", "created_at"),
}
RESULT_KEYS = {
    *("assigned_at", "finished_at", "id", "input", "log", "node", "organization", "ports", "result", "started_at"),
    *("status", "task"),
}
ORGANIZATION_KEYS = {
    *("id", "name", "domain", "address1", "address2", "zipcode", "country", "public_key"),
    *("collaborations", "nodes", "users", "roles", "results"),
}


@pytest.fixture
def server(serve):
    return serve("v3")


def body(**more):
    return {
        "name": "subtask",
        "image": "harbor.example/probe:1",
        "collaboration_id": 1,
        "description": "task from container on node_id=1",
        "organizations": [{"id": 3, "input": base64.b64encode(b"x").decode()}],
        "database": "default",
        **more,
    }


def test_a_subtask_is_created_with_status_200(server):
    status, task = server.ask("POST", "task", body())

    assert status == 200
    assert task.keys() == TASK_KEYS
    assert (task["id"], task["run_id"], task["initiator"], task["parent"]["id"]) == (2, 1, 2, 1)
    assert (task["database"], task["image"], task["status"]) == ("default", "harbor.example/probe:1", "pending")
    assert (task["complete"], task["finished_at"], task["children"]) == (False, None, None)
    assert task["results"] == [{"id": 3, "link": "/api/result/3", "methods": []}]
    assert server.store.run(3).input == b"x"


def test_times_have_an_offset(server):
    _, task = server.ask("GET", "task/1")

    assert datetime.datetime.fromisoformat(task["created_at"]).utcoffset() == datetime.timedelta(0)


def test_a_task_names_its_subtasks(server):
    server.subtask()

    assert [child["id"] for child in server.ask("GET", "task/1")[1]["children"]] == [2]


def test_results_come_in_the_order_of_their_creation_and_refer_to_others_by_number(server):
    status, results = server.ask("GET", "task/1/result")

    assert status == 200
    assert [(r["id"], r["organization"], r["task"]) for r in results] == [(1, 3, 1), (2, 2, 1)]
    assert all(r.keys() == RESULT_KEYS for r in results)
    assert results[0]["node"] == {"id": 2, "name": "orgB - collab1 Node", "ip": None, "status": "online", "config": []}
    assert (results[0]["result"], results[0]["status"], results[0]["finished_at"]) == (None, "pending", None)


def test_a_result_is_base64_once_its_run_has_ended(server):
    run = server.store.run(1)
    server.store.started(run)
    server.store.ended(run, "completed", b"json.1")
    status, result = server.ask("GET", "result/1")

    assert status == 200
    assert base64.b64decode(result["result"]) == b"json.1"
    assert result["status"] == "completed"
    assert result["started_at"].endswith("+00:00")
    assert result["finished_at"].endswith("+00:00")


def test_a_task_is_complete_when_all_of_its_runs_have_ended(server):
    server.store.ended(server.store.run(1), "completed", b"json.1")
    assert server.ask("GET", "task/1")[1]["complete"] is False

    server.store.ended(server.store.run(2), "crashed")
    task = server.ask("GET", "task/1")[1]
    assert (task["complete"], task["status"]) == (True, "failed")
    assert task["finished_at"]


def test_organizations_are_those_of_the_collaboration(server):
    for path in ("collaboration/1/organization", "organization"):
        status, found = server.ask("GET", path)
        assert (status, [(o["id"], o["name"]) for o in found]) == (200, [(2, "orgA"), (3, "orgB"), (4, "orgC")])
        assert all(o.keys() == ORGANIZATION_KEYS for o in found)
    assert server.ask("GET", "organization/3")[1]["name"] == "orgB"
    assert server.ask("GET", "collaboration/1")[1]["name"] == "collab1"
    assert server.ask("GET", "vpn/algorithm/addresses") == (200, {"addresses": []})


@pytest.mark.parametrize("organizations", [[], None])
def test_a_subtask_for_nobody_is_refused_openly(server, organizations):
    answer = server.ask("POST", "task", body(organizations=organizations))

    assert answer == (400, {"msg": "Organizations missing from input"})


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "task/99", None),
        ("GET", "task/99/result", None),
        ("GET", "result/99", None),
        ("GET", "organization/99", None),
        ("GET", "collaboration/2", None),
        ("GET", "collaboration/2/organization", None),
        ("GET", "node/1", None),
        ("GET", "", None),
        ("DELETE", "task/1", None),
        ("POST", "result", {}),
        ("POST", "task", []),
        ("POST", "task", body(image="another:1")),
        ("POST", "task", body(organizations=[{"id": 99, "input": ""}])),
        ("POST", "task", body(organizations=[{"id": 3, "input": "not base64"}])),
        ("POST", "task", body(organizations=[{"id": 3}])),
        ("POST", "task", body(organizations=3)),
        ("POST", "task", body(organizations=["x"])),
    ],
)
def test_whatever_else_fails_is_masked(server, method, path, content):
    assert server.ask(method, path, content) == MASKED
    assert server.store.task(2) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_subtask_that_is_not_json_is_masked(server, content):
    assert server.contract.respond("POST", "task", {}, content, server.caller, server.store) == MASKED


def test_a_master_learns_who_is_in_the_collaboration_and_who_was_asked(server):
    connection = server.connect()

    assert connection.identity == server.caller
    assert connection.organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert connection.asked() == [3, 2]


def test_a_master_creates_a_subtask_that_asks_for_rich_answers_in_json(server):
    created = server.connect().create("average_partial", {4: {"column_name": "age"}, 2: {"column_name": "ü"}})
    task = server.store.task(created["id"])

    assert (task.parent_id, task.job_id, task.image, task.databases) == (1, 1, server.master.image, "default")
    assert [run.organization_id for run in task.runs] == [4, 2]
    assert task.runs[1].input.startswith(b"json.")
    assert json.loads(task.runs[1].input[5:]) == {
        "method": "average_partial",
        "kwargs": {"column_name": "ü"},
        "master": False,
        "output_format": "algotools",
    }


def test_a_master_sees_how_the_runs_are_doing_and_their_results(server):
    connection = server.connect()
    task = server.subtask(3)
    done, failed, empty = task.runs
    server.store.said(failed, "what went wrong")
    server.store.ended(done, "completed", server.contract.output(b"algotools.\x01"))
    server.store.ended(failed, "crashed")

    states = {run.organization_id: run for run in connection.runs(task.id)}
    assert {o: (s.run_id, s.status, s.finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "crashed", True),
        4: (empty.id, "pending", False),
    }
    assert states[3].log == "what went wrong\n"
    assert all(state.node_online for state in states.values())
    assert connection.results(task.id) == {done.id: b"algotools.\x01"}


def test_a_refusal_of_the_proxy_is_told(server, clock):
    with pytest.raises(ProxyError, match=r"refuses POST task: status 400 \(Organizations missing from input\)"):
        server.connect().create("average_partial", {})


def test_a_subtask_that_the_server_refuses_is_given_up_after_a_few_attempts(server, clock):
    with pytest.raises(ProxyError, match="does not fulfil POST task: status 500"):
        server.connect().create("average_partial", {99: {}})

    assert [path for _, path, _ in server.requests] == ["task"] * 3


def test_a_master_whose_task_has_ended_creates_no_subtask(server):
    for run in server.master.runs:
        server.store.ended(run, "completed", b"json.1")
    assert server.ask("POST", "task", body()) == (500, {"msg": "Request failed, see node logs"})


@pytest.mark.parametrize(("node", "online"), [("online", True), ("offline", False), (None, False)])
def test_a_node_that_never_came_counts_as_offline(server, node, online):
    item = {"id": 1, "organization": 2, "node": {"status": node}}
    server.troubles = [(200, [item])]
    assert [run.node_online for run in server.connect().runs(1)] == [online]
