"""Clusters for tests: Dask and Slurm, as processes of this machine on the loopback address."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ...processes import LIMIT, wait_until

DASK = [sys.executable, "-W", "ignore", "-m", "dask"]

SLOW_PROJECT = '''
"""Functions that wait, for tests that interrupt them."""

import os
import time
from pathlib import Path

from algotools import RunInfo, rpc


@rpc
def wait(folder: str, seconds: float, info: RunInfo) -> int:
    """Note the process, wait, and return the organization."""
    (Path(folder) / f"{info.organization_id}-{os.getpid()}-{os.getppid()}").touch()
    time.sleep(seconds)
    return info.organization_id
'''


def list_started(folder: Path) -> dict[int, list[int]]:
    """Return organization -> the processes in which its run of ``wait`` has started."""
    started: dict[int, list[int]] = {}
    for file in folder.glob("[0-9]*-*"):
        organization, pid, _ = map(int, file.name.split("-"))
        started.setdefault(organization, []).append(pid)
    return started


class DaskCluster:
    """A scheduler and workers, each a process. The log of each is in ``folder``."""

    def __init__(self, folder: Path, variables: dict[str, str] | None = None, protocol: str = "tcp") -> None:
        self.folder = folder
        self._protocol = protocol
        self.file = folder / "scheduler.json"
        self._environment = {**os.environ, **(variables or {})}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self) -> None:
        self._start("scheduler", "--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--port", "0")
        wait_until(lambda: self.file.exists() and self.file.read_text(encoding="utf-8").endswith("}"))

    def start_worker(self, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        options = ("--nthreads", "2", "--no-nanny", "--no-dashboard", "--local-directory", ".")
        worker = self._start("worker", *options, variables=variables)
        self.workers.append(worker)
        return worker

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text(encoding="utf-8"))["address"])

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def _start(self, kind: str, *options: str, variables: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [*DASK, kind, "--scheduler-file", str(self.file), "--host", "127.0.0.1", "--protocol", self._protocol]
        command += options
        with (self.folder / f"{kind}-{len(self.processes)}.log").open("wb") as log:
            environment = {**self._environment, **(variables or {})}
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=environment)
        self.processes.append(process)
        return process


@contextlib.contextmanager
def start_dask(
    folder: Path, workers: int = 2, variables: dict[str, str] | None = None, protocol: str = "tcp"
) -> Iterator[DaskCluster]:
    """Start a scheduler and workers; all stop when the context is closed."""
    cluster = DaskCluster(folder, variables, protocol)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker()
        yield cluster
    finally:
        cluster.stop()


SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")

SLURM_CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# A container has neither systemd nor cgroups that slurmd may change.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# The node has more processors than the machine, so that the tasks of a job start on a small machine.
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=batch_sched_delay=0
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP MaxTime=INFINITE
"""


class SlurmCluster:
    """Slurm with one node: this machine. The commands need the variables of ``environment``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str) -> str:
        """Run a command of Slurm, and return its output."""
        completed = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def submit(self, script: str) -> str:
        """Submit a script to the queue, and return the number of the job. Its log is ``job.log``."""
        (self.folder / "job.sh").write_text(script, encoding="utf-8")
        return self.run("sbatch", "--parsable", "--output", str(self.folder / "job.log"), "job.sh").strip()

    def read_state(self, job: str) -> str:
        """Return the state of a job: ``RUNNING``, ``COMPLETED``, ``FAILED``, ``CANCELLED``, …"""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return next(word.removeprefix("JobState=") for word in words if word.startswith("JobState="))

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        names = ("socket", "pid-file", "log-file", "seed-file", "key-file")
        options = [f"--{name}={self.folder}/munge.{name.partition('-')[0]}" for name in names]
        self._start("munged", "--foreground", "--force", *options)
        wait_until((self.folder / "munge.socket").exists)
        values = {"host": socket.gethostname().partition(".")[0], "folder": self.folder, "user": "root"}
        ports = {"controller_port": find_free_port(), "node_port": find_free_port()}
        configuration = SLURM_CONFIGURATION.format(**values, **ports)
        (self.folder / "slurm.conf").write_text(configuration, encoding="utf-8")
        self._start("slurmctld", "-D", "-i")
        self._start("slurmd", "-D")
        wait_until(lambda: "idle" in self._read_node_state())

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def _read_node_state(self) -> str:
        command = ("sinfo", "--noheader", "--format", "%T")
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def _start(self, program: str, *options: str) -> None:
        path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
        assert path is not None
        with (self.folder / f"{program}.out").open("wb") as log:
            process = subprocess.Popen([path, *options], env=self.environment, stdout=log, stderr=log)
        self._processes.append(process)


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
