"""SPARQL, with a real endpoint: the response is read as pandas reads CSV, and no error shows the password."""

from __future__ import annotations

import base64
import gc
import io
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from algotools import data
from algotools.data import sparql
from algotools.data.reading import Loaded
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from ..hanging import full_server, silent_server, stopping_server
from ..processes import LIMIT
from .conftest import assert_same

SECRET = "Jane-Doe-4711"
PASSWORD = "hunter2@:/4711"

TRIPLES = f"""
@prefix : <http://example.org/> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
:jane :name "{SECRET}" ; :age 71 ; :weight 70.5 ; :smokes true ; :born "1953-01-01"^^xsd:date .
:john :name "a, \\"b\\"\\nc é" ; :age 58 .
"""

PATIENTS = """
PREFIX : <http://example.org/>
SELECT ?name ?age ?weight ?smokes ?born WHERE {
    ?x :name ?name ; :age ?age . OPTIONAL { ?x :weight ?weight ; :smokes ?smokes ; :born ?born }
} ORDER BY ?age
"""


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """RDFLib's endpoint with two patients."""
    file = tmp_path_factory.mktemp("sparql") / "patients.ttl"
    file.write_text(TRIPLES, encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = file.with_name("log")
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("rdflib-endpoint"), "serve", "--host=127.0.0.1", f"--port={port}", file],
            stdout=log_file, stderr=log_file,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(LIMIT)


def load(uri: str, query: str | None = PATIENTS, columns: Any = None, form: str = "pandas", **options: str) -> Loaded:
    with ExitStack() as stack:
        return data.load(Database("triples", uri, "sparql", options, query), form, columns, stack)


def failure(uri: str, query: str = PATIENTS, **options: str) -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as excinfo:
        load(uri, query, **options)
    for secret in (SECRET, PASSWORD, "hunter2"):
        assert secret not in str(excinfo.value) + excinfo.value.detail
    assert "127.0.0.1" not in str(excinfo.value)
    return excinfo.value


class TestEndpoint:
    def test_the_response_is_read_as_pandas_reads_it(self, endpoint):
        request = urllib.request.Request(
            f"{endpoint}/?{urllib.parse.urlencode({'query': PATIENTS})}", headers={"Accept": "text/csv"}
        )
        with urllib.request.urlopen(request) as response:
            whole = pd.read_csv(io.BytesIO(response.read()))
        loaded = load(f"{endpoint}/")
        assert_same(loaded.value, whole)
        assert loaded.columns == ["name", "age", "weight", "smokes", "born"]
        assert whole["age"].tolist() == [58, 71]
        assert whole["name"].tolist() == ['a, "b"\nc é', SECRET]

    @pytest.mark.parametrize("columns", [{"age"}, {"born", "name", "no such column"}])
    def test_only_the_requested_columns_are_returned(self, endpoint, columns):
        loaded = load(endpoint, columns=columns)
        whole: Any = load(endpoint).value
        assert_same(loaded.value, whole.loc[:, [name in columns for name in whole.columns]])
        assert loaded.columns == ["name", "age", "weight", "smokes", "born"]

    def test_the_owner_can_configure_the_query(self, endpoint):
        count = "SELECT (COUNT(?x) AS ?n) WHERE { ?x <http://example.org/age> ?age }"
        assert load(endpoint, None, QUERY=count).value.to_dict("list") == {"n": [2]}
        assert load(endpoint, PATIENTS, QUERY=count).columns == ["name", "age", "weight", "smokes", "born"]

    def test_a_response_without_rows_has_its_columns(self, endpoint):
        frame: Any = load(endpoint, "SELECT ?a ?b WHERE { ?a <http://example.org/nothing> ?b }").value
        assert (list(frame.columns), len(frame)) == (["a", "b"], 0)

    @pytest.mark.parametrize("form", ["arrow", "polars", "duckdb", "ibis", "batches", "lazy"])
    def test_every_form_has_the_columns(self, endpoint, form):
        assert load(endpoint, form=form, columns={"age"}).columns == ["name", "age", "weight", "smokes", "born"]

    def test_an_invalid_query_is_refused(self, endpoint):
        error = failure(endpoint, f"SELECT '{SECRET}' WHERE nothing {{")
        assert str(error) == "database 'triples': the endpoint refuses the task's query (HTTP 400)"

    def test_an_update_is_refused(self, endpoint):
        update = "INSERT DATA { <http://example.org/x> <http://example.org/age> 1 }"
        assert "the endpoint refuses the task's query (HTTP" in str(failure(endpoint, update))
        assert len(load(endpoint).value) == 2

    def test_a_query_that_does_not_return_a_table_is_refused(self, endpoint):
        error = failure(endpoint, "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }")
        assert "its response is not a table; check that the query is a SELECT and that the URI is the address" in str(
            error
        )


