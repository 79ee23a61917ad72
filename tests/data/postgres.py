"""A real PostgreSQL server, in a folder of its own, for as long as the tests run."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

PASSWORD = "hunter2@:/4711"
"""Of the server's only user; a URI has it percent-encoded."""

USER = "bob"


@dataclass
class Postgres:
    """Where the server listens, and its log of every statement."""

    port: int
    log: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def uri(self, database: str = "postgres", scheme: str = "postgresql") -> str:
        """As a node's owner writes it."""
        return f"{scheme}://{USER}:hunter2%40%3A%2F4711@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection that may write, and commits what it does."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        """The name of a database that is empty."""
        name = f"clinic_{next(self.numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What the server is asked within, known afterwards: each statement as it arrived, its blanks as one."""
        asked: list[str] = []
        start = self.log.stat().st_size
        yield asked
        with self.log.open("rb") as file:
            file.seek(start)
            for line in file.read().decode().replace("\n\t", " ").splitlines():
                for word in ("statement: ", "execute "):
                    before, found, statement = line.partition(f"LOG:  {word}")
                    if found and not before.strip():
                        asked.append(" ".join(statement.split()))


def programs() -> Path | None:
    """The folder of the server's programs; Debian has it off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = str(found[-1]) if found else shutil.which("initdb")
    return Path(there).parent if there else None


@contextmanager
def server() -> Iterator[Postgres]:
    """A server that keeps nothing, for one user; without one here the test is skipped."""
    if (bin_folder := programs()) is None:
        pytest.skip("no PostgreSQL is installed here (Debian's package: postgresql)")
    other: dict[str, Any] = {}
    if os.geteuid() == 0:  # as whom the server would not start
        account = pwd.getpwnam("postgres")
        other = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path may have some hundred characters at most
    try:
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        for path in (folder, folder / "password"):
            os.chown(path, other.get("user", -1), other.get("group", -1))
        made = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={folder / 'password'}"]
        subprocess.run(
            [bin_folder / "initdb", "--no-sync", "--no-locale", "--encoding=UTF8", *made, folder / "data"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **other,
        )  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
            "log_statement": "all", "log_line_prefix": "", "timezone": "Europe/Amsterdam", "shared_buffers": "32MB",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = folder / "log"
        with log.open("wb") as written:
            process = subprocess.Popen(
                [bin_folder / "postgres", "-D", folder / "data", *options],
                stdout=written,
                stderr=written,
                cwd="/",
                **other,
            )
        try:
            postgres = Postgres(port, log)
            _wait(postgres, process)
            yield postgres
        finally:
            process.send_signal(2)  # SIGINT: connections are ended, too
            process.wait(30)
    finally:
        shutil.rmtree(folder)


def _wait(postgres: Postgres, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not _answers(postgres):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(postgres.log.read_text())
        time.sleep(0.05)


def _answers(postgres: Postgres) -> bool:
    try:
        postgres.connect().close()
    except psycopg.OperationalError:
        return False
    return True
