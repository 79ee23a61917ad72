"""SQL databases: URI, connection and query.

The query is the task's, otherwise the query or the table that the node's owner configured. If a query can be the inner
query of another, only the requested columns leave the database.

A query cannot write. A file of SQLite or DuckDB is opened read-only. PostgreSQL runs a query as a single statement in a
read-only transaction; MySQL and MariaDB also have read-only transactions. On other servers the user's rights decide.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from algotools.data._sql_errors import escape_option, name_sql_errors
from algotools.data.names import quote_name, select_names
from algotools.data.reading import Unreadable, find_path
from algotools.data.time_limit import COUNT, DEAD_PEER, IDLE, INTERVAL, call_within, keep_alive
from algotools.errors import InputError
from algotools.task import Database

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

T = TypeVar("T")

# --- Connections. ---

CONNECT_TIMEOUT = 20
"""Timeout in seconds for connecting to an address of a server; ``?connect_timeout=`` in the URI overrides it."""

_ADDRESSES = 3
"""Number of addresses that can be tried: the whole connection may take this many timeouts, with every driver."""

READONLY = {"mode": "ro", "uri": "true"}
"""SQLAlchemy's options to open a SQLite file read-only."""

_POSTGRESQL = ("postgresql", "postgres")
"""Schemes without a driver. The image has psycopg, but SQLAlchemy before 2.1 would import psycopg2."""

_MARIADB = ("mysql", "mariadb")


def find_duckdb_file(database: Database) -> Path | None:
    """Return the file of a DuckDB database; None for any other database."""
    scheme, separator, _ = database.uri.partition("://")
    path = Path(find_path(database.uri) or "")
    if scheme == "duckdb":
        return path
    return path if (not separator or scheme == "file") and _detect_engine(path) == "duckdb" else None


def _detect_engine(path: Path) -> str | None:
    """Return the engine of a file, by its first bytes, otherwise by its suffix."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:  # the error is reported when the database is opened
        head = b""
    if head.startswith(b"SQLite format 3"):
        return "sqlite"
    if head[8:12] == b"DUCK":
        return "duckdb"
    return {".sqlite": "sqlite", ".db": "sqlite", ".duckdb": "duckdb"}.get(path.suffix.lower())


def parse_url(database: Database) -> URL:
    """Return the database's URI for SQLAlchemy. A SQLite file is opened read-only."""
    from sqlalchemy.engine import URL, make_url

    scheme, separator, _ = database.uri.partition("://")
    if not separator or scheme == "file":
        path = Path(find_path(database.uri) or database.uri)
        if _detect_engine(path) != "sqlite":
            raise Unreadable("it is neither a URI nor a SQLite or DuckDB file")
        return _make_readonly(URL.create("sqlite"), path)
    url = make_url(database.uri)
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite" and url.database and not url.database.startswith((":", "file:")):
        return _make_readonly(url, Path(url.database))
    return url


def _make_readonly(url: URL, path: Path) -> URL:
    with path.open("rb"):  # raises clearer errors than SQLite
        pass
    return url.set(database=f"file:{quote(str(path.absolute()))}").update_query_dict(READONLY)


def connect(url: URL, stack: ExitStack) -> Connection:
    """Open a connection that sends a query unchanged: a ``%`` is not a placeholder.

    Raises:
        Unreadable: the server does not answer in time.
    """
    import sqlalchemy

    name, driver = url.get_backend_name(), url.get_driver_name()
    arguments: dict[str, Any] = {}
    if driver in ("psycopg", "psycopg2"):
        arguments |= _make_libpq_options(url)
    if driver == "psycopg":
        arguments["prepare_threshold"] = (
            0  # PostgreSQL prepares single statements only, so `SELECT 1; COMMIT; DELETE …` is refused
        )
    if driver == "pymysql":  # `connect_timeout` alone does not limit the wait for the server's greeting
        arguments |= dict.fromkeys(("connect_timeout", "read_timeout"), _find_timeout(url))
    engine = sqlalchemy.create_engine(url, connect_args=arguments, poolclass=sqlalchemy.NullPool)

    def open_connection(opened: ExitStack) -> Connection:
        connection = opened.enter_context(engine.connect())
        if name in _MARIADB:
            connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            connection.rollback()  # the setting applies from the next transaction on
        return connection

    connection = open_in_time(url, stack, open_connection)
    if driver == "pymysql":
        _unlimit_queries(connection.connection.dbapi_connection, url.query.get("read_timeout"))
    return connection.execution_options(no_parameters=True, postgresql_readonly=True)


