"""A PostgreSQL server of the benchmarks' own: Debian's binaries, a folder that is kept, a port that nobody else has."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

USER = "postgres"
"""Of the database; and of the system, where we are root, which the server refuses to be."""

PATIENCE = 60
"""Seconds until it must answer."""


class Server:
    """A server that runs."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._binaries = binaries
        self.port = port
        self.uri = f"postgresql://{USER}@127.0.0.1:{port}/postgres"

    def ask(self, sql: str, stdin: Path | None = None) -> str:
        """What ``psql`` prints of it; ``stdin`` is a file for ``COPY … FROM STDIN``."""
        command = [str(self._binaries / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.uri]
        with stdin.open("rb") if stdin else contextlib.nullcontext(subprocess.DEVNULL) as file:
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the database server refuses {sql[:200]!r}: {done.stderr}")
        return done.stdout.strip()

    def forget(self) -> None:
        """From now on count anew what it sends."""
        self.ask("SELECT pg_stat_statements_reset()")

    def sent(self) -> int:
        """How many rows of tables it has sent since; a driver's questions about types are not counted."""
        return int(
            self.ask(
                "SELECT coalesce(sum(rows), 0) FROM pg_stat_statements "
                "WHERE query !~* 'pg_|information_schema|^(set|show|begin|commit|rollback|discard)'"
            )
        )

    def version(self) -> str:
        """Its version's number."""
        return self.ask("SHOW server_version").split()[0]


def binaries() -> Path | None:
    """Where the newest server's programs are; None if there is none."""
    found = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(found).resolve().parent if found else debian[-1] if debian else None


@contextlib.contextmanager
def running(cache: Path) -> Iterator[Server | None]:
    """A server, until the block ends; None where there is no PostgreSQL. Its tables are there the next time."""
    programs = binaries()
    if programs is None:
        yield None
        return
    user = USER if os.getuid() == 0 else None
    folder = home(cache, user)
    if not (folder / "PG_VERSION").exists():
        how = f"-U {USER} -A trust --no-sync -E UTF8 --locale=C".split()
        command = [str(programs / "initdb"), "-D", str(folder), *how]
        subprocess.run(command, user=user, cwd="/", check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "shared_buffers": f"{memory // 4 // 2**20}MB",  # as its manual recommends
        "shared_preload_libraries": "pg_stat_statements",
        "max_wal_size": "4GB",
        "fsync": "off",  # the tables can be made anew
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (cache / "postgresql.log").open("ab") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder, *options], user=user, cwd="/", stdout=log, stderr=log
        )
    try:
        server = Server(programs, port)
        await_answer(process, [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], log=Path(log.name))
        server.ask("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's word for: end now, and well
        process.wait()


def home(cache: Path, user: str | None) -> Path:
    """The folder of its tables: in the cache, unless the user that it runs as cannot get there."""
    folder = cache / "postgresql"
    if user is None:
        folder.mkdir(exist_ok=True)
        return folder
    able = subprocess.run(["test", "-x", cache], user=user, cwd="/", check=False).returncode == 0
    if not able:
        folder = Path(tempfile.gettempdir()) / "algotools-benchmarks-postgresql"
    folder.mkdir(exist_ok=True, mode=0o700)
    account = pwd.getpwnam(user)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def await_answer(process: subprocess.Popen[bytes], question: list[str | Path], log: Path) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + PATIENCE
    while subprocess.run(question, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the database server does not start; see {log}")
        time.sleep(0.1)
