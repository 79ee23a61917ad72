"""v5's proxy: what differs from v4's. Shapes are those that were seen of a real one."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.contract import token, v5_http
from algotools.contract.platform import Dataframe, Session
from algotools.errors import Failure
from algotools.report import read_failure
from algotools.task import Identity

TASK_KEYS = {
    *("status", "finished_at", "collaboration", "runs", "results", "parent", "children", "init_org", "init_user"),
    *("databases", "study", "algorithm_store", "id", "name", "description", "image", "job_id", "created_at"),
    *("action", "method", "depends_on", "required_by", "session", "dataframe"),
}
RUN_KEYS = {
    *("organization", "task", "results", "node", "id", "arguments", "assigned_at", "started_at", "finished_at"),
    *("status", "log", "cleanup_at", "blob_storage_used", "action"),
}
RESULT_KEYS = {"run", "task", "id", "result", "cleanup_at", "blob_storage_used", "action"}


@pytest.fixture
def server(serve):
    return serve("v5")


def body(**more):
    return {
        "name": "subtask",
        "image": "harbor.example/probe:1",
        "collaboration_id": 1,
        "description": "task from container on node_id=1",
        "organizations": [{"id": 3, "arguments": base64.b64encode(b'{"column_name": "age"}').decode()}],
        "databases": [[{"label": None, "type": "dataframe", "dataframe_id": 1}]],
        "session_id": 1,
        "method": "partial",
        "action": "federated_compute",
        **more,
    }


def test_a_subtask_is_created_in_the_session_of_its_parent(server):
    status, task = server.ask("POST", "task", body())

    assert (status, task.keys()) == (201, TASK_KEYS)
    assert (task["id"], task["parent"]["id"], task["status"]) == (2, 1, "awaiting")
    assert (task["action"], task["method"], task["session"]["id"]) == ("federated_compute", "partial", 1)
    assert task["databases"] == [
        {"label": None, "type": "dataframe", "dataframe_id": 1, "dataframe_name": "df1", "position": 0}
    ]
    assert server.store.run(3).input == b'{"column_name": "age"}'


def test_a_subtask_for_nobody_is_refused_openly(server):
    assert server.ask("POST", "task", body(organizations=[])) == (
        400,
        {"msg": "Organizations missing from input arguments"},
    )


@pytest.mark.parametrize(
    ("ends", "status"),
    [([], "awaiting"), (["completed"], "awaiting"), (["crashed"], "failed"), (["completed"] * 2, "completed")],
)
def test_a_task_awaits_its_runs_is_completed_or_has_failed(server, ends, status):
    for run, end in zip(server.master.runs, ends, strict=False):
        server.store.ended(run, end)

    assert server.ask("GET", "task/1/status") == (200, {"status": status})
    assert server.ask("GET", "task/1")[1]["status"] == status


def test_runs_and_results_come_newest_first_and_tell_what_they_do(server):
    server.store.ended(server.master.runs[1], "completed", b"null")
    runs = server.ask("GET", "run", task_id="1")[1]["data"]
    results = server.ask("GET", "result", task_id="1")[1]["data"]

    assert [(run["id"], run["organization"]["id"], run["action"]) for run in runs] == [
        (2, 2, "central_compute"),
        (1, 3, "central_compute"),
    ]
    assert all(run.keys() == RUN_KEYS for run in runs)
    assert base64.b64decode(runs[0]["arguments"]) == b"to two"
    assert runs[0]["node"].keys() == {"id", "name", "status", "keycloak_id", "keycloak_client_id"}
    assert server.ask("GET", "run/2")[1] == runs[0]
    assert all(result.keys() == RESULT_KEYS for result in results)
    assert [result["result"] for result in results] == ["bnVsbA==", None]


def test_what_v4_has_is_still_there_but_for_the_vpn(server):
    assert [o["name"] for o in server.ask("GET", "organization", collaboration_id="1")[1]["data"]] == [
        "orgA",
        "orgB",
        "orgC",
    ]
    assert server.ask("GET", "collaboration/1")[1]["session_restrict_to_same_image"] is False
    assert server.ask("GET", "blobstream/status") == (200, {"blob_store_enabled": False})
    assert server.ask("GET", "vpn/algorithm/addresses")[0] == 500
    assert server.ask("GET", "result/1")[0] == 500


def test_a_master_creates_a_subtask_with_the_tables_of_its_own_task(server):
    posted = []
    answer = server.contract.respond

    class Spy:
        def respond(self, method, path, query, data, *rest):
            posted.append(data)
            return answer(method, path, query, data, *rest)

    connection = server.connect()
    server.contract = Spy()
    created = connection.create("partial", {4: {"column_name": "age"}, 2: {"limit": float("inf")}})
    task = server.store.task(created["id"])

    content = json.loads(posted[-1])
    assert content["databases"] == server.master.databases
    assert (content["method"], content["action"], content["session_id"]) == ("partial", "federated_compute", 1)
    assert (task.parent_id, task.method, task.role, task.session_id) == (1, "partial", "rpc", 1)
    assert [run.organization_id for run in task.runs] == [4, 2]
    assert json.loads(task.runs[1].input) == {"limit": float("inf"), "algotools:output_format": "algotools"}


def test_a_master_sees_how_the_runs_are_doing_and_their_results(server):
    connection = server.connect()
    done, failed, waiting = server.subtask(3).runs
    server.store.said(failed, "what went wrong")
    server.store.ended(done, "completed", server.contract.output(b"algotools.\x01"))
    server.store.ended(failed, "dataframe not found")

    states = {run.organization_id: run for run in connection.runs(done.task_id)}
    assert {o: (s.run_id, s.status, s.finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "dataframe not found", True),
        4: (waiting.id, "pending", False),
    }
    assert states[3].log == "what went wrong"
    assert connection.results(done.task_id) == {done.id: b"algotools.\x01"}
    assert connection.asked() == [3, 2]


FAILURE = 'algotools.failure {"code": 40, "message": "KeyError in \\"partial\\" — line 3"}'
HEADING = "LOGS of POD vantage6-run-7-x2x (created by job vantage6-run-7) \n\n "


@pytest.mark.parametrize(
    "log",
    [
        FAILURE,
        f"{HEADING}info > asked\r\n{FAILURE}\r\n \n\n\n",
        f"{HEADING}{f'info > asked{chr(13)}{chr(10)}{FAILURE}{chr(13)}{chr(10)}'.encode()!r} \n\n\n",
        f"{HEADING}first attempt \n\n\n{HEADING}{FAILURE.encode()!r} \n\n\n",
    ],
    ids=["plain", "of a pod", "of a pod, as 5.0.3 stores it", "of two pods"],
)
def test_why_a_run_failed_is_read_from_the_log_as_a_node_stores_it(server, log):
    run = server.subtask(1).runs[0]
    server.store.said(run, log)
    server.store.ended(run, "crashed")

    (state,) = server.connect().runs(run.task_id)
    assert read_failure(state.log) == Failure(40, 'KeyError in "partial" — line 3')


@given(st.text())
def test_any_log_is_read(text):
    assert isinstance(v5_http.written(text), str)


def test_a_token_has_its_identity_and_nothing_else():
    identity = Identity(
        task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="i", databases=[[{}]], session_id=5
    )
    claims = json.loads(base64.urlsafe_b64decode(token.make(identity, b"k").split(".")[1] + "=="))

    assert claims.keys() == {"sub"}
    assert claims["sub"]["vantage6_client_type"] == "container"
    assert token.read(token.make(identity, b"k")) == identity


def test_sessions_and_their_tables_are_shown_as_they_were_seen(server):
    made = Dataframe(id=1, session_id=1, name="df1", label="default", tasks=[1])
    shown = v5_http.dataframe(made, {1: server.master}, server.store)

    assert shown.keys() == {
        *("session", "tasks", "last_session_task", "ready", "organizations_ready", "columns", "name", "db_label", "id"),
    }
    assert (shown["ready"], shown["organizations_ready"]) == (False, [])
    server.store.ended(server.master.runs[0], "completed")
    assert v5_http.dataframe(made, {1: server.master}, server.store)["organizations_ready"] == [3]
    session = Session(id=1, name="s1", scope="own", created_at="2026-11-23T00:00:00")
    assert v5_http.session(session, [made], {1: server.master}).keys() == {
        *("owner", "collaboration", "tasks", "study", "scope", "dataframes", "ready", "name", "created_at"),
        *("last_used_at", "image", "id"),
    }
