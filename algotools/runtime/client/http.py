"""HTTP client for the node's proxy: JSON requests that are retried for a limited time.

Why a 500 is retried: the proxy forwards requests to the server, and answers 500 for every failure there. A lasting
refusal, such as of an id that does not exist, looks like a fault that passes, such as a restart of the server. A client
that gives up at once would fail in any short disturbance; a client that never gives up would hang after a wrong id.

* A request that only reads is repeated with growing pauses until its time is over.
* A request that creates something is sent at most three times. A lost response does not show whether the server has
  created the task, so each repetition may create one more. A refused connection does not count: nothing was sent.
* A status from 400 to 499 is the proxy's own refusal, which a retry does not change. Such a request fails at once.
  Other statuses below 500 are not retried.

``HTTP_PROXY`` and similar variables, which a node may set for other purposes, are ignored.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from algotools.errors import ProxyError

TIMEOUT = 60.0
"""Seconds to wait for the connection, and for each part of a response."""

RETRY_TIME = 60.0
"""Seconds for which a request that only reads is retried."""

ATTEMPTS_TO_CREATE = 3
"""Number of times that a request that creates something is sent."""

LONGEST_PAUSE = 10.0
"""Seconds between two attempts; the pause starts at 0.2 s and doubles."""

CREATION_HINT = "most often an organization has no node, or the master's own task has already finished; "
"""The most frequent reason for which the server refuses to create a task."""

Kind = TypeVar("Kind")

MakeBody = Callable[[], "bytes | Iterator[bytes] | None"]
"""Factory for the request body, called once per attempt: an iterator can be read only once."""


def _make_no_body() -> None:
    """Return the body of a request that only reads."""


class Http:
    """Connection to the node's proxy at *url*, authorized by *token*."""

    _connection: http.client.HTTPConnection | None = None

    def __init__(self, url: str, token: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ProxyError(f"the node's proxy has an invalid address: {url!r} (expected an http or https URL)")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._path = host, port, parts.path.rstrip("/")
        self._token = token
        self._lock = threading.Lock()
        """Held during a request: an author may use the client in several threads."""

    def get(self, path: str, retry_time: float = RETRY_TIME, hint: str = "", **query: object) -> object:
        """Return the JSON value at a path. The error message shows *hint*, the most frequent reason for a failure.

        Raises:
            ProxyError: the proxy refused the request, or every attempt failed.
        """
        return _parse_json(self._get(path, retry_time, hint, query))

    def get_as(
        self, kind: type[Kind], path: str, retry_time: float = RETRY_TIME, hint: str = "", **query: object
    ) -> Kind:
        """Return the JSON value at a path as a value of type *kind*, which needs little memory for large values.

        Raises:
            ProxyError: see ``get``.
            ValueError: the value has another type.
        """
        return msgspec.json.decode(self._get(path, retry_time, hint, query), type=kind)

    def _get(self, path: str, retry_time: float, hint: str, query: Mapping[str, object]) -> bytes:
        target = f"{path}?{urlencode(query)}" if query else path
        return self._send_with_retries("GET", target, _make_no_body, {}, time.monotonic() + retry_time, None, hint)

    def get_optional(self, path: str) -> object:
        """Return the JSON value at a path that not every server has; None if the request fails."""
        try:
            return _parse_json(
                self._send_with_retries("GET", path, _make_no_body, {}, time.monotonic() + RETRY_TIME, 1)
            )
        except ProxyError:
            return None

    def download(self, path: str) -> bytes:
        """Return the bytes at a path."""
        return self._send_with_retries("GET", path, _make_no_body, {}, time.monotonic() + RETRY_TIME, None)

    def post(self, path: str, body: object) -> object:
        """Create something by posting JSON; return the JSON value in the response.

        Raises:
            ProxyError: the proxy refused the request, or every attempt failed.
        """
        data = _encode_json(body)
        headers = {"Content-Type": "application/json"}
        deadline = time.monotonic() + RETRY_TIME
        return _parse_json(
            self._send_with_retries("POST", path, lambda: data, headers, deadline, ATTEMPTS_TO_CREATE, CREATION_HINT)
        )

    def upload(self, path: str, data: bytes, headers: Mapping[str, str]) -> object:
        """Post bytes; return the JSON value in the response."""
        headers = {"Content-Type": "application/octet-stream", **headers}
        deadline = time.monotonic() + RETRY_TIME
        # The iterator makes the body chunked, without a Content-Length. A proxy that encrypts the body changes its
        # length, and would forward a wrong one.
        return _parse_json(
            self._send_with_retries("POST", path, lambda: iter([data]), headers, deadline, ATTEMPTS_TO_CREATE)
        )

    def _send_with_retries(
        self,
        method: str,
        path: str,
        make_body: MakeBody,
        headers: Mapping[str, str],
        deadline: float,
        attempts: int | None,
        hint: str = "",
    ) -> bytes:
        """Send a request until it succeeds, the deadline is over, or *attempts* requests were sent."""
        pause, sent_count = 0.2, 0
        while True:
            try:
                status, response = self._send(method, path, make_body(), headers)
                sent_count += 1
                problem = f"status {status}"
                if status < 300:
                    return response
                if status < 500:
                    raise ProxyError(
                        f"the node's proxy refuses {method} {path.partition('?')[0]}: "
                        f"status {status}{_read_message(response)}"
                    )
            except ConnectionRefusedError as error:  # nothing was sent, so a retry cannot create a second task
                problem = f"no connection ({type(error).__name__})"
            except (OSError, http.client.HTTPException) as error:
                sent_count += 1
                problem = f"no answer ({type(error).__name__})"
            if time.monotonic() + pause > deadline or (attempts is not None and sent_count >= attempts):
                raise ProxyError(
                    f"the node's proxy could not answer {method} {path.partition('?')[0]}: {problem}, "
                    f"even after retries; {hint}see the logs of the node and the server"
                )
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _send(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """Send a request once; return status and body of the response."""
        with self._lock:
            if self._connection is None:
                self._connection = self._connect(self._host, self._port, timeout=TIMEOUT)
            try:
                target = f"{self._path}/{path}"
                all_headers = {"Authorization": f"Bearer {self._token}", **headers}
                self._connection.request(method, target, body=body, headers=all_headers)
                response = self._connection.getresponse()
                return response.status, response.read()
            except BaseException:
                # Half a response may be left in the connection. The next request would read it as its own.
                self.close()
                raise

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _encode_json(body: object) -> bytes:
    """Encode a body as JSON in ASCII, which every server reads. The inputs in the body may have hundreds of MB."""
    with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate
        data = msgspec.json.encode(body)
        if data.isascii():
            return data
    return json.dumps(body).encode()


def _parse_json(body: bytes) -> object:
    try:
        # Python's own parser also accepts NaN and lone surrogates, which a server written in Python may send.
        with contextlib.suppress(ValueError):
            return msgspec.json.decode(body)
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProxyError("the node's proxy answers with something that is not JSON") from None


def _read_message(body: bytes) -> str:
    """Return the server's message in an error response, in parentheses; an empty text if there is none."""
    try:
        message = json.loads(body)["msg"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({str(message)[:200]})"
