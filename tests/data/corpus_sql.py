"""Awkward tables of SQL databases: types, values and names that drivers and libraries treat differently."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import duckdb

from algotools.task import Database

from . import mariadb, postgres


class Servers:
    """The servers of the corpus. A server starts when the first table needs the server."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._count = 0
        self._responses: list[bytes] = []

    @cached_property
    def _postgres(self) -> postgres.Postgres:
        return self._stack.enter_context(postgres.start_server())

    @cached_property
    def _mariadb(self) -> int:
        return self._stack.enter_context(mariadb.start_server())

    def serve(self, text: str) -> str:
        """Return the address of an endpoint that responds with a text in CSV."""
        self._responses.append(text.encode())
        host, port = self._endpoint.server_address[:2]
        return f"http://{host!s}:{port}/{len(self._responses) - 1}"

    @cached_property
    def _endpoint(self) -> ThreadingHTTPServer:
        responses = self._responses

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = responses[int(self.path[1:])]
                self.send_response(200)
                self.send_header("Content-Type", "text/csv")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        server = self._stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Endpoint))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stack.callback(server.shutdown)
        return server

    def fill_postgresql(self, statements: tuple[str, ...]) -> str:
        """Create a database with the tables, and return its URI."""
        name = self._postgres.new_database()
        with self._postgres.connect(name) as connection:
            for statement in statements:
                connection.execute(statement.encode())
        return self._postgres.uri(name)

    def fill_mariadb(self, statements: tuple[str, ...]) -> str:
        """Create a database with the tables, and return its URI."""
        self._count += 1
        name = f"corpus_{self._count}"
        with closing(mariadb.connect(self._mariadb)) as connection, connection.cursor() as cursor:
            for statement in (f"CREATE DATABASE {name}", f"USE {name}", *statements):
                cursor.execute(statement)
        return f"mysql+pymysql://{mariadb.USER}:hunter2%40%3A%2F4711@127.0.0.1:{self._mariadb}/{name}?charset=utf8mb4"


class AwkwardTable(NamedTuple):
    """A query of a SQL database with a peculiarity."""

    name: str
    kind: str
    """The engine."""
    query: str
    statements: tuple[str, ...] = ()
    """Statements that create the tables of the query."""

    def make_database(self, folder: Path, servers: Servers) -> Database:
        """Create the tables, and return the database with the query."""
        return Database("clinic", _CREATORS[self.kind](self.statements, folder, servers), "sql", query=self.query)


def _create_sqlite(statements: tuple[str, ...], folder: Path, _servers: Servers) -> str:
    path = folder / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements or ("CREATE TABLE unused (x)",):
            connection.execute(statement)
    return str(path)


def _create_duckdb(statements: tuple[str, ...], folder: Path, _servers: Servers) -> str:
    path = folder / "x.duckdb"
    with closing(duckdb.connect(str(path))) as connection:
        for statement in statements:
            connection.execute(statement)
    return str(path)


_CREATORS: dict[str, Callable[[tuple[str, ...], Path, Servers], str]] = {
    "sqlite": _create_sqlite,
    "duckdb": _create_duckdb,
    "postgresql": lambda statements, _folder, servers: servers.fill_postgresql(statements),
    "mariadb": lambda statements, _folder, servers: servers.fill_mariadb(statements),
}


def _rows(*values: str) -> str:
    """Return a query with a number and a value in each row."""
    return " UNION ALL ".join(f"SELECT {number} AS id, {value} AS x" for number, value in enumerate(values))


def _typed(kind: str, *values: str) -> str:
    """Return a query with values of one type, and a missing value."""
    return _rows(*(f"CAST({value} AS {kind})" for value in (*values, "NULL")))


