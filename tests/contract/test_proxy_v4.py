"""v4's proxy: what it answers, what a master's side makes of it, and how much of its trouble is borne."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import json
import threading
from typing import ClassVar

import pytest

from algotools.client import http as client_http
from algotools.contract import by_name, token
from algotools.errors import ProxyError, TokenError
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


def body(**more):
    return {
        "name": "subtask",
        "image": "harbor.example/probe:1",
        "collaboration_id": 1,
        "description": "task from container on node_id=1",
        "organizations": [{"id": 3, "input": base64.b64encode(b"x").decode()}],
        "databases": [{"label": "default"}],
        **more,
    }


def test_a_subtask_is_created_with_status_201(server):
    status, task = server.ask("POST", "task", body())

    assert status == 201
    assert task.keys() == TASK_KEYS
    assert (task["id"], task["job_id"], task["parent"]["id"], task["status"]) == (2, 1, 1, "pending")
    assert (task["runs"], task["results"]) == ("/api/run?task_id=2", "/api/result?task_id=2")
    assert [(d["label"], json.loads(d["parameters"])) for d in task["databases"]] == [
        ("default", {"query": "select 1"})
    ]
    assert server.store.run(3).input == b"x"


def test_a_task_is_told_whole_or_by_its_status(server):
    status, task = server.ask("GET", "task/1")

    assert (status, task.keys(), task["parent"], task["image"]) == (200, TASK_KEYS, None, "harbor.example/probe:1")
    assert datetime.datetime.fromisoformat(task["created_at"]).tzinfo is None
    assert server.ask("GET", "task/1/status") == (200, {"status": "pending"})
    for run in server.master.runs:
        server.store.ended(run, "completed", b"1")
    assert server.ask("GET", "task/1/status") == (200, {"status": "completed"})
    assert server.ask("GET", "task/1")[1]["finished_at"]


def test_runs_and_results_come_newest_first(server):
    runs = server.ask("GET", "run", task_id="1")[1]["data"]
    results = server.ask("GET", "result", task_id="1")[1]["data"]

    assert [(run["id"], run["organization"]["id"]) for run in runs] == [(2, 2), (1, 3)]
    assert [(result["id"], result["run"]["id"]) for result in results] == [(2, 2), (1, 1)]
    assert all(run.keys() == RUN_KEYS for run in runs)
    assert all(result.keys() == RESULT_KEYS for result in results)
    assert runs[0]["node"] == {"id": 1, "ip": None, "status": "online", "name": "orgA - collab1 Node"}
    assert base64.b64decode(runs[0]["input"]) == b"to two"
    assert results[0]["run"] == {"id": 2, "link": "/api/run/2", "methods": ["GET", "PATCH"]}
    assert results[0]["task"] == {"id": 1, "link": "/api/task/1", "methods": ["GET", "DELETE"]}


def test_a_run_is_told_by_its_number(server):
    status, run = server.ask("GET", "run/1")

    assert (status, run["id"], run["status"], run.keys()) == (200, 1, "pending", RUN_KEYS)


def test_a_result_is_base64_once_its_run_has_ended_and_empty_if_it_failed(server):
    first, second = server.master.runs
    server.store.ended(first, "completed", b"null")
    assert [r["result"] for r in server.ask("GET", "result", task_id="1")[1]["data"]] == [None, "bnVsbA=="]

    server.store.ended(second, "crashed")
    assert [r["result"] for r in server.ask("GET", "result", task_id="1")[1]["data"]] == ["", "bnVsbA=="]


def test_a_single_result_cannot_be_asked_for(server):
    server.store.ended(server.store.run(1), "completed", b"1")

    assert server.ask("GET", "result/1") == MASKED


def test_organizations_and_the_collaboration_are_told(server):
    status, found = server.ask("GET", "organization", collaboration_id="1")

    assert (status, [(o["id"], o["name"]) for o in found["data"]]) == (200, [(2, "orgA"), (3, "orgB"), (4, "orgC")])
    assert all(o.keys() == ORGANIZATION_KEYS for o in found["data"])
    assert server.ask("GET", "organization/3")[1]["name"] == "orgB"
    collaboration = server.ask("GET", "collaboration/1")[1]
    assert collaboration.keys() == COLLABORATION_KEYS
    assert (collaboration["name"], collaboration["encrypted"]) == ("collab1", False)
    assert server.ask("GET", "blobstream/status") == (200, {"blob_store_enabled": False})
    assert server.ask("GET", "vpn/algorithm/addresses") == (200, {"addresses": []})


def numbers(answer):
    return [item["id"] for item in answer[1]["data"]]


@pytest.fixture
def many(serve):
    """A server with a subtask of 25 runs."""
    server = serve("v4")
    server.store.create_subtask(server.caller, "many", "", {2: b""})
    task = server.store.task(2)
    task.runs[:] = [
        type(task.runs[0])(id=i, task_id=2, organization_id=2, node_id=1, input=b"", assigned_at="2026-11-22T16:00:00")
        for i in range(1, 26)
    ]
    return server


@pytest.mark.parametrize("path", ["run", "result"])
def test_without_a_page_everything_is_answered(many, path):
    status, answer = many.ask("GET", path, task_id="2")

    assert (status, len(answer["data"])) == (200, 25)
    assert answer["links"].keys() == {"first", "self", "last"}


@pytest.mark.parametrize("path", ["run", "result"])
def test_with_a_page_ten_are_answered_and_the_next_is_linked(many, path):
    pages = [many.ask("GET", path, task_id="2", page=str(number)) for number in (1, 2, 3)]

    assert [numbers(page) for page in pages] == [list(range(25, 15, -1)), list(range(15, 5, -1)), [5, 4, 3, 2, 1]]
    links = [page[1]["links"] for page in pages]
    assert ["next" in link for link in links] == [True, True, False]
    assert links[0] == {
        "first": f"/api/{path}?task_id=2&page=1",
        "self": f"/api/{path}?task_id=2&page=1",
        "last": f"/api/{path}?task_id=2&page=3",
        "next": f"/api/{path}?task_id=2&page=2",
    }


def test_a_page_has_the_size_that_is_asked_for(many):
    assert numbers(many.ask("GET", "run", task_id="2", page="3", per_page="12")) == [1]
    assert numbers(many.ask("GET", "run", task_id="2", page="1", per_page="25"))[-1] == 1
    assert "next" not in many.ask("GET", "run", task_id="2", page="1", per_page="25")[1]["links"]
    assert numbers(many.ask("GET", "run", task_id="2", page="9")) == []


@pytest.mark.parametrize("organizations", [[], None])
def test_a_subtask_for_nobody_is_refused_openly(server, organizations):
    answer = server.ask("POST", "task", body(organizations=organizations))

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
        ("POST", "task", body(image="another:1")),
        ("POST", "task", body(organizations=[{"id": 99, "input": ""}])),
        ("POST", "task", body(organizations=[{"id": 3, "input": "not base64"}])),
    ],
)
def test_whatever_else_fails_is_masked(server, method, path, content):
    assert server.ask(method, path, content) == MASKED
    assert server.store.task(2) is None


def test_a_master_learns_who_is_in_the_collaboration_and_who_was_asked(server):
    connection = server.connect()

    assert connection.identity == server.caller
    assert connection.organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert connection.asked() == [3, 2]


def test_a_master_creates_a_subtask_with_the_databases_of_its_own_task(server):
    posted = []
    answer = server.contract.respond

    class Spy:
        def respond(self, method, path, query, data, *rest):
            posted.append(data)
            return answer(method, path, query, data, *rest)

    connection = server.connect()
    server.contract = Spy()
    task = server.store.task(
        connection.create("average_partial", {4: {"column_name": "age"}, 2: {"limit": float("inf")}})["id"]
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


def test_a_master_sees_how_the_runs_are_doing_and_their_results(server):
    connection = server.connect()
    task = server.subtask(3)
    done, failed, waiting = task.runs
    server.store.said(failed, "what went wrong")
    server.store.ended(done, "completed", server.contract.output(b"algotools.\x01"))
    server.store.ended(failed, "crashed")

    states = {run.organization_id: run for run in connection.runs(task.id)}
    assert {o: (s.run_id, s.status, s.finished) for o, s in states.items()} == {
        2: (done.id, "completed", True),
        3: (failed.id, "crashed", True),
        4: (waiting.id, "pending", False),
    }
    assert states[3].log == "what went wrong\n"
    assert all(state.node_online for state in states.values())
    assert connection.results(task.id) == {done.id: b"algotools.\x01"}


def test_a_master_gets_all_runs_with_one_request(serve):
    server = serve("v4")
    task = server.store.create("many", "", "i", [], dict.fromkeys([2, 3, 4], b""))
    connection = server.connect()

    assert sorted(run.run_id for run in connection.runs(task.id)) == [run.id for run in task.runs]
    assert [query for _, path, query in server.requests if path == "run"] == [{"task_id": str(task.id)}]


class BlobServer(http.server.BaseHTTPRequestHandler):
    """A server with a blob store, as its node's proxy shows it: it takes inputs and gives results from there only."""

    protocol_version = "HTTP/1.1"
    keys: ClassVar = {"2": "", "3": "LS0tLS1CRUdJTg=="}
    blobs: ClassVar = {}
    posted: ClassVar = []

    def answer(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        place, _, id_ = self.path.partition("?")[0].strip("/").partition("/")
        item = {"run": {"id": 7}, "result": "from-a-node", "blob_storage_used": True}
        if (place, id_) == ("blobstream", "status"):
            self.answer(200, b'{"blob_store_enabled": true}')
        elif place == "organization":
            organizations = [{"id": int(id_), "public_key": key} for id_, key in self.keys.items()]
            self.answer(200, json.dumps({"data": organizations, "links": {}}).encode())
        elif place == "blobstream":
            self.answer(200, b'["algotools.","YWxnb3Rvb2xzLqFhYQE="]')
        else:
            self.answer(200, json.dumps({"data": [item], "links": {}}).encode())

    def do_POST(self):
        if self.path == "/task":
            self.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            return self.answer(201, b'{"id": 5}')
        assert "Content-Length" not in self.headers
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        uuid = f"blob-{len(self.blobs)}"
        self.blobs[uuid] = (self.headers["X-Public-Key"], data)
        return self.answer(200, json.dumps({"uuid": uuid}).encode())

    def log_message(self, *args):
        pass


def test_a_blob_store_is_used_where_the_server_has_one():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), BlobServer) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            identity = Identity(task_id=1, node_id=1, organization_id=2, collaboration_id=1, image="i", databases=[])
            proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}", "/token")
            task = Task(method="", input_file="/input", output_file="/output", proxy=proxy)
            with contextlib.closing(by_name("v4").connect(task, token.make(identity, b"k"))) as connection:
                assert connection.create("partial", {2: {"x": 1}, 3: {"x": 2}})["id"] == 5
                assert connection.results(3) == {7: b"algotools.\xa1aa\x01"}
        finally:
            server.shutdown()
            thread.join()
    assert [o["input"] for o in BlobServer.posted[0]["organizations"]] == ["blob-0", "blob-1"]
    keys, inputs = zip(*BlobServer.blobs.values(), strict=True)
    assert keys == ("none", BlobServer.keys["3"])
    assert [json.loads(data)["kwargs"] for data in inputs] == [{"x": 1}, {"x": 2}]


