"""A real server of Spark Connect on the loopback interface, for the duration of the tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from ..conftest import ROOT
from ..processes import LIMIT

FOLDER = Path(os.environ.get("ALGOTOOLS_TEST_SPARK") or ROOT / ".spark")
"""The server's package. It has the same modules as the client's package, so it is outside of the environment."""

MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"

JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options for a short life: Java does not optimise code that runs for a minute only, and uses one thread to collect."""


def install_server() -> Path:
    """Return the folder of the server with the version of the client, which the first use downloads.

    The server consists of Java archives and scripts, and needs no package of Python. pip would first pack the archives
    into a wheel, which takes several times longer than the download.
    """
    number = version("pyspark-client")
    home = FOLDER / number
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{number}.lock").open("w") as lock, tempfile.TemporaryDirectory(dir=FOLDER) as unfinished:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command = [*pip, "--no-binary", "pyspark", "--dest", unfinished, f"pyspark=={number}"]
            subprocess.run(command, check=True, capture_output=True)
            (archive,) = Path(unfinished).glob("*.tar.gz")
            with tarfile.open(archive) as file:
                for member in file:
                    _, _, path = member.name.partition("/deps/")
                    if path.startswith(("bin/", "jars/")):
                        member.name = path
                        file.extract(member, Path(unfinished) / "home", filter="data")
            (Path(unfinished) / "home").rename(home)
    return home


class Spark(NamedTuple):
    """A server, and the file with its log."""

    port: int
    log: Path
    token: str

    @property
    def uri(self) -> str:
        """The URI that a node's owner would configure."""
        return f"sc://localhost:{self.port}"

    @property
    def login(self) -> dict[str, str]:
        """The options that a node's owner would configure."""
        return {"USER": "bob", "TOKEN": self.token}

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """Yield a session of its own, which can write."""
        from algotools.data._spark_session import SparkSession  # here: it imports gRPC

        session = SparkSession(f"{self.uri}/;user_id=owner;token={quote(self.token, safe='')}")
        session.conf.set("spark.sql.session.timeZone", "UTC")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyspark warns about the version of pandas
                yield session
        finally:
            session.stop()

    def find_sessions(self, user: str = "bob") -> list[str]:
        """Return the sessions of a user that the server has not released."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        sessions: dict[str, None] = {}
        for line in lines:
            _, separator, identifier = line.partition(f"ession with userId: {user} and sessionId: ")
            if separator:
                sessions[identifier.split()[0]] = None
        closed = {line.rpartition("sessionId: ")[2].strip() for line in lines if "Closing session with userId" in line}
        return [session for session in sessions if session not in closed]


@contextmanager
def start_server() -> Iterator[Spark]:
    """Start a server with a catalog in memory. Without Java the test is skipped."""
    if shutil.which("java") is None:
        pytest.skip("no Java is installed here (Debian's package: openjdk-17-jre-headless)")
    home = install_server()
    folder = Path(tempfile.mkdtemp(prefix="spark-"))
    token = "hunter2@:/4711"
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = {
            "spark.connect.grpc.binding.address": "127.0.0.1", "spark.connect.grpc.binding.port": port,
            "spark.connect.authenticate.token": token, "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1", "spark.local.dir": folder, "spark.sql.shuffle.partitions": 2,
            "spark.sql.warehouse.dir": folder / "warehouse", "spark.ui.enabled": "false",
            "spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        }  # fmt: skip
        options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        # `spark-submit` becomes Java's process, which therefore has this process id.
        command = [home / "bin" / "spark-submit", "--master", "local[2]", "--driver-memory", "1g", "--class", MAIN]
        command += ["--driver-java-options", JAVA_OPTIONS]
        log = folder / "log"
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                [*command, *options, "spark-internal"],
                stdout=log_file,
                stderr=log_file,
                cwd=folder,
                env={**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"},
            )
        try:
            _wait_until_ready(process, log)
            yield Spark(port, log, token)
        finally:
            process.terminate()
            process.wait(LIMIT)
    finally:
        shutil.rmtree(folder)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while b"Spark Connect server started" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(log.read_text(encoding="utf-8"))
        time.sleep(0.1)
