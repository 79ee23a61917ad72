"""A real PostgreSQL server in a temporary folder, for the duration of the tests."""

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

from ..processes import LIMIT

PASSWORD = "hunter2@:/4711"
"""Password of the server's only user. A URI contains the password percent-encoded."""

USER = "bob"


@dataclass
class Postgres:
    """Port of the server, and the log with every statement."""

    port: int
    log: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def uri(self, database: str = "postgres", scheme: str = "postgresql") -> str:
        """Return the URI that a node's owner would configure."""
        return f"{scheme}://{USER}:hunter2%40%3A%2F4711@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """Open a connection that can write and commits each statement."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, dbname=database, autocommit=True
        )

    def new_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"clinic_{next(self.numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Record the statements that the server receives in the block. The list is filled at the end."""
        statements_seen: list[str] = []
        start = self.log.stat().st_size
        yield statements_seen
        with self.log.open("rb") as file:
            file.seek(start)
            for line in file.read().decode().replace("\n\t", " ").splitlines():
                for word in ("statement: ", "execute "):
                    prefix, separator, statement = line.partition(f"LOG:  {word}")
                    if separator and not prefix.strip():
                        statements_seen.append(" ".join(statement.split()))


def find_program_folder() -> Path | None:
    """Return the folder of the server's programs, which is outside of the PATH on Debian."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def start_server() -> Iterator[Postgres]:
    """Start a server with one user. Without PostgreSQL the test is skipped."""
    if (bin_folder := find_program_folder()) is None:
        pytest.skip("no PostgreSQL is installed here (Debian's package: postgresql)")
    process_options: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        process_options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short, because a socket's path has a limit of about 100 bytes
    try:
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        for path in (folder, folder / "password"):
            os.chown(path, process_options.get("user", -1), process_options.get("group", -1))
        options_of_initdb = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={folder / 'password'}"]
        subprocess.run(
            [bin_folder / "initdb", "--no-sync", "--no-locale", "--encoding=UTF8", *options_of_initdb, folder / "data"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **process_options,
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder, "fsync": "off",
            "log_statement": "all", "log_line_prefix": "", "timezone": "Europe/Amsterdam", "shared_buffers": "32MB",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        log = folder / "log"
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                [bin_folder / "postgres", "-D", folder / "data", *options],
                stdout=log_file,
                stderr=log_file,
                cwd="/",
                **process_options,
            )
        try:
            postgres = Postgres(port, log)
            _wait_until_ready(postgres, process)
            yield postgres
        finally:
            process.send_signal(2)  # SIGINT: the server closes open connections
            process.wait(LIMIT)
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(postgres: Postgres, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + LIMIT
    while not _is_ready(postgres):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(postgres.log.read_text())
        time.sleep(0.05)


def _is_ready(postgres: Postgres) -> bool:
    try:
        postgres.connect().close()
    except psycopg.OperationalError:
        return False
    return True