def test_what_the_platform_says_of_a_failure_is_told(server):
    task = server.subtask(3)
    for run, log in zip(
        task.runs, ("Marked as failed because sibling run id=86 failed with status 'crashed'.", "x", ""), strict=True
    ):
        run.log = log
    hints = {run.run_id: run.hint for run in server.connect().runs(task.id)}
    assert list(hints.values()).count("") == 2
    assert hints[task.runs[0].id] == "not started, because another organization's run had failed"


def test_a_master_whose_task_has_ended_creates_no_subtask(server):
    server.store.ended(server.master.runs[1], "crashed")
    assert server.ask("POST", "task", body()) == MASKED


@pytest.mark.parametrize("trouble", [MASKED, (502, {}), (503, {"msg": "starting"})])
def test_a_few_failures_are_borne(server, clock, trouble):
    connection = server.connect()
    server.troubles = [trouble] * 6

    assert connection.organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}
    assert len(server.requests) == 7


def test_a_failure_or_two_are_borne_where_a_subtask_is_created_and_it_is_created_once(server, clock):
    connection = server.connect()
    server.troubles = [MASKED, MASKED]

    assert connection.create("average_partial", {2: {}})["id"] == 2
    assert server.store.task(3) is None


def test_failures_without_end_are_an_error_after_a_minute(server, clock):
    connection = server.connect()
    server.troubles = [MASKED] * 1000
    began = clock.now

    with pytest.raises(ProxyError, match="does not fulfil GET organization: status 500, also after trying again"):
        connection.organizations()

    assert 40 < clock.now - began <= client_http.PATIENCE
    assert len(server.requests) < 20


