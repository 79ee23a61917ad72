"""SPARQL endpoints: send the query as a POST request, read the CSV response with pandas."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Collection, Iterable
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, Request, build_opener

import msgspec
import pandas as pd

from algotools.data._sql_errors import list_encodings, remove_secrets
from algotools.data.reading import Loaded, Unreadable, name_errors
from algotools.data.time_limit import keep_alive
from algotools.errors import InputError
from algotools.task import Database

CONNECT_TIMEOUT = 30
"""Timeout in seconds for connecting to the endpoint, also through a proxy."""

TIMEOUT = 600
"""Seconds that the endpoint may be silent, because a query can take long."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns of the response, as ``pandas.read_csv`` reads them; see ``Source.read``.

    The query is the task's, otherwise the owner's option ``QUERY``. The owner can also configure ``DEFAULT_GRAPH``,
    ``USER`` and ``PASSWORD``; the URI can also contain user and password.

    Raises:
        InputError: neither the task nor the owner specifies a query.
    """
    query = database.query or database.options.get("QUERY")
    if not query:
        raise InputError(
            f"database {database.label!r} of type 'sparql' needs a query, which the task does not specify; add the "
            'query to the label of the database ({"label": …, "query": "SELECT …"}) or to the arguments of an '
            "extraction (`query`), or ask the node's owner to configure a `query` next to the database's URI"
        )
    names_in_response: list[object] = []

    def is_requested(name: object) -> bool:
        names_in_response.append(name)
        return columns is None or name in columns

    address, login = _split_uri(database)
    request = _make_request(database, address, login, query)
    database_without_secrets = msgspec.structs.replace(database, uri=address.partition("?")[0])
    with name_errors(database_without_secrets, "sparql"):
        response = _send(request, list_encodings({login, login.partition(":")[2]} if login else ()))
        try:
            frame = pd.read_csv(io.BytesIO(response), usecols=None if columns is None else is_requested)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise Unreadable(f"its response is not a table{_ADVICE}", error) from None
    return Loaded(frame, list(frame.columns) if columns is None else list(dict.fromkeys(names_in_response)))


def _split_uri(database: Database) -> tuple[str, str | None]:
    """Return the endpoint's address without secrets, and ``user:password``."""
    with name_errors(msgspec.structs.replace(database, uri=""), "sparql"):
        try:
            parts = urlsplit(database.uri)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise Unreadable("its URI is not an http:// or https:// address")
        netloc = f"[{host}]" if ":" in host else host
        address = urlunsplit(parts._replace(netloc=netloc if port is None else f"{netloc}:{port}", fragment=""))
        user = database.options.get("USER") or unquote(parts.username or "")
        password = database.options.get("PASSWORD") or unquote(parts.password or "")
        return address, f"{user}:{password}" if user else None


def _make_request(database: Database, address: str, login: str | None, query: str) -> Request:
    graph = database.options.get("DEFAULT_GRAPH")
    body = urlencode({"query": query, **({"default-graph-uri": graph} if graph else {})}).encode()
    headers = {"Accept": "text/csv", "User-Agent": "algotools"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Request(address, body, headers)  # noqa: S310  # `_split_uri` has checked the scheme


class _NoRedirect(HTTPRedirectHandler):
    """Refuse redirects, so that no other host receives the query and the password."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Return None, so that the redirect is an error."""


class _HttpConnection(HTTPConnection):
    """A connection that is made within CONNECT_TIMEOUT."""

    def connect(self) -> None:
        super().connect()
        _wait_for_response(self.sock)


class _HttpsConnection(HTTPSConnection):
    """An encrypted connection that is made within CONNECT_TIMEOUT."""

    def connect(self) -> None:
        super().connect()
        _wait_for_response(self.sock)


def _wait_for_response(connection: socket.socket) -> None:
    connection.settimeout(TIMEOUT)
    keep_alive(connection)


class _LimitedHandler(HTTPHandler, HTTPSHandler):
    """Use the connections above."""

    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpConnection, req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_HttpsConnection, req)


_ADVICE = "; check that the query is a SELECT and that the URI is the address of the endpoint"


def _send(request: Request, secrets: Iterable[str]) -> bytes:
    """Send the request and return the response.

    The whole response is read before it is parsed. Otherwise a response that breaks off would look complete.
    """
    try:
        with build_opener(_NoRedirect, _LimitedHandler).open(request, timeout=CONNECT_TIMEOUT) as response:
            if (kind := response.headers.get_content_type()) != "text/csv":
                raise Unreadable(f"its response is {kind[:60]}, not CSV{_ADVICE}")
            return bytes(response.read())
    except HTTPError as error:
        with error:
            message = remove_secrets(error.read(2000).decode(errors="replace"), secrets)
        refused_input = "user or password" if error.code in (401, 403) else "task's query"
        raise Unreadable(f"the endpoint refuses the {refused_input} (HTTP {error.code})", message) from None
    except (URLError, HTTPException, OSError) as error:
        cause = getattr(error, "reason", None) or error
        message = remove_secrets(str(error), secrets)
        if isinstance(cause, TimeoutError):
            seconds = CONNECT_TIMEOUT if isinstance(error, URLError) else TIMEOUT
            raise Unreadable(
                f"the endpoint does not answer within {seconds} s; check that it runs, and that no firewall or proxy "
                "blocks it",
                message,
            ) from None
        raise Unreadable(
            f"the endpoint cannot be reached or closes the connection early ({type(cause).__name__})", message
        ) from None
