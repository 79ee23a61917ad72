"""No form of a database waits without a limit for a server that does not answer. A query may take long."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy.engine import make_url

from algotools.data import _sql, _sql_arrow
from algotools.data._sql_errors import name_sql_errors
from algotools.data.reading import Unreadable
from algotools.data.time_limit import call_within
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from ..hanging import freezing_proxy, full_server, greeting_server, silent_server, stopping_server
from .forms import TABLES, read
from .mariadb import PASSWORD, USER, start_server
from .postgres import Postgres

TIMEOUT = 2
MARGIN = 60
"""Seconds that a busy machine may need in addition."""

PATHS = ["pandas", "batches", "ibis"]
"""Forms that connect differently: through SQLAlchemy, ADBC and psycopg. All others connect as ``batches`` does."""

LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"
MYSQL_PATHS = PATHS[:2]  # the driver of Ibis' backend must be compiled
READY = b"Z\0\0\0\5I"
"""PostgreSQL's last message of a login: the server waits for a query."""


@pytest.fixture(autouse=True)
def timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sql, "CONNECT_TIMEOUT", TIMEOUT)


@pytest.fixture(scope="module")
def maria() -> Iterator[int]:
    with start_server() as port:
        yield port


def load(uri: str, form: str, query: str = "SELECT 1 AS one") -> dict[str, list[object]]:
    return read(Database("clinic", uri, "sql", query=query), form)


def check_limit(uri: str, form: str, seconds: float) -> None:
    """Check that a server without an answer is reported in time, and that only the owner sees its address."""
    start = time.monotonic()
    with pytest.raises(
        DatabaseUnreadable, match=r"^database 'clinic': its server does not answer within \d+ s; check"
    ) as excinfo:
        load(uri, form)
    assert time.monotonic() - start < seconds + MARGIN
    assert excinfo.value.exit_code == 31
    check_secrets(excinfo.value, uri)


def check_secrets(error: DatabaseUnreadable, uri: str) -> None:
    assert "127.0.0.1" not in str(error)
    assert USER not in str(error)
    assert str(make_url(uri).port) in error.detail
    assert "hunter2" not in str(error) + error.detail


SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "silent": silent_server,
    "full": full_server,
    "stops": lambda: stopping_server(b"N"),  # PostgreSQL's answer that it has no TLS
}


@pytest.mark.parametrize(
    ("form", "server"), [*((form, "silent") for form in TABLES), *itertools.product(PATHS, ["full", "stops"])]
)
def test_no_form_waits_for_a_postgresql_that_does_not_answer(form, server):
    with SERVERS[server]() as port:
        check_limit(f"postgresql://{LOGIN}@127.0.0.1:{port}/clinic", form, TIMEOUT)


def test_a_stream_without_adbc_does_not_wait(monkeypatch):
    monkeypatch.setattr(_sql_arrow, "open_adbc", lambda *_: None)
    with silent_server() as port:
        check_limit(f"postgresql://{LOGIN}@127.0.0.1:{port}/clinic", "batches", TIMEOUT)


@pytest.mark.parametrize("form", PATHS)
def test_no_form_waits_for_a_postgresql_that_stops_answering_after_the_login(form, postgres):
    with freezing_proxy(postgres.port, READY) as port:
        check_limit(f"postgresql://{LOGIN}@127.0.0.1:{port}/postgres", form, 3 * TIMEOUT)


@pytest.mark.parametrize(
    "make_server",
    [
        silent_server,
        full_server,
        lambda: greeting_server(b"\x4a\0\0\0\x0a5.5.5-10.11"),
    ],
    ids=["silent", "full", "stops"],
)
@pytest.mark.parametrize("form", MYSQL_PATHS)
def test_no_form_waits_for_a_mariadb_that_does_not_answer(form, make_server):
    with make_server() as port:
        check_limit(f"mysql+pymysql://{LOGIN}@127.0.0.1:{port}/clinic", form, TIMEOUT)


def test_a_driver_without_a_time_limit_of_its_own_does_not_wait():
    def open_connection(_opened: ExitStack) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            return connection.recv(1)

    uri = "other+driver://bob:hunter2@127.0.0.1:1/db"
    with silent_server() as port:
        start = time.monotonic()
        with (
            pytest.raises(Unreadable, match=f"its server does not answer within {3 * TIMEOUT} s"),
            ExitStack() as stack,
        ):
            _sql.open_in_time(make_url(uri), stack, open_connection)
        assert time.monotonic() - start < 3 * TIMEOUT + MARGIN


