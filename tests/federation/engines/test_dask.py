"""Runs on Dask: a scheduler and two workers as separate processes, and the cluster that a federation starts itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import RunsFailed
from algotools.federation import Answers

from ...conftest import ALGORITHMS, AVERAGE, COMMAND, algotools, environment, fail_at_nodes
from ...processes import LIMIT, is_alive, wait_until
from .clusters import DaskCluster, list_started, start_dask

pytestmark = pytest.mark.cluster

FRAMES = [pd.DataFrame({"age": [50 + number, 61, 47, 72]}) for number in range(4)]
FAILURES = ("raises", "exits", "ends_the_process", "is_killed", "crashes", "returns_a_set", "raises_a_user_error")


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def make(dask_cluster: DaskCluster, log: list[str]) -> Iterator[Callable[..., Federation]]:
    """Create federations on the cluster; they are closed after the test."""
    with contextlib.ExitStack() as stack:

        def create(algorithm: Path, **options: object) -> Federation:
            keywords = {"runner": "dask", "scheduler": dask_cluster.file, **options}
            federation = Federation(
                FRAMES, algorithm=algorithm, policy="off", listen=lambda _run, line: log.append(line), **keywords
            )
            return stack.enter_context(federation)

        yield create


def start_waiting(federation: Federation, folder: Path, seconds: float) -> tuple[threading.Thread, list[Answers]]:
    """Call ``wait`` in a thread; return the thread and the list for the answers."""
    results: list[Answers] = []

    def call() -> None:
        results.append(federation.run("wait", timeout=None, folder=str(folder), seconds=seconds))

    thread = threading.Thread(target=call)
    thread.start()
    return thread, results


def list_tasks(cluster: DaskCluster) -> list[str]:
    """Return the tasks that the scheduler knows."""
    code = (
        "import sys; from distributed import Client; client = Client(sys.argv[1]); "
        "print(*client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, cluster.address]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("algorithm", [AVERAGE, ALGORITHMS / "misbehaving"], ids=["results", "failures"])
def test_outcomes_are_those_of_runner_process(make, algorithm: Path) -> None:
    outcomes = []
    for options in ({}, {"runner": "process", "scheduler": None}):
        federation = make(algorithm, **options)
        if algorithm == AVERAGE:
            master, rpc = (federation.run(name, column_name="age") for name in ("master", "average_partial"))
            outcomes.append([[*master], [*rpc], [*federation.organizations()]])
        else:
            outcomes.append([fail_at_nodes(federation, name) for name in FAILURES])
    assert outcomes[0] == outcomes[1]


def test_a_run_on_a_killed_worker_starts_again_with_a_line_in_the_log(make, dask_cluster, slow_project, log) -> None:
    folder = slow_project.parent
    thread, results = start_waiting(make(slow_project), folder, 3.0)
    wait_until(lambda: len(list_started(folder)) == len(FRAMES))
    before = list_started(folder)
    dask_cluster.workers.pop(0).kill()
    dask_cluster.start_worker()
    thread.join(LIMIT)
    assert [[*answers] for answers in results] == [[2, 3, 4, 5]]
    repeated = {id_: pids for id_, pids in list_started(folder).items() if len(pids) > 1}
    assert 1 <= len(repeated) <= 2  # a worker has two threads
    assert all(len(pids) == 2 for pids in repeated.values())
    assert not any(is_alive(before[id_][0]) for id_ in repeated)
    lines = [line for line in log if "was lost; the run starts again" in line]
    assert len(lines) == len(repeated)


def test_a_worker_that_joins_gets_runs(tmp_path, slow_project) -> None:
    (tmp_path / "cluster").mkdir()
    with start_dask(tmp_path / "cluster", workers=0) as cluster:
        options = {"runner": "dask", "scheduler": cluster.address, "policy": "off"}
        with Federation(FRAMES, algorithm=slow_project, **options) as federation:
            thread, results = start_waiting(federation, tmp_path, 0.0)
            cluster.start_worker()
            thread.join(LIMIT)
    assert [[*answers] for answers in results] == [[2, 3, 4, 5]]


def test_a_killed_task_is_removed_from_the_cluster(make, dask_cluster, slow_project) -> None:
    federation = make(slow_project)
    method = {"method": "wait", "kwargs": {"folder": str(slow_project.parent), "seconds": 600.0}}
    task = federation.client().task.create(organizations=[2, 3, 4, 5], image="", input_=method, databases=[])
    wait_until(lambda: len(list_started(slow_project.parent)) >= 2)
    pids = [pid for pids in list_started(slow_project.parent).values() for pid in pids]
    federation.kill(task["id"])
    wait_until(lambda: not any(map(is_alive, pids)))
    wait_until(lambda: not list_tasks(dask_cluster))
    assert {run.status for run in federation.task(task["id"]).runs} == {"killed by user"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("is_local", [False, True], ids=["scheduler", "local"])
def test_a_stopped_command_leaves_nothing(dask_cluster, slow_project, tmp_path, number, is_local: bool) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "2.csv").write_text("age\n1\n", encoding="utf-8")
    call = ["run", "wait", f"folder={tmp_path}", "seconds:=600", "--algorithm", str(slow_project), "--no-history"]
    options = ["--data", str(tmp_path / "2.csv"), "--runner", "dask"]
    options += [] if is_local else ["--scheduler", str(dask_cluster.file)]
    process = subprocess.Popen(
        [*COMMAND, *call, *options],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment({"TMPDIR": str(tmp_path / "tmp")}),
        start_new_session=True,
    )
    wait_until(lambda: list_started(tmp_path) or process.poll() is not None)
    pids = [pid for pids in list_started(tmp_path).values() for pid in pids]
    os.killpg(process.pid, number)
    _, text = process.communicate(timeout=LIMIT)
    if number == signal.SIGINT:
        assert (process.returncode, "stopped; nothing is left running" in text) == (130, True), text
        assert "Traceback" not in text
    assert pids
    wait_until(lambda: not any(map(is_alive, pids)))
    if is_local:
        wait_until(lambda: not list_processes_with(str(tmp_path / "tmp")))
    else:
        wait_until(lambda: not list_tasks(dask_cluster))
    if number == signal.SIGINT:
        assert not list((tmp_path / "tmp").glob("algotools-*"))


def list_processes_with(folder: str) -> list[int]:
    """Return the processes whose variables name a temporary folder."""
    pids = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}" in file.read_text(encoding="utf-8", errors="replace").split("\0"):
                pids.append(int(file.parent.name))
    return [pid for pid in pids if is_alive(pid)]


def test_a_local_cluster_starts_and_stops_with_the_federation(make, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    federation = make(AVERAGE, scheduler=None)
    assert list_processes_with(str(tmp_path))
    assert federation.runner == "dask"
    assert federation.ask("master", column_name="age") == {"average": pytest.approx(57.875)}
    federation.close()
    assert not list_processes_with(str(tmp_path))


def test_the_executor_of_a_client_stays_open(dask_cluster) -> None:
    from distributed import Client

    with Client(dask_cluster.address, set_as_default=False) as client:
        executor = client.get_executor()
        with Federation(FRAMES, algorithm=AVERAGE, runner=executor) as federation:
            assert federation.ask("master", column_name="age") == {"average": pytest.approx(57.875)}
        assert executor.submit(abs, -1).result(LIMIT) == 1


def test_a_lost_scheduler_ends_the_waiting_runs(tmp_path) -> None:
    with start_dask(tmp_path, workers=0) as cluster:
        options = {"runner": "dask", "scheduler": cluster.address}
        with Federation(FRAMES, algorithm=AVERAGE, **options) as federation:
            timer = threading.Timer(2.0, cluster.processes[0].kill)
            timer.start()
            with pytest.raises(RunsFailed) as caught:
                federation.run("average_partial", timeout=None, column_name="age")
            timer.join()
    assert {failure.exit_code for failure in caught.value.failures.values()} == {62}
    assert "the connection to the Dask scheduler at" in str(caught.value)
    assert "start the scheduler and its workers again" in str(caught.value)


def test_a_scheduler_with_certificates_in_the_settings(tmp_path) -> None:
    from distributed.security import Security

    security = Security.temporary()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_text(security.tls_client_cert, encoding="utf-8")
    key.write_text(security.tls_client_key, encoding="utf-8")
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    variables = {f"{prefix}{role}__CERT": str(certificate) for role in ("SCHEDULER", "WORKER", "CLIENT")}
    variables |= {f"{prefix}{role}__KEY": str(key) for role in ("SCHEDULER", "WORKER", "CLIENT")}
    variables |= {f"{prefix}CA_FILE": str(certificate), "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    variables["DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME"] = "tls"
    (tmp_path / "cluster").mkdir()
    with start_dask(tmp_path / "cluster", workers=1, variables=variables, protocol="tls") as cluster:
        assert cluster.address.startswith("tls://")
        options = ["--runner", "dask", "--scheduler", str(cluster.file)]
        result = algotools("ask", "master", "column_name=age", *options, cwd=AVERAGE, variables=variables)
        assert result.returncode == 0, result.stderr
        refused = algotools("ask", "master", "column_name=age", *options, cwd=AVERAGE)
    assert refused.returncode == 60, refused.stderr
    assert "needs certificates, and Dask's settings for them are not set" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert "Exception ignored" not in refused.stderr


def test_the_history_repeats_a_task_on_its_scheduler(dask_cluster, tmp_path) -> None:
    project = tmp_path / "average"
    shutil.copytree(AVERAGE, project, ignore=shutil.ignore_patterns(".algotools", "__pycache__", "*.egg-info"))
    options = ["--runner", "dask", "--scheduler", str(dask_cluster.file)]
    variables = {"ALGOTOOLS_HISTORY": "on"}
    first = algotools("run", "average_partial", "column_name=age", *options, cwd=project, variables=variables)
    assert first.returncode == 0, first.stderr
    shown = algotools("history", "show", "1", cwd=project, variables=variables)
    assert " ".join(options) in shown.stdout + shown.stderr
    again = algotools("history", "rerun", "1", cwd=project, variables=variables)
    assert again.returncode == 0, again.stderr
    assert "results: the same" in again.stdout + again.stderr
