"""Endpoints of SPARQL: a query by the protocol's own POST, its answer as CSV, through pandas."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import msgspec
import pandas as pd

from algotools.data import Loaded
from algotools.data.reading import Unfit, reading
from algotools.errors import InputError
from algotools.task import Database

PATIENCE = 600
"""Seconds that an endpoint may be silent."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The answer as ``pandas.read_csv`` takes it, or the asked columns of it: see ``Source.read``.

    The query is the task's, else the owner's ``QUERY``. The owner may also configure ``USER`` and ``PASSWORD``, else
    those of the URI are shown to the endpoint, and ``DEFAULT_GRAPH``.

    Raises:
        InputError: neither the task nor the node's configuration gives a query.
    """
    query = database.query or database.options.get("QUERY")
    if not query:
        raise InputError(
            f"database {database.label!r} is of type 'sparql' and the task gives no query for it; give one: with the "
            'label of the database ({"label": …, "query": "SELECT …"}), or as the argument `query` of an extraction; '
            "or the node's owner configures one for all tasks, beside the database's URI, as `query`"
        )
    seen: list[object] = []

    def asked(name: object) -> bool:
        seen.append(name)
        return columns is None or name in columns

    address, login = _address(database)
    request = _request(database, address, login, query)
    shown = msgspec.structs.replace(database, uri=address.partition("?")[0])
    with reading(shown, "sparql"):
        answer = _answer(request)
        try:
            frame = pd.read_csv(io.BytesIO(answer), usecols=None if columns is None else asked)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise Unfit(f"its answer is no table{_SELECT}", error) from None
    return Loaded(frame, list(frame.columns) if columns is None else list(dict.fromkeys(seen)))


def _address(database: Database) -> tuple[str, str | None]:
    """Where the endpoint is, without what may be secret; user and password apart."""
    with reading(msgspec.structs.replace(database, uri=""), "sparql"):
        try:
            parts = urlsplit(database.uri)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise Unfit("its URI is not that of an endpoint: http:// or https://")
        where = f"[{host}]" if ":" in host else host
        address = urlunsplit(parts._replace(netloc=where if port is None else f"{where}:{port}", fragment=""))
        user = database.options.get("USER") or unquote(parts.username or "")
        password = database.options.get("PASSWORD") or unquote(parts.password or "")
        return address, f"{user}:{password}" if user else None


def _request(database: Database, address: str, login: str | None, query: str) -> Request:
    graph = database.options.get("DEFAULT_GRAPH")
    body = urlencode({"query": query, **({"default-graph-uri": graph} if graph else {})}).encode()
    headers = {"Accept": "text/csv", "User-Agent": "algotools"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return Request(address, body, headers)  # noqa: S310  # `_address` has seen to it that it is HTTP


class _Stay(HTTPRedirectHandler):
    """No other place gets to see the query and the password."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """None."""


_SELECT = ": is the query a SELECT, and the URI that of the endpoint?"


def _answer(request: Request) -> bytes:
    """The whole answer: of one that is read bit by bit nobody would notice that its end is missing."""
    try:
        with build_opener(_Stay).open(request, timeout=PATIENCE) as response:
            if (kind := response.headers.get_content_type()) != "text/csv":
                raise Unfit(f"its answer is {kind[:60]}, not CSV{_SELECT}")
            return bytes(response.read())
    except HTTPError as error:
        with error:
            told = error.read(2000).decode(errors="replace")
        why = "wants another user or password" if error.code in (401, 403) else "refuses the task's query"
        raise Unfit(f"the endpoint {why} (HTTP {error.code})", told) from None
    except (URLError, HTTPException, OSError) as error:
        cause = getattr(error, "reason", None) or error
        raise Unfit(f"the endpoint cannot be reached, or breaks off ({type(cause).__name__})", error) from None