@pytest.mark.parametrize("form", PATHS)
def test_the_owner_cannot_switch_the_limit_off_by_accident(form):
    with silent_server() as port:
        check_limit(f"postgresql://{LOGIN}@127.0.0.1:{port}/clinic?connect_timeout=0", form, TIMEOUT)


@pytest.mark.parametrize(
    ("scheme", "form"), [("postgresql", "pandas"), ("postgresql", "ibis"), ("mysql+pymysql", "polars")]
)
def test_the_owner_can_choose_the_limit(scheme, form, monkeypatch):
    monkeypatch.setattr(_sql, "CONNECT_TIMEOUT", 600)
    with silent_server() as port:
        check_limit(f"{scheme}://{LOGIN}@127.0.0.1:{port}/clinic?connect_timeout={TIMEOUT}", form, TIMEOUT)


@pytest.mark.parametrize("form", PATHS)
def test_a_query_of_postgresql_may_take_longer(form, postgres, monkeypatch):
    monkeypatch.setattr(_sql, "_ADDRESSES", 1)
    assert load(postgres.uri(), form, f"SELECT 1 AS one FROM pg_sleep({TIMEOUT + 1})") == {"one": [1]}


@pytest.mark.parametrize("form", MYSQL_PATHS)
def test_a_query_of_mariadb_may_take_longer(form, maria, monkeypatch):
    monkeypatch.setattr(_sql, "_ADDRESSES", 1)
    uri = f"mysql+pymysql://{LOGIN}@127.0.0.1:{maria}/clinic"
    assert load(uri, form, f"SELECT SLEEP({TIMEOUT + 1}) AS zero") == {"zero": [0]}


def test_the_owner_can_limit_a_query_of_mariadb(maria):
    uri = f"mysql+pymysql://{LOGIN}@127.0.0.1:{maria}/clinic?read_timeout=1"
    start = time.monotonic()
    with pytest.raises(DatabaseUnreadable):
        load(uri, "pandas", "SELECT SLEEP(600) AS zero")
    assert time.monotonic() - start < 1 + MARGIN


def read_keepalive(connection: socket.socket) -> tuple[int, ...]:
    numbers = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return tuple(connection.getsockopt(socket.IPPROTO_TCP, number) for number in numbers)


LIMITS = (60, 15, 4, 120_000)


class TestDeadServer:
    def test_pandas_notices_that_a_postgresql_is_dead(self, postgres):
        with ExitStack() as stack:
            connection: Any = _sql.connect(_sql.parse_url(Database("clinic", postgres.uri(), "sql")), stack)
            descriptor = connection.connection.dbapi_connection.fileno()
            with socket.socket(fileno=descriptor) as opened:
                assert read_keepalive(opened) == LIMITS
                opened.detach()

    def test_libpq_gets_the_limits_in_every_other_form(self, postgres):
        with psycopg.connect(_sql.make_conninfo(make_url(postgres.uri()))) as connection:
            opened = socket.socket(fileno=connection.fileno())
            assert read_keepalive(opened) == LIMITS
            opened.detach()

    def test_the_options_of_the_owner_have_priority(self, postgres):
        uri = postgres.uri() + "?keepalives_idle=7&tcp_user_timeout=9000"
        with psycopg.connect(_sql.make_conninfo(make_url(uri))) as connection:
            opened = socket.socket(fileno=connection.fileno())
            assert read_keepalive(opened) == (7, 15, 4, 9000)
            opened.detach()

    def test_pymysql_notices_that_a_mariadb_is_dead(self, maria):
        uri = f"mysql+pymysql://{LOGIN}@127.0.0.1:{maria}/clinic"
        with ExitStack() as stack:
            connection: Any = _sql.connect(_sql.parse_url(Database("clinic", uri, "sql")), stack)
            assert read_keepalive(connection.connection.dbapi_connection._sock) == LIMITS


class TestCallWithin:
    def test_a_result_in_time_is_returned(self):
        assert call_within(60, lambda: 3, RuntimeError("late")) == 3

    @pytest.mark.parametrize("error", [KeyError("x"), TimeoutError("own"), SystemExit(3)])
    def test_an_exception_in_time_is_raised(self, error):
        def fail() -> None:
            raise error

        with pytest.raises(type(error)) as excinfo:
            call_within(60, fail, RuntimeError("late"))
        assert excinfo.value is error

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_late_result_is_discarded(self, fails):
        go_on, discarded = threading.Event(), threading.Event()

        def work() -> int:
            go_on.wait(60)
            if fails:
                raise KeyError
            return 3

        with pytest.raises(RuntimeError, match="late"):
            call_within(0.05, work, RuntimeError("late"), discard=lambda value: value == 3 and discarded.set())
        assert not discarded.is_set()
        go_on.set()
        assert discarded.wait(0.5 if fails else 60) != fails


