"""Which database a URI or a file is, and how it is reached: for reading only.

A file of SQLite or DuckDB is opened so that it cannot be written. A query to PostgreSQL is one statement, which the
server itself sees to, in a transaction that reads only; MySQL and MariaDB have such transactions, too. For other
servers it is the user's rights that count.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from algotools.data.reading import Unfit, path_of
from algotools.task import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

PATIENCE = 20
"""Seconds that a server may take to let us in, where the URI does not say (``?connect_timeout=``)."""

READONLY = {"mode": "ro", "uri": "true"}
"""How SQLAlchemy tells SQLite so."""

_SQLITE = (".sqlite", ".db")
_POSTGRESQL = ("postgresql", "postgres")
"""Schemes that name no driver: the image has psycopg, and SQLAlchemy before 2.1 would look for another."""


_MARIADB = ("mysql", "mariadb")


def duckdb_file(database: Database) -> Path | None:
    """The file, if it is one of DuckDB's."""
    scheme, separator, _ = database.uri.partition("://")
    path = Path(path_of(database.uri) or "")
    if scheme == "duckdb":
        return path
    return path if (not separator or scheme == "file") and _kind(path) == "duckdb" else None


def _kind(path: Path) -> str | None:
    """What a file says that it is, else what its name says."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:  # which is told better where it is opened
        head = b""
    if head.startswith(b"SQLite format 3"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    return "sqlite" if path.suffix.lower() in _SQLITE else "duckdb" if path.suffix.lower() == ".duckdb" else None


def url_of(database: Database) -> URL:
    """The URI as SQLAlchemy takes it; a file of SQLite so that nothing can be written to it."""
    from sqlalchemy.engine import URL, make_url

    scheme, separator, _ = database.uri.partition("://")
    if not separator or scheme == "file":
        path = Path(path_of(database.uri) or database.uri)
        if _kind(path) != "sqlite":
            raise Unfit("it is neither a URI nor a file of SQLite or DuckDB")
        return _readonly(URL.create("sqlite"), path)
    url = make_url(database.uri)
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        return _readonly(url, Path(url.database))
    return url


def connected(url: URL, closing: ExitStack) -> Connection:
    """A connection on which a text is sent as it is: a ``%`` in it is no parameter."""
    import sqlalchemy

    arguments: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        if url.get_driver_name() in ("psycopg", "psycopg2") and "connect_timeout" not in url.query:
            arguments["connect_timeout"] = PATIENCE
        if url.get_driver_name() == "psycopg":
            arguments["prepare_threshold"] = 0  # what is prepared is one statement
    engine = sqlalchemy.create_engine(url, connect_args=arguments, poolclass=sqlalchemy.NullPool)
    connection = closing.enter_context(engine.connect())
    if url.get_backend_name() in _MARIADB:
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        connection.rollback()  # it counts from the next transaction on
    return connection.execution_options(no_parameters=True, postgresql_readonly=True)


def conninfo(url: URL) -> str:
    """What libpq is to be told to reach a server of PostgreSQL's."""
    dialect: Any = url.set(drivername="postgresql+psycopg").get_dialect()()
    told = {"connect_timeout": PATIENCE, **dialect.create_connect_args(url)[1]}
    written = {name: re.sub(r"(['\\\\])", r"\\\1", str(value)) for name, value in told.items() if name != "context"}
    return " ".join(f"{name}='{value}'" for name, value in written.items())


def _readonly(url: URL, path: Path) -> URL:
    with path.open("rb"):  # which says what is wrong better than SQLite does
        pass
    return url.set(database=f"file:{quote(str(path.absolute()))}").update_query_dict(READONLY)
