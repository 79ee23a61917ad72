"""The HTTP API of a federation, against clients that do not belong to a run, or that send malformed requests."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from algotools.federation import _api
from algotools.federation._api import Api

TOKEN = "the token of a run"
LIMIT = 1000
"""Bytes of a body."""
MASKED = b"Request failed, see node logs"


@pytest.fixture
def bodies() -> list[bytes]:
    """The bodies of the requests that reached the server's own code."""
    return []


@pytest.fixture(params=["port", "socket"])
def client(
    request: pytest.FixtureRequest, bodies: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A connection to an API with short limits."""

    def respond(token: str, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[int, object]:
        assert token == TOKEN
        bodies.append(body)
        return 200, {"method": method, "path": path, "size": len(body)}

    monkeypatch.setattr(_api._Serving, "largest_body", LIMIT)
    monkeypatch.setattr(_api, "READ_TIMEOUT", 1.0)
    api = Api(respond, lambda token: token == TOKEN)
    if request.param == "port":
        connection = socket.create_connection(("127.0.0.1", urlsplit(api.url).port or 0))
    else:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(api.serve_socket(tmp_path / "s") / "api"))
    connection.settimeout(LIMIT)
    with connection:
        yield connection
    api.close()


def make_request(*headers: str, token: str = TOKEN, body: bytes = b"", method: str = "POST") -> bytes:
    lines = [f"{method} /task HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_response(client: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, response.read()


def is_closed(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_body_up_to_the_limit_is_read(client: socket.socket, bodies: list[bytes]) -> None:
    for size in (0, 1, LIMIT):
        client.sendall(make_request(f"Content-Length: {size}", body=b"x" * size))
        status, content = read_response(client)
        assert (status, json.loads(content)) == (200, {"method": "POST", "path": "task", "size": size})
    assert [len(body) for body in bodies] == [0, 1, LIMIT]


def test_an_unknown_token_is_refused_before_the_body_is_sent(client: socket.socket, bodies: list[bytes]) -> None:
    client.sendall(make_request("Content-Length: 500", token="guess"))
    status, content = read_response(client)
    assert (status, json.loads(content)["msg"].encode()) == (500, MASKED)
    assert is_closed(client)
    assert bodies == []


@pytest.mark.parametrize("headers", [[], ["Content-Length: 100000000"]])
def test_a_client_that_keeps_sending_gets_the_refusal(client: socket.socket, headers: list[str]) -> None:
    client.sendall(make_request(*headers, token="guess", body=b"x" * 200_000))
    assert read_response(client)[0] == 500


def test_a_request_without_a_token_is_refused(client: socket.socket, bodies: list[bytes]) -> None:
    client.sendall(b"POST /task HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
    assert read_response(client)[0] == 500
    assert is_closed(client)
    assert bodies == []


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([f"Content-Length: {LIMIT + 1}"], 413),
        (["Content-Length: 1200000000"], 413),
        ([f"Content-Length: {'9' * 6000}"], 413),
        (["Content-Length: -1"], 400),
        (["Content-Length: +1"], 400),
        (["Content-Length: 1_0"], 400),
        (["Content-Length: 0x10"], 400),
        (["Content-Length: \u0661"], 400),
        (["Content-Length: "], 400),
        (["Content-Length: 3, 3"], 400),
        (["Content-Length: 3", "Content-Length: 3"], 400),
        (["Content-Length: 3", "Content-Length: 900"], 400),
        (["Transfer-Encoding: chunked"], 411),
        (["Transfer-Encoding: chunked", "Content-Length: 3"], 411),
        (["Transfer-Encoding: gzip"], 411),
        ([f"X-{number}: 1" for number in range(200)], 431),
        ([f"X: {'x' * 100_000}"], 431),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_without_an_exact_and_small_length_is_refused(
    client: socket.socket, bodies: list[bytes], method: str, headers: list[str], expected: int
) -> None:
    second = make_request(body=b"", method="GET")
    client.sendall(make_request(*headers, method=method, body=b"0\r\n\r\n" + second))
    assert read_response(client)[0] == expected
    assert is_closed(client), "the next request of a refused connection is not read"
    assert bodies == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "BREW"])
def test_other_methods_close_the_connection(client: socket.socket, bodies: list[bytes], method: str) -> None:
    client.sendall(make_request("Content-Length: 5", method=method))
    response = http.client.HTTPResponse(client, method=method)
    response.begin()
    assert response.status == 501
    assert bodies == []


def test_a_malformed_url_is_refused(client: socket.socket) -> None:
    client.sendall(make_request(method="GET").replace(b"GET /task HTTP/1.1", b"GET http://[::1 HTTP/1.1"))
    assert read_response(client)[0] == 500


def test_a_long_url_is_refused(client: socket.socket) -> None:
    client.sendall(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n")
    assert read_response(client)[0] == 414


@pytest.mark.parametrize(
    "beginning",
    [b"POST /task HT", b"POST /task HTTP/1.1\r\nHost:", make_request("Content-Length: 500", body=b"beginning")],
)
def test_a_client_that_stops_within_a_request_is_disconnected(
    client: socket.socket, bodies: list[bytes], beginning: bytes
) -> None:
    client.sendall(beginning)
    assert is_closed(client)
    assert bodies == []


def test_a_body_that_ends_early_is_not_processed(client: socket.socket, bodies: list[bytes]) -> None:
    client.sendall(make_request("Content-Length: 500", body=b"beginning"))
    client.shutdown(socket.SHUT_WR)
    assert is_closed(client)
    assert bodies == []


def test_a_pause_between_two_requests_is_not_limited(client: socket.socket) -> None:
    for _ in range(2):
        client.sendall(make_request("Content-Length: 1", body=b"x"))
        assert read_response(client)[0] == 200
        time.sleep(1.5)


def test_the_body_is_requested_only_after_the_checks(client: socket.socket, bodies: list[bytes]) -> None:
    client.sendall(make_request("Content-Length: 3", "Expect: 100-continue"))
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"abc")
    assert read_response(client)[0] == 200
    assert bodies == [b"abc"]
    client.sendall(make_request(f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    assert read_response(client)[0] == 413