SECRETS = {
    "postgresql://bob:s3cr%2Ft@host/db": ["s3cr/t", "s3cr%2Ft", "s3cr%2ft"],
    "postgresql://host/db?user=bob&password=s3cr%2Ft": ["s3cr/t", "password=s3cr%2Ft"],
    "postgresql://bob:a%27b%5Cc@host/db": [r"a'b\c", r"a\'b\\c"],
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BUID%3Dbob%3BPWD%3Ds3cr%2Ft%3B": ["PWD=s3cr/t;", "s3cr/t"],
    "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3Bpassword%3D%7Bs3cr%2Ft%7D": ["{s3cr/t}"],
    "snowflake://bob@account/db?token=s3cr%2Ft": ["s3cr/t", "s3cr%2Ft"],
    "mysql+pymysql://host/db?ssl_key_password=s3cr%2Ft": ["s3cr/t"],
}


def fail(uri: str, kind: type[Exception], message: str) -> None:
    with name_sql_errors(Database("clinic", uri, "sql")):
        raise Unreadable("a reason", RuntimeError(message)) if kind is Unreadable else kind(message)


@pytest.mark.parametrize("uri", SECRETS)
@pytest.mark.parametrize("kind", [RuntimeError, Unreadable])
def test_no_message_of_a_driver_shows_a_secret_of_the_uri(uri, kind):
    for secret in SECRETS[uri]:
        with pytest.raises(DatabaseUnreadable) as excinfo:
            fail(uri, kind, f"cannot connect with {secret} to host")
        assert "cannot connect with" in excinfo.value.detail
        for part in ("s3cr", "a'b", r"b\c", "a\\'b"):
            assert part not in str(excinfo.value) + excinfo.value.detail


def test_a_refused_password_is_not_called_a_timeout(postgres: Postgres) -> None:
    uri = postgres.uri().replace("hunter2", "hunter3")
    with pytest.raises(DatabaseUnreadable, match="it cannot be reached, or refuses") as excinfo:
        load(uri, "pandas")
    assert "hunter3" not in str(excinfo.value) + excinfo.value.detail


LOCKS = {
    "sqlite": "import sqlite3; c=sqlite3.connect('{}'); c.execute('CREATE TABLE t (a)'); c.execute('BEGIN EXCLUSIVE')",
    "duckdb": "import duckdb; c = duckdb.connect('{}'); c.execute('CREATE TABLE t (a INT)')",
}


class TestFiles:
    @pytest.mark.parametrize("form", PATHS)
    @pytest.mark.parametrize("suffix", LOCKS)
    def test_a_file_that_another_program_has_locked_is_reported(self, form, suffix, tmp_path):
        path = tmp_path / f"clinic.{suffix}"
        code = f"{LOCKS[suffix].format(path)}; print('locked', flush=True); import time; time.sleep(600)"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"locked\n"
                start = time.monotonic()
                with pytest.raises(DatabaseUnreadable, match="another program has locked its file; retry"):
                    load(str(path), form, "SELECT * FROM t")
                assert time.monotonic() - start < 5 + MARGIN
            finally:
                process.kill()

    @pytest.mark.parametrize("form", PATHS)
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("x.csv", "csv"), ("x.csv.gz", "csv"), ("x.parquet", "parquet"), ("x.feather", "parquet"),
            ("x.xlsx", "excel"), ("x.sqlite", "sql"), ("x.duckdb", "sql"), ("x.db", "omop"), ("x", "csv"),
        ],
    )  # fmt: skip
    def test_a_pipe_is_refused(self, form, name, kind, tmp_path):
        os.mkfifo(tmp_path / name)
        query = "SELECT 1 AS one" if kind in ("sql", "omop") else None
        schemes = ["", "file://"] + [f"{scheme}:///" for scheme in ("sqlite",) if name.endswith(".sqlite")]
        for scheme in schemes:
            with pytest.raises(DatabaseUnreadable, match="it is a pipe or a device, which cannot be read twice; save"):
                read(Database("clinic", f"{scheme}{tmp_path / name}", kind, query=query), form)

    def test_a_device_is_refused(self):
        with pytest.raises(DatabaseUnreadable, match="it is a pipe or a device"):
            read(Database("clinic", "/dev/zero", "csv"), "pandas")