def _unlimit_queries(connection: Any, read_timeout: Any) -> None:
    """Let queries through PyMySQL take as long as the owner permits, and notice a dead server."""
    # PyMySQL has no public way to change the timeout of an open connection, or the options of its socket.
    connection._read_timeout = None if read_timeout is None else int(read_timeout)  # noqa: SLF001
    keep_alive(connection._sock)  # noqa: SLF001


def open_in_time(url: URL, stack: ExitStack, open_connection: Callable[[ExitStack], T]) -> T:
    """Connect to the server of a URI, through any driver, and return the result of ``open_connection``.

    ``open_connection`` receives a stack that closes the connection. It may send statements that every server answers
    at once. The task's query is not such a statement: a query has no time limit.

    Raises:
        Unreadable: the server does not answer in time.
    """
    if url.get_backend_name() == "sqlite":  # a file; and only the thread that opens it can read it
        return open_connection(stack)
    timeout = _find_timeout(url)
    advice = "check that the server runs, and that no firewall or proxy blocks it"

    def work() -> tuple[T, ExitStack]:
        opened = ExitStack()
        try:
            return open_connection(opened), opened
        except BaseException:
            opened.close()
            raise

    late_error = Unreadable(f"its server does not answer within {_ADDRESSES * timeout} s; {advice}")
    try:
        value, opened = call_within(_ADDRESSES * timeout, work, late_error, discard=lambda late: late[1].close())
    except Exception as error:
        if _TIMEOUT_TEXT.search(str(error)):
            raise Unreadable(f"its server does not answer within {timeout} s; {advice}", error) from None
        raise
    stack.callback(opened.close)
    return value


_TIMEOUT_TEXT = re.compile(r"timed out|timeout expired|connection timeout", re.IGNORECASE)


def _find_timeout(url: URL) -> int:
    """Return the owner's timeout for an address. The value 0 would be no limit at all, so the default replaces it."""
    timeout = int(str(url.query.get("connect_timeout", CONNECT_TIMEOUT)))
    return timeout if timeout > 0 else CONNECT_TIMEOUT


def _make_libpq_options(url: URL) -> dict[str, Any]:
    """Return the limits of a connection to PostgreSQL, as options of libpq; the owner's have priority."""
    options = {"keepalives_idle": IDLE, "keepalives_interval": INTERVAL, "keepalives_count": COUNT}
    options["tcp_user_timeout"] = 1000 * DEAD_PEER
    options = {name: value for name, value in options.items() if name not in url.query}
    return {**options, "connect_timeout": _find_timeout(url)}


def make_conninfo(url: URL) -> str:
    """Return libpq's connection string for a PostgreSQL server."""
    dialect: Any = url.set(drivername="postgresql+psycopg").get_dialect()()
    arguments = {**dialect.create_connect_args(url)[1], **_make_libpq_options(url)}
    return " ".join(f"{key}='{escape_option(str(value))}'" for key, value in arguments.items() if key != "context")


# --- Queries. ---

WRAPPABLE = ("postgresql", "sqlite", "duckdb")
"""Databases in which an inner query keeps the order of its rows and all values.

MariaDB, for example, ignores an inner ``ORDER BY``. From other databases all columns are read.
"""


def choose_query(database: Database, quote_identifier: Callable[[str], str]) -> str:
    """Return the task's query, otherwise the owner's, without the semicolon at the end.

    The owner configures ``QUERY``, or ``TABLE`` (``table`` or ``schema.table``) for a whole table. ``quote_identifier``
    quotes a name for the database.

    Raises:
        InputError: neither the task nor the owner specifies a query.
    """
    if query := database.query or database.options.get("QUERY"):
        return _STATEMENT_END.sub("", query.strip())
    if table := database.options.get("TABLE"):
        return f"SELECT * FROM {'.'.join(quote_identifier(name.strip()) for name in table.split('.'))}"  # noqa: S608  # the owner's
    raise InputError(
        f"database {database.label!r} of type 'sql' needs a query, which the task does not specify; add the query to "
        'the label of the database ({"label": …, "query": "SELECT …"}) or to the arguments of an extraction (`query`), '
        "or ask the node's owner to configure a `query` or a `table` next to the database's URI"
    )


