"""SPARQL, a real endpoint: its answer is what pandas makes of the CSV, and no password is told."""

from __future__ import annotations

import base64
import io
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from algotools import data
from algotools.data import sparql
from algotools.errors import DatabaseUnreadable, InputError
from algotools.task import Database

from .conftest import same

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
    """RDFLib's endpoint, with two patients."""
    file = tmp_path_factory.mktemp("sparql") / "patients.ttl"
    file.write_text(TRIPLES, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = file.with_name("log")
    with log.open("wb") as written:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("rdflib-endpoint"), "serve", "--host=127.0.0.1", f"--port={port}", file],
            stdout=written, stderr=written,
        )  # fmt: skip
    try:
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def load(
    uri: str, query: str | None = PATIENTS, columns: Any = None, form: str = "pandas", **options: str
) -> data.Loaded:
    with ExitStack() as closing:
        return data.load(Database("triples", uri, "sparql", options, query), form, columns, closing)


def failure(uri: str, query: str = PATIENTS, **options: str) -> DatabaseUnreadable:
    with pytest.raises(DatabaseUnreadable) as failed:
        load(uri, query, **options)
    for secret in (SECRET, PASSWORD, "hunter2"):
        assert secret not in str(failed.value) + failed.value.detail
    assert "127.0.0.1" not in str(failed.value)
    return failed.value


class TestEndpoint:
    def test_an_answer_is_what_pandas_reads(self, endpoint):
        asked = urllib.request.Request(
            f"{endpoint}/?{urllib.parse.urlencode({'query': PATIENTS})}", headers={"Accept": "text/csv"}
        )
        with urllib.request.urlopen(asked) as answer:
            whole = pd.read_csv(io.BytesIO(answer.read()))
        loaded = load(f"{endpoint}/")
        same(loaded.value, whole)
        assert loaded.columns == ["name", "age", "weight", "smokes", "born"]
        assert whole["age"].tolist() == [58, 71]
        assert whole["name"].tolist() == ['a, "b"\nc é', SECRET]

    @pytest.mark.parametrize("asked", [{"age"}, {"born", "name", "no such column"}])
    def test_only_the_asked_columns_are_given(self, endpoint, asked):
        loaded = load(endpoint, columns=asked)
        whole: Any = load(endpoint).value
        same(loaded.value, whole.loc[:, [name in asked for name in whole.columns]])
        assert loaded.columns == ["name", "age", "weight", "smokes", "born"]

    def test_the_owner_may_configure_the_query(self, endpoint):
        count = "SELECT (COUNT(?x) AS ?n) WHERE { ?x <http://example.org/age> ?age }"
        assert load(endpoint, None, QUERY=count).value.to_dict("list") == {"n": [2]}
        assert load(endpoint, PATIENTS, QUERY=count).columns == ["name", "age", "weight", "smokes", "born"]

    def test_no_rows(self, endpoint):
        frame: Any = load(endpoint, "SELECT ?a ?b WHERE { ?a <http://example.org/nothing> ?b }").value
        assert (list(frame.columns), len(frame)) == (["a", "b"], 0)

    @pytest.mark.parametrize("form", ["arrow", "polars", "duckdb", "ibis", "batches", "lazy"])
    def test_every_other_form_is_made_of_it(self, endpoint, form):
        assert load(endpoint, form=form, columns={"age"}).columns == ["name", "age", "weight", "smokes", "born"]

    def test_a_query_that_is_none_is_refused(self, endpoint):
        error = failure(endpoint, f"SELECT '{SECRET}' WHERE nothing {{")
        assert str(error) == "database 'triples': the endpoint refuses the task's query (HTTP 400)"

    def test_nothing_can_be_written(self, endpoint):
        update = "INSERT DATA { <http://example.org/x> <http://example.org/age> 1 }"
        assert "the endpoint refuses the task's query (HTTP" in str(failure(endpoint, update))
        assert len(load(endpoint).value) == 2

    def test_a_query_that_gives_no_table_is_named(self, endpoint):
        error = failure(endpoint, "CONSTRUCT { ?s ?p ?o } WHERE { ?s ?p ?o }")
        assert "its answer is no table: is the query a SELECT, and the URI that of the endpoint?" in str(error)


class Front(BaseHTTPRequestHandler):
    """Before an endpoint: wants a password, breaks off, or sends elsewhere, as its path says."""

    behind = ""
    asked: ClassVar[list[dict[str, str]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(
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
            with urllib.request.urlopen(urllib.request.Request(self.behind, body, headers)) as answer:
                self.send_response(200)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(answer.read())

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def front(endpoint: str) -> Iterator[str]:
    handler = type("Here", (Front,), {"behind": f"{endpoint}/", "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class TestAccess:
    def test_user_and_password_are_the_owners_options_or_in_the_uri(self, front):
        assert len(load(f"http://{front}/", USER="bob", PASSWORD=PASSWORD).value) == 2
        assert len(load(f"http://bob:hunter2%40%3A%2F4711@{front}/").value) == 2

    def test_others_are_refused_and_not_told(self, front):
        for uri, options in [(f"http://bob:{'hunter2x'}@{front}/", {}), (f"http://{front}/", {"USER": "bob"})]:
            assert "the endpoint wants another user or password (HTTP 401)" in str(failure(uri, **options))

    def test_a_password_goes_to_no_other_place(self, front):
        error = failure(f"http://{front}/moved", USER="bob", PASSWORD=PASSWORD)
        assert "(HTTP 307)" in str(error)

    def test_an_answer_that_breaks_off_is_no_answer(self, front):
        assert "the endpoint cannot be reached, or breaks off (IncompleteRead)" in str(
            failure(f"http://{front}/breaks")
        )

    def test_a_page_is_no_answer(self, front):
        assert "its answer is text/html, not CSV: is the query a SELECT" in str(failure(f"http://{front}/page"))

    def test_a_default_graph(self, endpoint):
        handler = type("Here", (Front,), {"behind": f"{endpoint}/", "asked": (seen := [])})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            failure(f"http://127.0.0.1:{server.server_address[1]}/", DEFAULT_GRAPH="http://example.org/graph")
            server.shutdown()
        assert seen == [{"query": PATIENTS, "default-graph-uri": "http://example.org/graph", "login": ""}]


def test_an_endpoint_that_is_not_there():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        error = failure(f"http://bob:hunter2@127.0.0.1:{bound.getsockname()[1]}/?key={PASSWORD}")
    assert "the endpoint cannot be reached, or breaks off (ConnectionRefusedError)" in str(error)


def test_an_endpoint_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(sparql, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "(TimeoutError)" in str(failure(f"http://127.0.0.1:{silent.getsockname()[1]}/"))


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "/etc/passwd", "ftp://host/x", "http://", "http://host:port/"])
def test_what_is_no_endpoint_is_not_read(uri):
    assert "its URI is not that of an endpoint: http:// or https://" in str(failure(uri))


def test_without_a_query_it_is_said_how_to_give_one():
    with pytest.raises(InputError, match="of type 'sparql' and the task gives no query for it"):
        load("http://127.0.0.1:1/", None)
