"""A PostgreSQL server for the benchmarks: Debian's binaries, a persistent folder and a free port."""

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
"""User of the database. Also the system user of the server if the benchmark runs as root, which PostgreSQL refuses."""

START_TIMEOUT = 60
"""Seconds until the server must respond."""


class Server:
    """A running server."""

    def __init__(self, binaries: Path, port: int) -> None:
        self._binaries = binaries
        self.port = port
        self.uri = f"postgresql://{USER}@127.0.0.1:{port}/postgres"

    def execute(self, sql: str, stdin: Path | None = None) -> str:
        """Execute SQL, and return the output of ``psql``. ``stdin`` is a file for ``COPY … FROM STDIN``."""
        command = [str(self._binaries / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.uri]
        with stdin.open("rb") if stdin else contextlib.nullcontext(subprocess.DEVNULL) as file:
            process = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
        if process.returncode:
            raise SystemExit(f"the database server refuses {sql[:200]!r}: {process.stderr}")
        return process.stdout.strip()

    def reset_counter(self) -> None:
        """Start counting sent rows from zero."""
        self.execute("SELECT pg_stat_statements_reset()")

    def count_sent_rows(self) -> int:
        """Return the number of rows sent since the reset, without the queries of drivers about types."""
        return int(
            self.execute(
                "SELECT coalesce(sum(rows), 0) FROM pg_stat_statements "
                "WHERE query !~* 'pg_|information_schema|^(set|show|begin|commit|rollback|discard)'"
            )
        )

    def read_version(self) -> str:
        """Return the version of the server."""
        return self.execute("SHOW server_version").split()[0]


def find_binaries() -> Path | None:
    """Return the folder of the latest server's programs; None if PostgreSQL is not installed."""
    program = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return Path(program).resolve().parent if program else debian[-1] if debian else None


@contextlib.contextmanager
def run_server(cache: Path) -> Iterator[Server | None]:
    """Run a server until the block exits; yield None if PostgreSQL is not installed. The tables are persistent."""
    programs = find_binaries()
    if programs is None:
        yield None
        return
    user = USER if os.getuid() == 0 else None
    folder = make_data_folder(cache, user)
    if not (folder / "PG_VERSION").exists():
        options = f"-U {USER} -A trust --no-sync -E UTF8 --locale=C".split()
        command = [str(programs / "initdb"), "-D", str(folder), *options]
        subprocess.run(command, user=user, cwd="/", check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "shared_buffers": f"{memory // 4 // 2**20}MB",  # recommended by the manual
        "shared_preload_libraries": "pg_stat_statements",
        "max_wal_size": "4GB",
        "fsync": "off",  # the tables can be created again
    }
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    with (cache / "postgresql.log").open("ab") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", folder, *options], user=user, cwd="/", stdout=log, stderr=log
        )
    try:
        server = Server(programs, port)
        wait_for_server(
            process, [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], log=Path(log.name)
        )
        server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # fast shutdown
        process.wait()


def make_data_folder(cache: Path, user: str | None) -> Path:
    """Create the folder of the tables: in the cache, or in a temporary folder if the user cannot access the cache."""
    folder = cache / "postgresql"
    if user is None:
        folder.mkdir(exist_ok=True)
        return folder
    can_access = subprocess.run(["test", "-x", cache], user=user, cwd="/", check=False).returncode == 0
    if not can_access:
        folder = Path(tempfile.gettempdir()) / "algotools-benchmarks-postgresql"
    folder.mkdir(exist_ok=True, mode=0o700)
    account = pwd.getpwnam(user)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def wait_for_server(process: subprocess.Popen[bytes], command: list[str | Path], log: Path) -> None:
    """Wait until the server responds to a command."""
    deadline = time.monotonic() + START_TIMEOUT
    while subprocess.run(command, check=False).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the database server does not start; see {log}")
        time.sleep(0.1)