_TABLE = ("CREATE TABLE t (id integer, age integer)", "INSERT INTO t VALUES (1, 50), (2, 61), (3, NULL)")
_EMPTY = _TABLE[:1]
_VIEW = (*_TABLE, "CREATE VIEW v AS SELECT age, id FROM t WHERE id < 3")
_RESERVED = ('CREATE TABLE t ("select" integer, "from" integer)', "INSERT INTO t VALUES (1, 2)")

_EVERYWHERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "a table": ("SELECT * FROM t", _TABLE),
    "a table without rows": ("SELECT * FROM t", _EMPTY),
    "a query without rows": ("SELECT id, age FROM t WHERE id > 9", _TABLE),
    "a column without values": ("SELECT id, age FROM t WHERE age IS NULL", _TABLE),
    "a column of NULL": ("SELECT id, NULL AS x FROM t", _TABLE),
    "a view": ("SELECT * FROM v", _VIEW),
    "a semicolon and a comment": ("SELECT * FROM t; -- all", _TABLE),
    "a comment at the end": ("SELECT * FROM t -- all", _TABLE),
    "a common table expression": ("WITH u AS (SELECT id FROM t) SELECT * FROM u", _TABLE),
    "a percent sign": ("SELECT id, '5%' AS x FROM t WHERE 'abc' LIKE 'a%'", _TABLE),
    "a colon": ("SELECT id, 'a:b' AS x FROM t", _TABLE),
    "a question mark": ("SELECT id, 'a?' AS x FROM t", _TABLE),
    "an order": ("SELECT id, age FROM t ORDER BY id DESC", _TABLE),
    "a column without a name": ("SELECT count(*), max(age) FROM t", _TABLE),
    "a repeated name": ("SELECT id, age AS id FROM t", _TABLE),
    "a repeated name of a join": ("SELECT * FROM t JOIN t AS u ON t.id = u.id", _TABLE),
    "names that differ in case": ("SELECT id, age AS ID FROM t", _TABLE),
    "names with blanks": ('SELECT id AS " id", age AS "an age" FROM t', _TABLE),
    "a name with a quote": ('SELECT id, age AS "a ""b""" FROM t', _TABLE),
    "a name with a percent sign": ('SELECT id, age AS "a%s" FROM t', _TABLE),
    "a name with a brace": ('SELECT id, age AS "a{0}" FROM t', _TABLE),
    "a name with a colon": ('SELECT id, age AS "a:1" FROM t', _TABLE),
    "a name with a newline": ('SELECT id, age AS "a\nb" FROM t', _TABLE),
    "a name in NFD": ('SELECT id, age AS "e\u0301" FROM t', _TABLE),
    "names in NFC and NFD": ('SELECT id AS "\u00e9", age AS "e\u0301" FROM t', _TABLE),
    "names of SQL": ("SELECT * FROM t", _RESERVED),
    "a mixed name": ('SELECT id, age AS "myAge" FROM t', _TABLE),
    "sums of integers": ("SELECT sum(id) AS x, avg(age) AS y FROM t", _TABLE),
    "divisions": ("SELECT id, age / 2.0 AS x FROM t", _TABLE),
    "texts": (_rows("'a'", "''", "NULL", "' b '", "'\u00e9\U0001f600'"), ()),
    "texts like numbers": (_rows("'007'", "'1'", "NULL"), ()),
    "texts like missing values": (_rows("'NA'", "'null'", "'nan'", "''"), ()),
    "integers beyond 2**53 and missing": (_rows("9007199254740993", "NULL", "1"), ()),
    "the largest integers": (_rows("9223372036854775807", "-9223372036854775807"), ()),
    "integers beyond 64 bits": (_rows("99999999999999999999", "1"), ()),
    "integers and floats": (_rows("1", "2.5", "NULL"), ()),
    "a missing value first": (_rows("NULL", "NULL", "5"), ()),
    "many columns": ("SELECT " + ", ".join(f"{number} AS c{number}" for number in range(300)), ()),
}  # fmt: skip
"""Name -> query and tables, for every engine."""


