"""Requests to the node's proxy: JSON over HTTP, with limits to its patience.

The proxy hides what the server says behind status 500, and answers 500 for a passing fault too. So a 500
is tried again, but not for ever, and a request that creates something only a few times. It goes straight
to the proxy: ``HTTP_PROXY`` and its kin, which a node may set for other purposes, are not looked at.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from algotools.errors import ProxyError

PATIENCE = 60.0
"""Seconds for which a request that only reads is tried again."""

ATTEMPTS_TO_CREATE = 3
"""How often a request that creates something is sent: it may have got through all the same."""

LONGEST_PAUSE = 10.0

REFUSED = "most often an organization has no node, or the master's own task counts as ended already; "
"""What it most often means that the proxy creates nothing."""

Kind = TypeVar("Kind")

Body = Callable[[], "bytes | Iterator[bytes] | None"]
"""Makes what a request sends, anew for each time that it is sent."""


def _nothing() -> None:
    """The body of a request that only reads."""


class Http:
    """The node's proxy at ``url``, spoken to as the bearer of ``token``."""

    _connection: http.client.HTTPConnection | None = None

    def __init__(self, url: str, token: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ProxyError(f"the node gives no usable address of its proxy: {url!r}")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._path = host, port, parts.path.rstrip("/")
        self._token = token

    def get(self, path: str, patience: float = PATIENCE, hint: str = "", **query: object) -> object:
        """The answer to a request that only reads; ``hint`` is what a masked refusal most often means.

        Raises:
            ProxyError: the proxy refuses, or has given no answer for ``patience`` seconds.
        """
        return _parsed(self._get(path, patience, hint, query))

    def read(self, kind: type[Kind], path: str, patience: float = PATIENCE, hint: str = "", **query: object) -> Kind:
        """The answer to a request that only reads, as a value of a type; for what may be large.

        Raises:
            ProxyError: see ``get``.
            ValueError: it is of another kind.
        """
        return msgspec.json.decode(self._get(path, patience, hint, query), type=kind)

    def _get(self, path: str, patience: float, hint: str, query: Mapping[str, object]) -> bytes:
        target = f"{path}?{urlencode(query)}" if query else path
        return self._insist("GET", target, _nothing, {}, time.monotonic() + patience, None, hint)

    def find(self, path: str) -> object:
        """The answer to a question that not every server knows; None from one that does not."""
        try:
            return _parsed(self._insist("GET", path, _nothing, {}, time.monotonic() + PATIENCE, 1))
        except ProxyError:
            return None

    def download(self, path: str) -> bytes:
        """The bytes at a path."""
        return self._insist("GET", path, _nothing, {}, time.monotonic() + PATIENCE, None)

    def post(self, path: str, body: object) -> object:
        """The answer to a request that creates something.

        Raises:
            ProxyError: the proxy refuses, or does not answer.
        """
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return _parsed(
            self._insist("POST", path, lambda: data, headers, time.monotonic() + PATIENCE, ATTEMPTS_TO_CREATE, REFUSED)
        )

    def upload(self, path: str, data: bytes, headers: Mapping[str, str]) -> object:
        """The answer to bytes sent as they are; in chunks, for a proxy that encrypts them alters their length."""
        headers = {"Content-Type": "application/octet-stream", **headers}
        deadline = time.monotonic() + PATIENCE
        return _parsed(self._insist("POST", path, lambda: iter([data]), headers, deadline, ATTEMPTS_TO_CREATE))

    def _insist(
        self,
        method: str,
        path: str,
        data: Body,
        headers: Mapping[str, str],
        deadline: float,
        attempts: int | None,
        hint: str = "",
    ) -> bytes:
        pause, sent = 0.2, 0
        while True:
            try:
                status, body = self._once(method, path, data(), headers)
                sent += 1
                trouble = f"status {status}"
                if status < 300:
                    return body
                if status < 500:
                    raise ProxyError(
                        f"the node's proxy refuses {method} {path.partition('?')[0]}: status {status}{_said(body)}"
                    )
            except ConnectionRefusedError as error:
                trouble = f"no connection ({type(error).__name__})"
            except (OSError, http.client.HTTPException) as error:
                sent += 1
                trouble = f"no answer ({type(error).__name__})"
            if time.monotonic() + pause > deadline or (attempts is not None and sent >= attempts):
                raise ProxyError(
                    f"the node's proxy does not fulfil {method} {path.partition('?')[0]}: {trouble}, "
                    f"also after trying again; {hint}the node's and the server's own logs tell why"
                )
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _once(
        self, method: str, path: str, data: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._connect(self._host, self._port, timeout=60)
        try:
            self._connection.request(
                method, f"{self._path}/{path}", body=data, headers={"Authorization": f"Bearer {self._token}", **headers}
            )
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parsed(body: bytes) -> object:
    try:
        with contextlib.suppress(ValueError):  # what only Python takes for JSON: NaN, halves of characters
            return msgspec.json.decode(body)
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProxyError("the node's proxy answers with something that is not JSON") from None


def _said(body: bytes) -> str:
    try:
        message = json.loads(body)["msg"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({str(message)[:200]})"