def test_while_results_are_waited_for_even_a_long_failure_is_borne_but_not_for_ever(server, clock):
    connection = server.connect()
    task_id = connection.create("average_partial", {2: {}, 3: {}})["id"]
    server.troubles = [MASKED] * 50
    assert len(connection.runs(task_id)) == 2
    assert clock.now - 1000 > 400

    for question in (connection.runs, connection.results, connection.under_way, connection.task):
        server.troubles = [MASKED] * 50
        question(task_id)
        server.troubles = [MASKED] * 1000
        with pytest.raises(ProxyError):
            question(task_id)


def test_a_refusal_is_told_at_once(server, clock):
    connection = server.connect()
    server.troubles = [(403, {"msg": "not allowed"})]

    with pytest.raises(ProxyError, match=r"refuses GET organization: status 403 \(not allowed\)"):
        connection.organizations()
    assert clock.now == 1000


def test_a_proxy_that_is_not_there_is_an_error_after_a_minute(server, clock):
    url = server.api.url
    server.api.close()
    connection = server.connect(url)

    with pytest.raises(ProxyError, match="no connection"):
        connection.organizations()
    with pytest.raises(ProxyError, match="no connection"):
        connection.create("average_partial", {2: {}})


def test_a_proxy_that_starts_late_is_waited_for(server, clock, monkeypatch):
    url = server.api.url
    server.api.rest()
    connection = server.connect(url)
    sleeping = clock.sleep

    def sleep(seconds):
        sleeping(seconds)
        if clock.now > 1020:
            connection._http._port = int(server.api.url.rpartition(":")[2])

    monkeypatch.setattr(clock, "sleep", sleep)

    assert connection.create("average_partial", {2: {}})["id"] == 2