class Proxy(BaseHTTPRequestHandler):
    """Proxy of an endpoint. The path decides whether it requires a password, breaks off or redirects."""

    target = ""
    requests: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(
            {**dict(urllib.parse.parse_qsl(body.decode())), "login": self.headers.get("Authorization", "")}
        )
        if self.path.startswith("/moved"):
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/")
            self.end_headers()
        elif self.path.startswith("/page"):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(SECRET.encode())
        elif self.path.startswith("/breaks"):
            self.send_response(200)
            self.send_header("Content-Type", "text/csv")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(f"a\n{SECRET}\n".encode())
        elif self.headers.get("Authorization") != f"Basic {base64.b64encode(f'bob:{PASSWORD}'.encode()).decode()}":
            self.send_response(401)
            self.end_headers()
        else:
            headers = {name: self.headers[name] for name in ("Accept", "Content-Type")}
            with urllib.request.urlopen(urllib.request.Request(self.target, body, headers)) as response:
                self.send_response(200)
                self.send_header("Content-Type", response.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(response.read())

    def log_message(self, *_: object) -> None:
        """Keep the requests out of the output of the tests."""


@pytest.fixture
def proxy(endpoint: str) -> Iterator[str]:
    handler = type("ProxyOfEndpoint", (Proxy,), {"target": f"{endpoint}/", "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class TestAccess:
    def test_user_and_password_are_options_or_in_the_uri(self, proxy):
        assert len(load(f"http://{proxy}/", USER="bob", PASSWORD=PASSWORD).value) == 2
        assert len(load(f"http://bob:hunter2%40%3A%2F4711@{proxy}/").value) == 2

    def test_a_wrong_password_is_refused_and_not_shown(self, proxy):
        for uri, options in [(f"http://bob:{'hunter2x'}@{proxy}/", {}), (f"http://{proxy}/", {"USER": "bob"})]:
            assert "the endpoint refuses the user or password (HTTP 401)" in str(failure(uri, **options))

    def test_a_redirect_is_refused(self, proxy):
        error = failure(f"http://{proxy}/moved", USER="bob", PASSWORD=PASSWORD)
        assert "(HTTP 307)" in str(error)

    def test_an_incomplete_response_is_refused(self, proxy):
        assert "the endpoint cannot be reached or closes the connection early (IncompleteRead)" in str(
            failure(f"http://{proxy}/breaks")
        )

    def test_a_web_page_is_refused(self, proxy):
        assert "its response is text/html, not CSV; check that the query is a SELECT" in str(
            failure(f"http://{proxy}/page")
        )

    def test_the_owner_can_configure_a_default_graph(self, endpoint):
        handler = type("ProxyOfEndpoint", (Proxy,), {"target": f"{endpoint}/", "requests": (requests := [])})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            failure(f"http://127.0.0.1:{server.server_address[1]}/", DEFAULT_GRAPH="http://example.org/graph")
            server.shutdown()
        assert requests == [{"query": PATIENTS, "default-graph-uri": "http://example.org/graph", "login": ""}]


def test_an_unreachable_endpoint_is_reported():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = failure(f"http://bob:hunter2@127.0.0.1:{bound.getsockname()[1]}/?key={PASSWORD}")
    assert "the endpoint cannot be reached or closes the connection early (ConnectionRefusedError)" in str(error)


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"

SERVERS: dict[str, tuple[Callable[[], AbstractContextManager[int]], str]] = {
    "silent": (silent_server, "does not answer within 2 s"),
    "full": (full_server, "does not answer within 1 s"),
    "stops in the headers": (lambda: stopping_server(ANSWER), "does not answer within 2 s"),
    "stops in the content": (
        lambda: stopping_server(ANSWER + b"Content-Length: 9\r\n\r\na\n"),
        "not answer within 2 s",
    ),
}


class TestTimeLimits:
    @pytest.fixture(autouse=True)
    def limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sparql, "CONNECT_TIMEOUT", 1)
        monkeypatch.setattr(sparql, "TIMEOUT", 2)

    def check(self, uri: str, text: str) -> None:
        start = time.monotonic()
        assert text in str(failure(uri, USER="bob", PASSWORD=PASSWORD))
        assert time.monotonic() - start < 6

    @pytest.mark.parametrize("server", SERVERS)
    def test_an_endpoint_that_does_not_answer_is_reported(self, server):
        make_server, text = SERVERS[server]
        with make_server() as port:
            self.check(f"http://127.0.0.1:{port}/", text)

    def test_an_endpoint_that_does_not_encrypt_is_reported(self):
        with silent_server() as port:
            self.check(f"https://127.0.0.1:{port}/", "does not answer within 1 s")

    @pytest.mark.filterwarnings("ignore::ResourceWarning")  # Python 3.10 closes the socket of a failed CONNECT late
    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("make_server", [silent_server, full_server])
    def test_a_proxy_that_does_not_answer_is_reported(self, scheme, make_server, monkeypatch):
        with make_server() as port:
            for name in ("no_proxy", "NO_PROXY", f"{scheme.upper()}_PROXY"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv(f"{scheme}_proxy", f"http://bob:hunter2@127.0.0.1:{port}")
            self.check(f"{scheme}://endpoint.invalid/", "the endpoint does not answer within")
        gc.collect()

    def test_a_query_may_take_longer_than_connecting(self, endpoint, monkeypatch):
        class Slow(Proxy):
            target = f"{endpoint}/"

            def do_POST(self) -> None:
                time.sleep(1.5)
                super().do_POST()

        with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"127.0.0.1:{server.server_address[1]}"
            assert len(load(f"http://{address}/", USER="bob", PASSWORD=PASSWORD).value) == 2
            server.shutdown()


def test_an_endpoint_that_repeats_the_login_does_not_reveal_it():
    class Echo(Proxy):
        def do_POST(self) -> None:
            login = self.headers["Authorization"]
            self.send_response(400)
            self.end_headers()
            self.wfile.write(f"{login} {base64.b64decode(login.split()[1]).decode()} {PASSWORD}".encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        error = failure(f"http://127.0.0.1:{server.server_address[1]}/", USER="bob", PASSWORD=PASSWORD)
        server.shutdown()
    assert error.detail.endswith(": Basic *** *** ***")


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "/etc/passwd", "ftp://host/x", "http://", "http://host:port/"])
def test_a_uri_that_is_not_http_is_refused(uri):
    assert "its URI is not an http:// or https:// address" in str(failure(uri))


def test_a_missing_query_is_explained():
    with pytest.raises(InputError, match="of type 'sparql' needs a query, which the task does not specify"):
        load("http://127.0.0.1:1/", None)