def _filled(kind: str, *values: str, suffix: str = "") -> tuple[str, tuple[str, ...]]:
    """Return a query and its table, with a column of a type and a missing value."""
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate((*values, "NULL")))
    return "SELECT * FROM u", (f"CREATE TABLE u (id integer, x {kind}){suffix}", f"INSERT INTO u VALUES {rows}")


_SQLITE: dict[str, tuple[str, tuple[str, ...]]] = {
    "values of several types": (_rows("1", "'x'", "2.5", "NULL"), ()),
    "integers and texts": (_rows("1", "'x'"), ()),
    "texts, then an integer": (_rows("'x'", "1"), ()),
    "blobs": (_rows("x'00ff'", "x''", "NULL"), ()),
    "blobs and texts": (_rows("x'61'", "'x'"), ()),
    "a null in a text": (_rows("'a' || char(0) || 'b'", "'c'"), ()),
    "invalid UTF-8": (_rows("CAST(x'ff41' AS TEXT)", "'c'"), ()),
    "infinity": (_rows("9e999", "-9e999", "1.5"), ()),
    "nan": (_rows("9e999 - 9e999", "1.5"), ()),
    "booleans": _filled("boolean", "TRUE", "0"),
    "dates": _filled("date", "'2024-01-02'"),
    "timestamps": _filled("timestamp", "'2024-01-02 03:04:05'"),
    "decimals": _filled("decimal(10, 2)", "1.50", "'3.25'"),
    "an empty text in a column of numbers": _filled("numeric", "2", "''"),
    "a type of its own": _filled("money", "5", "7"),
    "a strict table": _filled("any", "5", "'x'", suffix=" STRICT"),
    "a row number": ("SELECT rowid, age FROM t", _TABLE),
    "an empty name": ('SELECT id AS "", age FROM t', _TABLE),
}  # fmt: skip

_DUCKDB: dict[str, tuple[str, tuple[str, ...]]] = {
    "small integers": (_typed("utinyint", "255", "0"), ()),
    "unsigned integers": (_typed("ubigint", "18446744073709551615", "1"), ()),
    "huge integers": (_typed("hugeint", "'170141183460469231731687303715884105727'", "1"), ()),
    "decimals": (_typed("decimal(38, 10)", "'1234567890123456.0123456789'", "1.5"), ()),
    "small decimals": (_typed("decimal(4, 1)", "1.5", "2"), ()),
    "floats": (_typed("float", "0.1", "1.5"), ()),
    "infinity and nan": (_typed("double", "'infinity'", "'-infinity'", "'nan'", "1.5"), ()),
    "booleans": (_typed("boolean", "true", "false"), ()),
    "dates": (_typed("date", "'2024-01-02'", "'1815-01-02'"), ()),
    "dates beyond nanoseconds": (_typed("date", "'4000-01-02'", "'0001-01-01'"), ()),
    "infinite dates": (_typed("date", "'infinity'", "'2024-01-02'"), ()),
    "timestamps": (_typed("timestamp", "'2024-01-02 03:04:05.123456'", "'2024-01-02'"), ()),
    "timestamps of nanoseconds": (_typed("timestamp_ns", "'2024-01-02 03:04:05.123456789'"), ()),
    "timestamps of seconds": (_typed("timestamp_s", "'2024-01-02 03:04:05'"), ()),
    "timestamps beyond nanoseconds": (_typed("timestamp", "'4000-01-02 03:04:05'"), ()),
    "timestamps with a zone": (_typed("timestamptz", "'2024-01-02 03:04:05+02'", "'2024-07-02 03:04:05+00'"), ()),
    "times": (_typed("time", "'03:04:05.5'", "'23:59:59'"), ()),
    "intervals": (_typed("interval", "'3 days'", "'5 hours'"), ()),
    "intervals of months": (_typed("interval", "'2 months 3 days'", "'1 year'"), ()),
    "identifiers": (_typed("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"), ()),
    "an enumeration": (_typed("enum('f', 'm')", "'f'", "'m'"), ()),
    "blobs": (_typed("blob", "'\\x00\\xff'", "''"), ()),
    "bits": (_typed("bit", "'0101'"), ()),
    "lists": (_rows("[1, 2]", "[]", "NULL", "[NULL]"), ()),
    "nested lists": (_rows("[[1], [2, 3]]", "[]"), ()),
    "arrays": (_typed("integer[2]", "[1, 2]"), ()),
    "structures": (_rows("{'a': 1, 'b': 'x'}", "NULL"), ()),
    "maps": (_rows("map {'a': 1}", "map {}"), ()),
    "a null in a text": (_rows("'a' || chr(0) || 'b'", "'c'"), ()),
}  # fmt: skip