def test_a_connection_that_the_proxy_has_closed_is_opened_again(server):
    connection = server.connect()
    connection.organizations()
    connection._http._connection.sock.shutdown(2)

    assert connection.organizations() == {2: "orgA", 3: "orgB", 4: "orgC"}


@pytest.mark.parametrize("answer", [b"", b"<html>It works!</html>", b"\xff", b"[" * 100_000])
def test_an_answer_that_is_not_json_is_an_error_of_the_proxy(answer):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
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
@pytest.mark.parametrize("question", ["organizations", "asked", "runs", "results", "create"])
def test_an_answer_of_another_shape_is_an_error_of_the_proxy(serve, contract, answer, question):
    server = serve(contract)
    server.troubles = [(200, answer)] * 2
    connection = server.connect()
    arguments = {"runs": (1,), "results": (1,), "create": ("partial", {2: {}})}.get(question, ())
    with contextlib.closing(connection), pytest.raises(ProxyError, match="in another form"):
        getattr(connection, question)(*arguments)


@pytest.mark.parametrize(
    "url", ["", "proxyserver:8080", "ftp://proxyserver:8080", "http://", "http://h:99999", "http://[x"]
)
def test_an_address_that_is_none_is_an_error_of_the_proxy(server, url):
    with pytest.raises(ProxyError, match="no usable address"):
        client_http.Http(url, "token")


def test_without_a_proxy_there_is_no_connection(server, tmp_path):
    task = Task(method="", input_file=tmp_path, output_file=tmp_path)

    with pytest.raises(TokenError, match="names no proxy"):
        server.contract.connect(task, "a.b.c")


def test_with_a_token_that_is_none_there_is_no_connection(server, tmp_path):
    from algotools.task import Proxy

    task = Task(method="", input_file=tmp_path, output_file=tmp_path, proxy=Proxy(server.api.url, tmp_path))

    with pytest.raises(TokenError):
        server.contract.connect(task, "a.b.c")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_for_other_purposes_is_not_looked_at(server, monkeypatch, name):
    for other in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert server.connect().asked() == [3, 2]
