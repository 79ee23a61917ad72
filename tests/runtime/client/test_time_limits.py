"""A master does not wait without a limit for a proxy of its node that does not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing

import pytest

from algotools.errors import ProxyError
from algotools.runtime.client import http
from algotools.runtime.client.http import Http

from ...hanging import full_server, silent_server, stopping_server

TIMEOUT = 0.5
MARGIN = 60
"""Seconds that a busy machine may need in addition."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "silent": silent_server,
    "full": full_server,
    "stops in the headers": lambda: stopping_server(HEAD),
    "stops in the content": lambda: stopping_server(HEAD + b"Content-Length: 1000\r\n\r\n{"),
}

REQUESTS: dict[str, Callable[[Http], object]] = {
    "get": lambda client: client.get("run", 2 * TIMEOUT),
    "get_as": lambda client: client.get_as(dict, "run", 2 * TIMEOUT),
    "download": lambda client: client.download("blob"),
    "post": lambda client: client.post("task", {"name": "x"}),
    "upload": lambda client: client.upload("blob", b"x" * 1000, {}),
}


@pytest.fixture(autouse=True)
def timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", TIMEOUT)
    monkeypatch.setattr(http, "RETRY_TIME", 2 * TIMEOUT)


@pytest.fixture(params=SERVERS)
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with SERVERS[request.param]() as server_port:
        yield server_port


@pytest.mark.parametrize("name", REQUESTS)
def test_a_proxy_that_does_not_answer_is_reported(port: int, name: str) -> None:
    start = time.monotonic()
    with (
        closing(Http(f"http://127.0.0.1:{port}/api", "secret-token")) as client,
        pytest.raises(ProxyError, match=r"no answer \(TimeoutError\), even after retries") as excinfo,
    ):
        REQUESTS[name](client)
    assert time.monotonic() - start < 4 * TIMEOUT + MARGIN
    assert excinfo.value.exit_code == 51
    assert "secret-token" not in str(excinfo.value) + excinfo.value.detail


def test_a_proxy_that_does_not_encrypt_is_reported() -> None:
    with (
        silent_server() as port,
        closing(Http(f"https://127.0.0.1:{port}/api", "secret-token")) as client,
        pytest.raises(ProxyError, match=r"no answer \(TimeoutError\)"),
    ):
        client.get("run", 0)


def test_an_optional_value_is_requested_once(port: int) -> None:
    start = time.monotonic()
    with closing(Http(f"http://127.0.0.1:{port}/api", "secret-token")) as client:
        assert client.get_optional("version") is None
    assert time.monotonic() - start < TIMEOUT + MARGIN
