"""A real MariaDB server, in a folder of its own: a database that nothing here knows more of than SQLAlchemy does."""

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

PASSWORD = "hunter2@:/4711"
USER = "bob"


def connect(port: int) -> pymysql.Connection[Any]:
    """A connection that may write, and commits what it does."""
    return pymysql.connect(
        host="127.0.0.1", port=port, user=USER, password=PASSWORD, database="clinic", autocommit=True, charset="utf8mb4"
    )


def program(name: str) -> str | None:
    """A program of the server's; Debian has some of them off a user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def server() -> Iterator[int]:
    """The port of a server that keeps nothing, with an empty database; without one here the test is skipped."""
    daemon, install = program("mariadbd"), program("mariadb-install-db")
    if daemon is None or install is None:
        pytest.skip("no MariaDB is installed here (Debian's package: mariadb-server-core)")
    folder = Path(tempfile.mkdtemp(prefix="maria-"))  # a socket's path may have some hundred characters at most
    try:
        account = f"--user={getpass.getuser()}"
        made = [
            install,
            "--no-defaults",
            account,
            f"--datadir={folder / 'data'}",
            "--auth-root-authentication-method=normal",
        ]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        (folder / "start.sql").write_text(
            "CREATE DATABASE clinic CHARACTER SET utf8mb4;\n"
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO '{USER}'@'%';\n",
            encoding="utf-8",
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = [
            "--no-defaults", account, f"--datadir={folder / 'data'}", f"--socket={folder / 's'}", f"--port={port}",
            "--bind-address=127.0.0.1", f"--init-file={folder / 'start.sql'}", f"--pid-file={folder / 'pid'}",
            "--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0",
        ]  # fmt: skip
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([daemon, *options], stdout=log, stderr=log, cwd="/")
        try:
            _wait(port, process, folder / "log")
            yield port
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(log.read_text(errors="replace"))
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        connect(port).close()
    except pymysql.Error:
        return False
    return True
