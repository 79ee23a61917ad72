"""The proxy of v5: the differences from v4. The formats are those of a real server."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.errors import Failure
from algotools.federation.contract import v5
from algotools.federation.contract.rest import DataframeRecord, SessionRecord, make_token
from algotools.runtime.contract import _run_fields
from algotools.runtime.contract.environment import read_token
from algotools.runtime.logs import read_failure
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


def make_body(**fields):
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
        **fields,
    }


def test_a_subtask_is_created_in_the_session_of_its_parent(server):
    status, task = server.send("POST", "task", make_body())

    assert (status, task.keys()) == (201, TASK_KEYS)
    assert (task["id"], task["parent"]["id"], task["status"]) == (2, 1, "awaiting")
    assert (task["action"], task["method"], task["session"]["id"]) == ("federated_compute", "partial", 1)
    assert task["databases"] == [
        {"label": None, "type": "dataframe", "dataframe_id": 1, "dataframe_name": "df1", "position": 0}
    ]
    assert server.store.run(3).input == b'{"column_name": "age"}'


def test_a_subtask_without_organizations_is_refused_with_a_reason(server):
    assert server.send("POST", "task", make_body(organizations=[])) == (
        400,
        {"msg": "Organizations missing from input arguments"},
    )


@pytest.mark.parametrize(
    ("statuses", "status"),
    [([], "awaiting"), (["completed"], "awaiting"), (["crashed"], "failed"), (["completed"] * 2, "completed")],
)
def test_the_status_of_a_task_is_awaiting_completed_or_failed(server, statuses, status):
    for run, run_status in zip(server.master.runs, statuses, strict=False):
        server.store.finish(run, run_status)

    assert server.send("GET", "task/1/status") == (200, {"status": status})
    assert server.send("GET", "task/1")[1]["status"] == status


def test_runs_and_results_are_newest_first_and_have_an_action(server):
    server.store.finish(server.master.runs[1], "completed", b"null")
    runs = server.send("GET", "run", task_id="1")[1]["data"]
    results = server.send("GET", "result", task_id="1")[1]["data"]

    assert [(run["id"], run["organization"]["id"], run["action"]) for run in runs] == [
        (2, 2, "central_compute"),
        (1, 3, "central_compute"),
    ]
    assert all(run.keys() == RUN_KEYS for run in runs)
    assert base64.b64decode(runs[0]["arguments"]) == b"to two"
    assert runs[0]["node"].keys() == {"id", "name", "status", "keycloak_id", "keycloak_client_id"}
    assert server.send("GET", "run/2")[1] == runs[0]
    assert all(result.keys() == RESULT_KEYS for result in results)
    assert [result["result"] for result in results] == ["bnVsbA==", None]


def test_the_other_endpoints_of_v4_exist_except_the_vpn(server):
    assert [o["name"] for o in server.send("GET", "organization", collaboration_id="1")[1]["data"]] == [
        "orgA",
        "orgB",
        "orgC",
    ]
    assert server.send("GET", "collaboration/1")[1]["session_restrict_to_same_image"] is False
    assert server.send("GET", "blobstream/status") == (200, {"blob_store_enabled": False})
    assert server.send("GET", "vpn/algorithm/addresses")[0] == 500
    assert server.send("GET", "result/1")[0] == 500


def test_a_master_creates_a_subtask_with_the_tables_of_its_own_task(server):
    posted = []
    answer = server.contract.respond

    class RecordingContractV5:
        def respond(self, method, path, query, data, *rest):
            posted.append(data)
            return answer(method, path, query, data, *rest)

    connection = server.connect()
    server.contract = RecordingContractV5()
    created = connection.create_task("partial", {4: {"column_name": "age"}, 2: {"limit": float("inf")}})
    task = server.store.task(created["id"])

    content = json.loads(posted[-1])
    assert content["databases"] == server.master.databases
    assert (content["method"], content["action"], content["session_id"]) == ("partial", "federated_compute", 1)
    assert (task.parent_id, task.method, task.role, task.session_id) == (1, "partial", "rpc", 1)
    assert [run.organization_id for run in task.runs] == [4, 2]
    assert json.loads(task.runs[1].input) == {"limit": float("inf"), "algotools:output_format": "algotools"}

    again = server.store.task(connection.create_task("partial", {4: {}}, resend_of=task.id)["id"])
    assert json.loads(again.runs[0].input) == {"algotools:resend_of": task.id, "algotools:output_format": "algotools"}


def test_a_master_reads_the_states_and_results_of_runs(server):
    connection = server.connect()
    done, failed, waiting = server.create_subtask(3).runs
    server.store.log(failed, "the reason")
    server.store.finish(done, "completed", server.contract.wrap_result(b"algotools.\x01"))
    server.store.finish(failed, "dataframe not found")

    states = {run.organization_id: run for run in connection.read_run_states(done.task_id)}
    assert {o: (s.run_id, s.status, s.is_finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "dataframe not found", True),
        4: (waiting.id, "pending", False),
    }
    assert states[3].log == "the reason"
    assert connection.read_outputs(done.task_id) == {done.id: b"algotools.\x01"}
    assert connection.list_recipients() == [3, 2]


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
def test_a_failure_is_read_from_the_log_as_a_node_stores_it(server, log):
    run = server.create_subtask(1).runs[0]
    server.store.log(run, log)
    server.store.finish(run, "crashed")

    (state,) = server.connect().read_run_states(run.task_id)
    assert read_failure(state.log) == Failure(40, 'KeyError in "partial" — line 3')


@given(st.text())
def test_any_log_can_be_cleaned(text):
    assert isinstance(_run_fields.clean_log(text), str)


def test_a_token_contains_only_its_identity():
    identity = Identity(
        task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="i", databases=[[{}]], session_id=5
    )
    claims = json.loads(base64.urlsafe_b64decode(make_token(identity, b"k").split(".")[1] + "=="))

    assert claims.keys() == {"sub"}
    assert claims["sub"]["vantage6_client_type"] == "container"
    assert read_token(make_token(identity, b"k")) == identity


def test_sessions_and_tables_have_the_format_of_a_real_server(server):
    table = DataframeRecord(id=1, session_id=1, name="df1", label="default", tasks=[1])
    item = v5.CONTRACT.show_dataframe(table, {1: server.master}, server.store)

    assert item.keys() == {
        *("session", "tasks", "last_session_task", "ready", "organizations_ready", "columns", "name", "db_label", "id"),
    }
    assert (item["ready"], item["organizations_ready"]) == (False, [])
    server.store.finish(server.master.runs[0], "completed")
    assert v5.CONTRACT.show_dataframe(table, {1: server.master}, server.store)["organizations_ready"] == [3]
    session = SessionRecord(id=1, name="s1", scope="own", created_at="2026-11-23T00:00:00")
    assert v5.CONTRACT.show_session(session, [table], {1: server.master}).keys() == {
        *("owner", "collaboration", "tasks", "study", "scope", "dataframes", "ready", "name", "created_at"),
        *("last_used_at", "image", "id"),
    }


def test_a_master_reads_how_long_runs_of_other_masters_took(server):
    connection = server.connect()
    own_task = connection.create_task("partial", {3: {}})
    sibling = server.store.create_subtask(server.caller, "subtask", "", {2: b"{}", 3: b"{}"}, "partial")
    another_method = server.store.create_subtask(server.caller, "subtask", "", {2: b"{}"}, "other")
    for task in (server.store.task(own_task["id"]), sibling, another_method):
        for run in task.runs:
            server.store.mark_started(run)
            run.started_at = "2026-01-01T12:00:00.250000"
    assert connection.read_durations("partial") == []
    server.store.finish(sibling.runs[0], "completed", b"1")
    server.store.finish(sibling.runs[1], "crashed")
    sibling.runs[0].finished_at = "2026-01-01T12:00:02.750000"
    assert connection.read_durations("partial") == [2.5]
    server.failures[:] = [(500, {})]
    assert connection.read_durations("partial") == []


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2026-01-01T12:00:00", "2026-01-01T12:00:01.500000", 1.5),
        ("2026-01-01T12:00:00+00:00", "2026-01-01T12:00:01.500000", 1.5),
        ("2026-01-01T12:00:02", "2026-01-01T12:00:01", 0.0),
        ("2026-01-01T12:00:00+02:00", "2026-01-01T12:00:01", None),
        (None, "2026-01-01T12:00:01", None),
        ("2026-01-01T12:00:00", None, None),
        (3, "soon", None),
    ],
)
def test_the_duration_of_a_run_is_known_if_its_times_are(start, end, seconds):
    assert _run_fields.measure_duration({"started_at": start, "finished_at": end}) == seconds