_STATEMENT_END = re.compile(r"(?:\s|;(?:\s*--[^\n'\"]*)?)+\Z")
"""The semicolons at the end of a statement, with a comment after them."""


def select(query: str, expressions: Iterable[str] = ("*",), suffix: str = "") -> str:
    """Return a query that selects from another query. The newline ends a comment at the end of the inner query."""
    return f"SELECT {', '.join(expressions)} FROM (\n{query}\n) AS t{suffix}"  # noqa: S608  # the task's query, without the right to write


def choose_columns(names: Sequence[str], columns: Collection[str] | None) -> list[str]:
    """Return the requested columns, in the query's order.

    If the query has no requested column, return one column, so that the number of rows is known.
    """
    selected_names = select_names(names, columns)
    return selected_names or [name for name in names if names.count(name) == 1][:1] or list(names)


def check_unique(names: list[str]) -> list[str]:
    """Return the names if each is unique; otherwise raise Unreadable."""
    if len(set(names)) < len(names):
        raise Unreadable("its query returns two columns with the same name; rename one of them with AS")
    if "" in names:
        raise Unreadable("its query returns a column without a name, which only pandas supports; add AS and a name")
    return names


SAME_NAMES = "the names of two columns differ only in case, which DuckDB does not support; rename one"


def has_renamed_columns(names: Iterable[str]) -> bool:
    """Whether SQLite has renamed columns, such as ``a:1`` for the second column ``a`` of an inner query."""
    return any(re.search(r":\d+$", name) for name in names)


# --- DuckDB files: the query runs in this process, and can access no other file. ---

_DUCKDB: dict[str, Any] = {
    "autoinstall_known_extensions": False,  # a node has no internet to download extensions
    "autoload_known_extensions": False,
    "enable_external_access": False,  # a task's query must not read or write other files
    "python_enable_replacements": False,  # nor read a variable of this process as a table
}


def open_duckdb(database: Database, stack: ExitStack) -> duckdb.DuckDBPyConnection:
    """Open the file read-only. DuckDB stores data that do not fit into memory in a temporary folder."""
    import duckdb

    path = find_duckdb_file(database)
    if path is None:
        raise Unreadable("it is not a DuckDB file")
    with path.open("rb"):  # raises clearer errors than DuckDB
        pass
    temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="algotools-"))
    connection = duckdb.connect(str(path), read_only=True, config={**_DUCKDB, "temp_directory": temporary})
    stack.callback(connection.close)
    return connection


def query_duckdb(database: Database, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the query as a relation, without reading rows."""
    query = choose_query(database, quote_name)
    if len(connection.extract_statements(query)) != 1:
        raise Unreadable("the task's query is not a single statement")
    relation: duckdb.DuckDBPyRelation | None = connection.sql(query)
    if relation is None:
        raise Unreadable("the task's query does not return a table")
    if len({name.lower() for name in relation.columns}) < len(set(relation.columns)):
        raise Unreadable(SAME_NAMES)
    return relation


def select_duckdb(relation: duckdb.DuckDBPyRelation, names: list[str]) -> duckdb.DuckDBPyRelation:
    """Return a relation with the named columns."""
    return relation if names == relation.columns else relation.project(", ".join(map(quote_name, names)))


def open_duckdb_relation(
    database: Database, columns: Collection[str] | None, stack: ExitStack
) -> tuple[duckdb.DuckDBPyRelation, list[str]]:
    """Return a relation with the requested columns, and the names of all columns.

    No rows are read yet. ``stack`` closes the connection.

    Raises:
        DatabaseUnreadable: the database is not a DuckDB file, or refuses the query.
        InputError: neither the task nor the owner specifies a query.
    """
    with name_sql_errors(database):
        relation = query_duckdb(database, open_duckdb(database, stack))
        return select_duckdb(relation, check_unique(choose_columns(relation.columns, columns))), relation.columns