_POSTGRESQL: dict[str, tuple[str, tuple[str, ...]]] = {
    "small integers": (_typed("smallint", "5", "-3"), ()),
    "floats": (_typed("real", "0.1", "1.5"), ()),
    "infinity and nan": (_typed("float8", "'infinity'", "'-infinity'", "'nan'", "1.5"), ()),
    "decimals": (_typed("numeric(38, 10)", "'1234567890123456.0123456789'", "1.5"), ()),
    "decimals without a scale": (_typed("numeric", "'1e30'", "0.1", "7"), ()),
    "decimals that are nan": (_typed("numeric", "'nan'", "1.5"), ()),
    "decimals that are infinite": (_typed("numeric", "'infinity'", "1.5"), ()),
    "booleans": (_typed("boolean", "true", "false"), ()),
    "padded texts": (_typed("char(5)", "'ab'", "'abcde'"), ()),
    "names": (_typed("name", "'ab'"), ()),
    "dates": (_typed("date", "'2024-01-02'", "'1815-01-02'"), ()),
    "dates beyond nanoseconds": (_typed("date", "'4000-01-02'", "'0001-01-01'"), ()),
    "infinite dates": (_typed("date", "'infinity'", "'2024-01-02'"), ()),
    "dates before our era": (_typed("date", "'0044-03-15 BC'"), ()),
    "timestamps": (_typed("timestamp", "'2024-01-02 03:04:05.123456'", "'2024-01-02'"), ()),
    "timestamps beyond nanoseconds": (_typed("timestamp", "'4000-01-02 03:04:05'"), ()),
    "infinite timestamps": (_typed("timestamp", "'infinity'", "'2024-01-02'"), ()),
    "timestamps with a zone": (_typed("timestamptz", "'2024-01-02 03:04:05+02'", "'2024-07-02 03:04:05+00'"), ()),
    "times": (_typed("time", "'03:04:05.5'", "'23:59:59'"), ()),
    "times with a zone": (_typed("timetz", "'03:04:05+02'"), ()),
    "midnight": (_typed("time", "'24:00'"), ()),
    "intervals": (_typed("interval", "'3 days'", "'5 hours'"), ()),
    "intervals of months": (_typed("interval", "'2 months 3 days'", "'1 year'"), ()),
    "identifiers": (_typed("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"), ()),
    "an enumeration": ("SELECT 'f'::sex AS x, 1 AS id", ("CREATE TYPE sex AS ENUM ('f', 'm')",)),
    "a domain": ("SELECT 5::age AS x, 1 AS id", ("CREATE DOMAIN age AS integer CHECK (value > 0)",)),
    "blobs": (_typed("bytea", "'\\x00ff'", "''"), ()),
    "bits": (_typed("bit(4)", "'0101'"), ()),
    "money": (_typed("money", "5.5"), ()),
    "JSON": (_typed("json", "'{\"a\": 1}'", "'[1]'", "'null'"), ()),
    "binary JSON": (_typed("jsonb", "'{\"b\": 1, \"a\": 2.0}'", "'[]'"), ()),
    "arrays": (_typed("integer[]", "'{1,2}'", "'{}'", "'{NULL}'"), ()),
    "arrays of texts": (_typed("text[]", "'{a,\"b,c\"}'", "'{}'"), ()),
    "arrays of decimals": (_typed("numeric[]", "'{1.5,2}'"), ()),
    "arrays of two dimensions": (_typed("integer[]", "'{{1,2},{3,4}}'"), ()),
    "arrays of timestamps": (_typed("timestamp[]", "'{2024-01-02 03:04:05}'"), ()),
    "addresses": (_typed("inet", "'10.0.0.1'"), ()),
    "ranges": (_typed("int4range", "'[1,5)'"), ()),
    "object numbers": (_typed("oid", "5"), ()),
    "rows": ("SELECT 1 AS id, ROW(1, 'x') AS x", ()),
    "points": (_typed("point", "'(1,2)'"), ()),
    "XML": (_typed("xml", "'<a/>'"), ()),
    "an unknown type": ("SELECT 1 AS id, 'x' AS x", ()),
    "an error in a late row": ("SELECT seq AS id, 1 / (2000 - seq) AS x FROM generate_series(1, 3000) AS seq", ()),
}  # fmt: skip

