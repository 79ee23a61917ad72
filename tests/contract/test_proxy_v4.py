"""The proxy of v4: its responses, the records that a master gets, and the failures that are retried."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import json
import threading
from typing import ClassVar

import pytest

from algotools.errors import ProxyError, TokenError
from algotools.federation.contract import get_contract
from algotools.federation.contract.rest import make_token
from algotools.runtime.client import http as client_http
from algotools.runtime.contract import _proxy
from algotools.task import Identity, Proxy, Task

MASKED = (500, {"msg": "Request failed, see node logs"})
TASK_KEYS = {
    *("status", "finished_at", "collaboration", "runs", "results", "parent", "children", "init_org", "init_user"),
    *("databases", "study", "algorithm_store", "id", "name", "description", "image", "job_id", "created_at"),
}
RUN_KEYS = {
    *("organization", "task", "results", "node", "ports", "id", "input", "assigned_at", "started_at", "finished_at"),
    *("status", "log", "cleanup_at", "blob_storage_used"),
}
RESULT_KEYS = {"run", "task", "id", "result", "cleanup_at", "blob_storage_used"}
ORGANIZATION_KEYS = {
    *("collaborations", "nodes", "users", "tasks", "runs", "studies", "public_key", "id", "name", "domain"),
    *("address1", "address2", "zipcode", "country"),
}
COLLABORATION_KEYS = {
    *("organizations", "nodes", "tasks", "algorithm_stores", "studies", "id", "name", "encrypted"),
}


@pytest.fixture
def server(serve):
    return serve("v4")


def make_body(**fields):
    return {
        "name": "subtask",
        "image": "harbor.example/probe:1",
        "collaboration_id": 1,
        "description": "task from container on node_id=1",
        "organizations": [{"id": 3, "input": base64.b64encode(b"x").decode()}],
        "databases": [{"label": "default"}],
        **fields,
    }


def test_a_subtask_is_created_with_status_201(server):
    status, task = server.send("POST", "task", make_body())

    assert status == 201
    assert task.keys() == TASK_KEYS
    assert (task["id"], task["job_id"], task["parent"]["id"], task["status"]) == (2, 1, 1, "pending")
    assert (task["runs"], task["results"]) == ("/api/run?task_id=2", "/api/result?task_id=2")
    assert [(d["label"], json.loads(d["parameters"])) for d in task["databases"]] == [
        ("default", {"query": "select 1"})
    ]
    assert server.store.run(3).input == b"x"


def test_a_task_and_its_status_can_be_read(server):
    status, task = server.send("GET", "task/1")

    assert (status, task.keys(), task["parent"], task["image"]) == (200, TASK_KEYS, None, "harbor.example/probe:1")
    assert datetime.datetime.fromisoformat(task["created_at"]).tzinfo is None
    assert server.send("GET", "task/1/status") == (200, {"status": "pending"})
    for run in server.master.runs:
        server.store.finish(run, "completed", b"1")
    assert server.send("GET", "task/1/status") == (200, {"status": "completed"})
    assert server.send("GET", "task/1")[1]["finished_at"]


def test_runs_and_results_come_newest_first(server):
    runs = server.send("GET", "run", task_id="1")[1]["data"]
    results = server.send("GET", "result", task_id="1")[1]["data"]

    assert [(run["id"], run["organization"]["id"]) for run in runs] == [(2, 2), (1, 3)]
    assert [(result["id"], result["run"]["id"]) for result in results] == [(2, 2), (1, 1)]
    assert all(run.keys() == RUN_KEYS for run in runs)
    assert all(result.keys() == RESULT_KEYS for result in results)
    assert runs[0]["node"] == {"id": 1, "ip": None, "status": "online", "name": "orgA - collab1 Node"}
    assert base64.b64decode(runs[0]["input"]) == b"to two"
    assert results[0]["run"] == {"id": 2, "link": "/api/run/2", "methods": ["GET", "PATCH"]}
    assert results[0]["task"] == {"id": 1, "link": "/api/task/1", "methods": ["GET", "DELETE"]}


def test_a_run_can_be_read_by_its_id(server):
    status, run = server.send("GET", "run/1")

    assert (status, run["id"], run["status"], run.keys()) == (200, 1, "pending", RUN_KEYS)


def test_a_result_is_base64_after_its_run_and_empty_after_a_failure(server):
    first, second = server.master.runs
    server.store.finish(first, "completed", b"null")
    assert [r["result"] for r in server.send("GET", "result", task_id="1")[1]["data"]] == [None, "bnVsbA=="]

    server.store.finish(second, "crashed")
    assert [r["result"] for r in server.send("GET", "result", task_id="1")[1]["data"]] == ["", "bnVsbA=="]


def test_a_single_result_cannot_be_read(server):
    server.store.finish(server.store.run(1), "completed", b"1")

    assert server.send("GET", "result/1") == MASKED


def test_organizations_and_the_collaboration_can_be_read(server):
    status, organizations = server.send("GET", "organization", collaboration_id="1")

    assert (status, [(o["id"], o["name"]) for o in organizations["data"]]) == (
        200,
        [(2, "orgA"), (3, "orgB"), (4, "orgC")],
    )
    assert all(o.keys() == ORGANIZATION_KEYS for o in organizations["data"])
    assert server.send("GET", "organization/3")[1]["name"] == "orgB"
    collaboration = server.send("GET", "collaboration/1")[1]
    assert collaboration.keys() == COLLABORATION_KEYS
    assert (collaboration["name"], collaboration["encrypted"]) == ("collab1", False)
    assert server.send("GET", "blobstream/status") == (200, {"blob_store_enabled": False})
    assert server.send("GET", "vpn/algorithm/addresses") == (200, {"addresses": []})


def get_ids(answer):
    return [item["id"] for item in answer[1]["data"]]


@pytest.fixture
def server_with_25_runs(serve):
    """A server with a subtask that has 25 runs."""
    server = serve("v4")
    server.store.create_subtask(server.caller, "many", "", {2: b""})
    task = server.store.task(2)
    task.runs[:] = [
        type(task.runs[0])(id=i, task_id=2, organization_id=2, node_id=1, input=b"", assigned_at="2026-11-22T16:00:00")
        for i in range(1, 26)
    ]
    return server


@pytest.mark.parametrize("path", ["run", "result"])
def test_without_a_page_the_first_ten_items_are_returned(server_with_25_runs, path):
    status, answer = server_with_25_runs.send("GET", path, task_id="2")

    assert (status, len(answer["data"])) == (200, 10)
    assert answer["links"].keys() == {"first", "self", "next", "last"}


@pytest.mark.parametrize(("generation", "state"), [("v4", "open"), ("v5", "finished")])
def test_a_page_after_the_last_one_has_the_number_of_pages(serve, generation, state):
    server = serve(generation)
    first, _, _ = server.create_subtask(3).runs
    server.store.mark_started(first)
    server.store.finish(first, "completed", server.contract.wrap_result(b"1"))
    query = {"task_id": "2", "state": state, "page": "1000000", "per_page": "1"}
    status, answer = server.send("GET", "run", **query)

    assert (status, answer["data"]) == (200, [])
    assert answer["links"]["last"].endswith("page=2" if state == "open" else "page=1")
    assert server.connect().count_finished(2, 3) == 1


@pytest.mark.parametrize("generation", ["v4", "v5"])
def test_a_platform_without_finished_runs_has_no_last_page(serve, generation):
    server = serve(generation)
    runs = server.create_subtask(3).runs
    assert server.connect().count_finished(2, 3) == 0
    for run in runs:
        server.store.finish(run, "crashed")
    assert server.connect().count_finished(2, 3) == 3


@pytest.mark.parametrize("path", ["run", "result"])
def test_a_page_has_ten_items_and_a_link_to_the_next(server_with_25_runs, path):
    pages = [server_with_25_runs.send("GET", path, task_id="2", page=str(number)) for number in (1, 2, 3)]

    assert [get_ids(page) for page in pages] == [list(range(25, 15, -1)), list(range(15, 5, -1)), [5, 4, 3, 2, 1]]
    links = [page[1]["links"] for page in pages]
    assert ["next" in link for link in links] == [True, True, False]
    assert links[0] == {
        "first": f"/api/{path}?task_id=2&page=1",
        "self": f"/api/{path}?task_id=2&page=1",
        "last": f"/api/{path}?task_id=2&page=3",
        "next": f"/api/{path}?task_id=2&page=2",
    }


@pytest.mark.parametrize("size", [7, 25, 100])
def test_a_master_reads_all_pages_of_a_list(server_with_25_runs, monkeypatch, size):
    monkeypatch.setattr(_proxy, "PAGE_SIZE", size)
    connection = server_with_25_runs.connect()

    assert [run.run_id for run in connection.read_run_states(2)] == list(range(1, 26))
    for run in server_with_25_runs.store.task(2).runs:
        server_with_25_runs.store.mark_started(run)
        server_with_25_runs.store.finish(run, "completed", b"1")
    outputs = connection.read_outputs(2)
    assert len(outputs) == 25
    assert len([path for _, path, _ in server_with_25_runs.requests if path == "result"]) == -(-25 // size)


def test_a_page_has_the_requested_size(server_with_25_runs):
    assert get_ids(server_with_25_runs.send("GET", "run", task_id="2", page="3", per_page="12")) == [1]
    assert get_ids(server_with_25_runs.send("GET", "run", task_id="2", page="1", per_page="25"))[-1] == 1
    assert "next" not in server_with_25_runs.send("GET", "run", task_id="2", page="1", per_page="25")[1]["links"]
    assert get_ids(server_with_25_runs.send("GET", "run", task_id="2", page="9")) == []


@pytest.mark.parametrize("organizations", [[], None])
def test_a_subtask_without_organizations_is_refused_with_a_reason(server, organizations):
    answer = server.send("POST", "task", make_body(organizations=organizations))

    assert answer == (400, {"msg": "Organizations missing from input"})


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "task/99", None),
        ("GET", "task/99/status", None),
        ("GET", "run", None),
        ("GET", "run/99", None),
        ("GET", "organization/99", None),
        ("GET", "collaboration/2", None),
        ("GET", "study/1", None),
        ("PATCH", "task/1", None),
        ("POST", "task", make_body(image="another:1")),
        ("POST", "task", make_body(organizations=[{"id": 99, "input": ""}])),
        ("POST", "task", make_body(organizations=[{"id": 3, "input": "not base64"}])),
    ],
)
def test_other_failures_are_masked(server, method, path, content):
    assert server.send(method, path, content) == MASKED
    assert server.store.task(2) is None


def test_a_master_reads_the_members_and_the_recipients_of_its_task(server):
    connection = server.connect()

    assert connection.identity == server.caller
    assert connection.list_organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert connection.list_recipients() == [3, 2]


def test_a_master_creates_a_subtask_with_the_databases_of_its_own_task(server):
    posted = []
    answer = server.contract.respond

    class RecordingContractV4:
        def respond(self, method, path, query, data, *rest):
            posted.append(data)
            return answer(method, path, query, data, *rest)

    connection = server.connect()
    server.contract = RecordingContractV4()
    task = server.store.task(
        connection.create_task("average_partial", {4: {"column_name": "age"}, 2: {"limit": float("inf")}})["id"]
    )

    content = json.loads(posted[-1])
    assert content["databases"] == [{"label": "default", "query": "select 1"}]
    assert content["image"] == server.master.image
    assert not {"study_id", "store_id"} & content.keys()
    assert (task.parent_id, task.job_id, task.databases) == (1, 1, server.master.databases)
    assert [run.organization_id for run in task.runs] == [4, 2]
    assert json.loads(task.runs[1].input) == {
        "method": "average_partial",
        "kwargs": {"limit": float("inf")},
        "master": False,
        "output_format": "algotools",
    }


def test_a_master_reads_the_states_and_results_of_runs(server):
    connection = server.connect()
    task = server.create_subtask(3)
    done, failed, waiting = task.runs
    server.store.log(failed, "the reason")
    server.store.finish(done, "completed", server.contract.wrap_result(b"algotools.\x01"))
    server.store.finish(failed, "crashed")

    states = {run.organization_id: run for run in connection.read_run_states(task.id)}
    assert {o: (s.run_id, s.status, s.is_finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "crashed", True),
        4: (waiting.id, "pending", False),
    }
    assert states[3].log == "the reason\n"
    assert all(state.is_node_online for state in states.values())
    assert connection.read_outputs(task.id) == {done.id: b"algotools.\x01"}


def test_all_runs_are_read_with_one_request(serve):
    server = serve("v4")
    task = server.store.create("many", "", "i", [], dict.fromkeys([2, 3, 4], b""))
    connection = server.connect()

    assert sorted(run.run_id for run in connection.read_run_states(task.id)) == [run.id for run in task.runs]
    assert [query for _, path, query in server.requests if path == "run"] == [
        {"task_id": str(task.id), "page": "1", "per_page": "100"}
    ]


class BlobServer(http.server.BaseHTTPRequestHandler):
    """The proxy of a server with a blob store: inputs and results are only in the store."""

    protocol_version = "HTTP/1.1"
    keys: ClassVar = {"2": "", "3": "LS0tLS1CRUdJTg=="}
    blobs: ClassVar = {}
    posted: ClassVar = []

    def respond(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        resource, _, id_ = self.path.partition("?")[0].strip("/").partition("/")
        item = {"run": {"id": 7}, "result": "from-a-node", "blob_storage_used": True}
        if (resource, id_) == ("blobstream", "status"):
            self.respond(200, b'{"blob_store_enabled": true}')
        elif resource == "organization":
            organizations = [{"id": int(id_), "public_key": key} for id_, key in self.keys.items()]
            self.respond(200, json.dumps({"data": organizations, "links": {}}).encode())
        elif resource == "blobstream":
            self.respond(200, b'["algotools.","YWxnb3Rvb2xzLqFhYQE="]')
        else:
            self.respond(200, json.dumps({"data": [item], "links": {}}).encode())

    def do_POST(self):
        if self.path == "/task":
            self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            return self.respond(201, b'{"id": 5}')
        assert "Content-Length" not in self.headers
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        uuid = f"blob-{len(self.blobs)}"
        self.blobs[uuid] = (self.headers["X-Public-Key"], data)
        return self.respond(200, json.dumps({"uuid": uuid}).encode())

    def log_message(self, *args):
        pass


def test_the_blob_store_of_a_server_is_used():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), BlobServer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            identity = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="i", databases=[])
            proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}", "/token")
            task = Task(method="", input_file="/input", output_file="/output", proxy=proxy)
            with contextlib.closing(get_contract("v4").connect(task, make_token(identity, b"k"))) as connection:
                assert connection.create_task("partial", {2: {"x": 1}, 3: {"x": 2}})["id"] == 5
                assert connection.read_outputs(3) == {7: b"algotools.\xa1aa\x01"}
        finally:
            server.shutdown()
            thread.join()
    assert [o["input"] for o in BlobServer.posted[0]["organizations"]] == ["blob-0", "blob-1"]
    keys, inputs = zip(*BlobServer.blobs.values(), strict=True)
    assert keys == ("none", BlobServer.keys["3"])
    assert [json.loads(data)["kwargs"] for data in inputs] == [{"x": 1}, {"x": 2}]


def test_the_platforms_reason_for_a_failure_is_reported(server):
    task = server.create_subtask(3)
    for run, log in zip(
        task.runs, ("Marked as failed because sibling run id=86 failed with status 'crashed'.", "x", ""), strict=True
    ):
        run.log = log
    hints = {run.run_id: run.hint for run in server.connect().read_run_states(task.id)}
    assert list(hints.values()).count("") == 2
    assert hints[task.runs[0].id] == "not started, because another organization's run had failed"


def test_a_master_whose_task_has_finished_cannot_create_a_subtask(server):
    server.store.finish(server.master.runs[1], "crashed")
    assert server.send("POST", "task", make_body()) == MASKED


@pytest.mark.parametrize("trouble", [MASKED, (502, {}), (503, {"msg": "starting"})])
def test_a_request_is_retried_after_failures(server, clock, trouble):
    connection = server.connect()
    server.failures = [trouble] * 6

    assert connection.list_organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert len(server.requests) == 7


def test_creating_a_subtask_is_retried_and_creates_it_once(server, clock):
    connection = server.connect()
    server.failures = [MASKED, MASKED]

    assert connection.create_task("average_partial", {2: {}})["id"] == 2
    assert server.store.task(3) is None


def test_permanent_failures_are_an_error_after_a_minute(server, clock):
    connection = server.connect()
    server.failures = [MASKED] * 1000
    began = clock.now

    with pytest.raises(ProxyError, match="could not answer GET organization: status 500, even after retries"):
        connection.list_organizations()

    assert 40 < clock.now - began <= client_http.RETRY_TIME
    assert len(server.requests) < 20


def test_waiting_for_results_survives_long_but_not_permanent_failures(server, clock):
    connection = server.connect()
    task_id = connection.create_task("average_partial", {2: {}, 3: {}})["id"]
    server.failures = [MASKED] * 50
    assert len(connection.read_run_states(task_id)) == 2
    assert clock.now - 1000 > 400

    for question in (
        connection.read_run_states,
        connection.read_outputs,
        connection.read_progress,
        connection.read_task,
    ):
        server.failures = [MASKED] * 50
        question(task_id)
        server.failures = [MASKED] * 1000
        with pytest.raises(ProxyError):
            question(task_id)


def test_a_refusal_is_reported_at_once(server, clock):
    connection = server.connect()
    server.failures = [(403, {"msg": "not allowed"})]

    with pytest.raises(ProxyError, match=r"refuses GET organization: status 403 \(not allowed\)"):
        connection.list_organizations()
    assert clock.now == 1000


def test_a_missing_proxy_is_an_error_after_a_minute(server, clock):
    url = server.api.url
    server.api.close()
    connection = server.connect(url)

    with pytest.raises(ProxyError, match="no connection"):
        connection.list_organizations()
    with pytest.raises(ProxyError, match="no connection"):
        connection.create_task("average_partial", {2: {}})


def test_the_client_waits_for_a_proxy_that_starts_late(server, clock, monkeypatch):
    url = server.api.url
    server.api.stop()
    connection = server.connect(url)
    sleeping = clock.sleep

    def sleep(seconds):
        sleeping(seconds)
        if clock.now > 1020:
            connection._http._port = int(server.api.url.rpartition(":")[2])

    monkeypatch.setattr(clock, "sleep", sleep)

    assert connection.create_task("average_partial", {2: {}})["id"] == 2


def test_a_connection_that_the_proxy_has_closed_is_reopened(server):
    connection = server.connect()
    connection.list_organizations()
    connection._http._connection.sock.shutdown(2)

    assert connection.list_organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}


@pytest.mark.parametrize("answer", [b"", b"<html>It works!</html>", b"\xff", b"[" * 100_000])
def test_a_response_that_is_not_json_is_an_error_of_the_proxy(answer):
    class BytesHandler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), BytesHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(ProxyError, match="not JSON"):
                client_http.Http(f"http://127.0.0.1:{server.server_address[1]}", "token").get("organization")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize(
    "answer", [None, 3, [3], {"msg": "hello"}, {"data": [{"result": "%"}]}, {"data": 3}, [{"id": 1, "result": "%"}]]
)
@pytest.mark.parametrize(
    "question", ["list_organizations", "list_recipients", "read_run_states", "read_outputs", "create_task"]
)
def test_a_response_of_another_shape_is_an_error_of_the_proxy(serve, contract, answer, question):
    server = serve(contract)
    server.failures = [(200, answer)] * 2
    connection = server.connect()
    arguments = {"read_run_states": (1,), "read_outputs": (1,), "create_task": ("partial", {2: {}})}.get(question, ())
    with contextlib.closing(connection), pytest.raises(ProxyError, match="in an unexpected format"):
        getattr(connection, question)(*arguments)


@pytest.mark.parametrize(
    "url", ["", "proxyserver:8080", "ftp://proxyserver:8080", "http://", "http://h:99999", "http://[x"]
)
def test_an_invalid_url_is_an_error_of_the_proxy(server, url):
    with pytest.raises(ProxyError, match="an invalid address"):
        client_http.Http(url, "token")


def test_a_connection_without_a_proxy_is_refused(server, tmp_path):
    task = Task(method="", input_file=tmp_path, output_file=tmp_path)

    with pytest.raises(TokenError, match="gives no address of its proxy"):
        server.contract.connect(task, "a.b.c")


def test_a_connection_with_a_malformed_token_is_refused(server, tmp_path):
    from algotools.task import Proxy

    task = Task(method="", input_file=tmp_path, output_file=tmp_path, proxy=Proxy(server.api.url, tmp_path))

    with pytest.raises(TokenError):
        server.contract.connect(task, "a.b.c")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_the_systems_http_proxy_is_ignored(server, monkeypatch, name):
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert server.connect().list_recipients() == [3, 2]
