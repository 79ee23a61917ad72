"""A real MariaDB server in a temporary folder, as an example of a database without special support."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ..processes import LIMIT

PASSWORD = "hunter2@:/4711"
USER = "bob"


def connect(port: int) -> pymysql.Connection[Any]:
    """Open a connection that can write and commits each statement."""
    return pymysql.connect(
        host="127.0.0.1", port=port, user=USER, password=PASSWORD, database="clinic", autocommit=True, charset="utf8mb4"
    )


def find_program(name: str) -> str | None:
    """Return the path of one of the server's programs. Debian installs some of them outside of a user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def start_server() -> Iterator[int]:
    """Start a server with an empty database and yield its port. Without MariaDB the test is skipped."""
    daemon, install = find_program("mariadbd"), find_program("mariadb-install-db")
    if daemon is None or install is None:
        pytest.skip("no MariaDB is installed here (Debian's package: mariadb-server-core)")
    folder = Path(tempfile.mkdtemp(prefix="maria-"))  # short, because a socket's path has a limit of about 100 bytes
    try:
        account = f"--user={getpass.getuser()}"
        command = [
            install,
            "--no-defaults",
            account,
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        (folder / "start.sql").write_text(
            "CREATE DATABASE clinic CHARACTER SET utf8mb4;\n"
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'%';\n",
            encoding="utf-8",
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = [
            "--no-defaults", account, f"--datadir={folder / 'data'}", f"--socket={folder / 's'}", f"--port={port}",
            "--bind-address=127.0.0.1", f"--init-file={folder / 'start.sql'}", f"--pid-file={folder / 'pid'}",
            "--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([daemon, *options], stdout=log, stderr=log, cwd="/")
        try:
            _wait_until_ready(port, process, folder / "log")
            yield port
        finally:
            process.terminate()
            process.wait(LIMIT)
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text(errors="replace"))
        time.sleep(0.1)


def _is_ready(port: int) -> bool:
    try:
        connect(port).close()
    except pymysql.Error:
        return False
    return True