_LENIENT = "SET sql_mode = ''"

_MARIADB: dict[str, tuple[str, tuple[str, ...]]] = {
    "dates of zeros": ("SELECT * FROM u", (_LENIENT, *_filled("date", "'0000-00-00'", "'2024-01-02'")[1])),
    "timestamps of zeros": ("SELECT * FROM u", (_LENIENT, *_filled("datetime", "0", "'2024-01-02 03:04:05'")[1])),
    "a date without a day": ("SELECT * FROM u", (_LENIENT, *_filled("date", "'2024-00-00'", "'2024-01-02'")[1])),
    "booleans": _filled("tinyint(1)", "TRUE", "0"),
    "bits": _filled("bit(1)", "1", "0"),
    "decimals": _filled("decimal(38, 10)", "1234567890123456.0123456789", "1.5"),
    "years": _filled("year", "2024"),
    "times": _filled("time(6)", "'03:04:05.5'"),
    "times of many hours": _filled("time", "'838:59:59'", "'-05:00:00'"),
    "timestamps": _filled("datetime(6)", "'2024-01-02 03:04:05.123456'"),
    "dates": _filled("date", "'2024-01-02'", "'4000-01-02'"),
    "JSON": _filled("json", "'{\"a\": 1}'"),
    "an enumeration": _filled("enum('f', 'm')", "'f'"),
    "a set": _filled("set('a', 'b')", "'a,b'", "''"),
    "padded texts": _filled("char(5)", "'ab'", "'abcde'"),
    "unsigned integers": _filled("bigint unsigned", "18446744073709551615", "1"),
    "floats": _filled("float", "0.1", "1.5"),
    "blobs": _filled("blob", "x'00ff'", "''"),
    "identifiers": _filled("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "a null in a text": (_rows("concat('a', char(0), 'b')", "'c'"), ()),
    "names of MariaDB": ("SELECT id AS `select`, age AS `a``b` FROM t", _TABLE),
}  # fmt: skip


def _adapt(engine: str, query: str) -> str:
    """Return a query in the engine's SQL: MariaDB quotes names with backticks."""
    return query.replace('""', "\0").replace('"', "`").replace("\0", '"') if engine == "mariadb" else query


TABLES = [
    AwkwardTable(name, engine, _adapt(engine, query), tuple(_adapt(engine, statement) for statement in statements))
    for engine in ("sqlite", "duckdb", "postgresql", "mariadb")
    for name, (query, statements) in _EVERYWHERE.items()
] + [
    AwkwardTable(name, engine, query, statements)
    for engine, cases in {
        "sqlite": _SQLITE, "duckdb": _DUCKDB, "postgresql": _POSTGRESQL, "mariadb": _MARIADB,
    }.items()
    for name, (query, statements) in cases.items()
]  # fmt: skip
"""All awkward tables."""
