"""The proxy of v3: its responses, and the records that a master gets."""

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


def make_body(**fields):
    return {
        "name": "subtask",
        "image": "harbor.example/probe:1",
        "collaboration_id": 1,
        "description": "task from container on node_id=1",
        "organizations": [{"id": 3, "input": base64.b64encode(b"x").decode()}],
        "database": "default",
        **fields,
    }


def test_a_subtask_is_created_with_status_200(server):
    status, task = server.send("POST", "task", make_body())

    assert status == 200
    assert task.keys() == TASK_KEYS
    assert (task["id"], task["run_id"], task["initiator"], task["parent"]["id"]) == (2, 1, 2, 1)
    assert (task["database"], task["image"], task["status"]) == ("default", "harbor.example/probe:1", "pending")
    assert (task["complete"], task["finished_at"], task["children"]) == (False, None, None)
    assert task["results"] == [{"id": 3, "link": "/api/result/3", "methods": []}]
    assert server.store.run(3).input == b"x"


def test_times_have_an_offset(server):
    _, task = server.send("GET", "task/1")

    assert datetime.datetime.fromisoformat(task["created_at"]).utcoffset() == datetime.timedelta(0)


def test_a_task_names_its_subtasks(server):
    server.create_subtask()

    assert [child["id"] for child in server.send("GET", "task/1")[1]["children"]] == [2]


def test_results_are_sorted_by_creation_and_refer_to_records_by_id(server):
    status, results = server.send("GET", "task/1/result")

    assert status == 200
    assert [(r["id"], r["organization"], r["task"]) for r in results] == [(1, 3, 1), (2, 2, 1)]
    assert all(r.keys() == RESULT_KEYS for r in results)
    assert results[0]["node"] == {"id": 2, "name": "orgB - collab1 Node", "ip": None, "status": "online", "config": []}
    assert (results[0]["result"], results[0]["status"], results[0]["finished_at"]) == (None, "pending", None)


def test_a_result_is_base64_after_its_run_has_finished(server):
    run = server.store.run(1)
    server.store.mark_started(run)
    server.store.finish(run, "completed", b"json.1")
    status, result = server.send("GET", "result/1")

    assert status == 200
    assert base64.b64decode(result["result"]) == b"json.1"
    assert result["status"] == "completed"
    assert result["started_at"].endswith("+00:00")
    assert result["finished_at"].endswith("+00:00")


def test_a_task_is_complete_after_all_runs_have_finished(server):
    server.store.finish(server.store.run(1), "completed", b"json.1")
    assert server.send("GET", "task/1")[1]["complete"] is False

    server.store.finish(server.store.run(2), "crashed")
    task = server.send("GET", "task/1")[1]
    assert (task["complete"], task["status"]) == (True, "failed")
    assert task["finished_at"]


def test_organizations_are_those_of_the_collaboration(server):
    for path in ("collaboration/1/organization", "organization"):
        status, organizations = server.send("GET", path)
        assert (status, [(o["id"], o["name"]) for o in organizations]) == (200, [(2, "orgA"), (3, "orgB"), (4, "orgC")])
        assert all(o.keys() == ORGANIZATION_KEYS for o in organizations)
    assert server.send("GET", "organization/3")[1]["name"] == "orgB"
    assert server.send("GET", "collaboration/1")[1]["name"] == "collab1"
    assert server.send("GET", "vpn/algorithm/addresses") == (200, {"addresses": []})


@pytest.mark.parametrize("organizations", [[], None])
def test_a_subtask_without_organizations_is_refused_with_a_reason(server, organizations):
    answer = server.send("POST", "task", make_body(organizations=organizations))

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
        ("POST", "task", make_body(image="another:1")),
        ("POST", "task", make_body(organizations=[{"id": 99, "input": ""}])),
        ("POST", "task", make_body(organizations=[{"id": 3, "input": "not base64"}])),
        ("POST", "task", make_body(organizations=[{"id": 3}])),
        ("POST", "task", make_body(organizations=3)),
        ("POST", "task", make_body(organizations=["x"])),
    ],
)
def test_other_failures_are_masked(server, method, path, content):
    assert server.send(method, path, content) == MASKED
    assert server.store.task(2) is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_subtask_that_is_not_json_is_masked(server, content):
    assert server.contract.respond("POST", "task", {}, content, server.caller, server.store) == MASKED


def test_a_master_reads_the_members_and_the_recipients_of_its_task(server):
    connection = server.connect()

    assert connection.identity == server.caller
    assert connection.list_organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert connection.list_recipients() == [3, 2]


def test_a_master_creates_a_subtask_that_requests_rich_results_in_json(server):
    created = server.connect().create_task("average_partial", {4: {"column_name": "age"}, 2: {"column_name": "ü"}})
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


def test_a_master_reads_the_states_and_results_of_runs(server):
    connection = server.connect()
    task = server.create_subtask(3)
    done, failed, empty = task.runs
    server.store.log(failed, "the reason")
    server.store.finish(done, "completed", server.contract.wrap_result(b"algotools.\x01"))
    server.store.finish(failed, "crashed")

    states = {run.organization_id: run for run in connection.read_run_states(task.id)}
    assert {o: (s.run_id, s.status, s.is_finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "crashed", True),
        4: (empty.id, "pending", False),
    }
    assert states[3].log == "the reason\n"
    assert all(state.is_node_online for state in states.values())
    assert connection.read_outputs(task.id) == {done.id: b"algotools.\x01"}


def test_a_refusal_of_the_proxy_is_reported(server, clock):
    with pytest.raises(ProxyError, match=r"refuses POST task: status 400 \(Organizations missing from input\)"):
        server.connect().create_task("average_partial", {})


def test_a_subtask_that_the_server_refuses_fails_after_a_few_attempts(server, clock):
    with pytest.raises(ProxyError, match="could not answer POST task: status 500"):
        server.connect().create_task("average_partial", {99: {}})

    assert [path for _, path, _ in server.requests] == ["task"] * 3


def test_a_master_whose_task_has_finished_cannot_create_a_subtask(server):
    for run in server.master.runs:
        server.store.finish(run, "completed", b"json.1")
    assert server.send("POST", "task", make_body()) == (500, {"msg": "Request failed, see node logs"})


@pytest.mark.parametrize(("node", "online"), [("online", True), ("offline", False), (None, False)])
def test_a_node_that_never_connected_is_offline(server, node, online):
    item = {"id": 1, "organization": 2, "node": {"status": node}}
    server.failures = [(200, [item])]
    assert [run.is_node_online for run in server.connect().read_run_states(1)] == [online]
