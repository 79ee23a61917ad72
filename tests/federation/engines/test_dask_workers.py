"""The workers of Dask: workers without algotools get no runs, and missing workers are reported."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from algotools import Federation, __version__
from algotools.errors import EngineError
from algotools.federation.engines import _dask_workers

from ...conftest import AVERAGE
from ...processes import LIMIT, wait_until
from .clusters import DaskCluster, list_started, start_dask
from .engine_processes import HIDE
from .test_dask import start_waiting

pytestmark = pytest.mark.cluster

FRAMES = [pd.DataFrame({"age": [50 + number, 61, 47, 72]}) for number in range(4)]
INSTALL = f"python -m pip install federated-algotools=={__version__}"


@pytest.fixture
def without(tmp_path) -> dict[str, str]:
    """The variables of a worker that cannot import algotools."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE.format(name="algotools"), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def outdated(tmp_path) -> dict[str, str]:
    """The variables of a worker with another version of algotools."""
    folder = tmp_path / "outdated" / "algotools" / "federation" / "engines"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent, folder.parent.parent):
        (package / "__init__.py").touch()
    (folder / "relay.py").write_text("__version__ = '0.0.1'\n", encoding="utf-8")
    return {"PYTHONPATH": str(tmp_path / "outdated")}


@pytest.fixture
def cluster(tmp_path) -> Iterator[DaskCluster]:
    """A scheduler without workers."""
    (tmp_path / "cluster").mkdir()
    with start_dask(tmp_path / "cluster", workers=0) as cluster:
        yield cluster


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def make(cluster: DaskCluster, log: list[str]) -> Iterator[Callable[[Path], Federation]]:
    """Create federations on the cluster; they are closed after the test."""
    with contextlib.ExitStack() as stack:

        def create(algorithm: Path) -> Federation:
            options = {"runner": "dask", "scheduler": cluster.address, "policy": "off"}
            federation = Federation(FRAMES, algorithm=algorithm, listen=lambda _run, line: log.append(line), **options)
            return stack.enter_context(federation)

        yield create


def wait_for_workers(cluster: DaskCluster, number: int) -> None:
    """Wait until the scheduler has workers."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(number, timeout=LIMIT)


def test_a_cluster_without_algotools_is_refused_and_its_workers_live(cluster, make, without) -> None:
    workers = [cluster.start_worker(without) for _ in range(2)]
    wait_for_workers(cluster, 2)
    with pytest.raises(EngineError) as caught:
        make(AVERAGE)
    assert f"can run algotools {__version__}: {socket.gethostname()} (not installed); " in caught.value.message
    assert caught.value.message.endswith(INSTALL)
    assert [worker.poll() for worker in workers] == [None, None]


def test_only_suitable_workers_get_runs(cluster, make, without, outdated, log) -> None:
    others = [cluster.start_worker(without), cluster.start_worker(outdated)]
    cluster.start_worker()
    wait_for_workers(cluster, 3)
    federation = make(AVERAGE)
    for _ in range(2):
        assert federation.ask("master", column_name="age") == {"average": pytest.approx(57.875)}
    host = re.escape(socket.gethostname())
    lines = [line for line in log if "get no runs" in line]
    assert len(lines) == 1
    assert re.search(rf"{host} \(not installed\)", lines[0])
    assert re.search(rf"{host} \(algotools 0\.0\.1\)", lines[0])
    assert lines[0].endswith(INSTALL)
    assert [worker.poll() for worker in others] == [None, None]


@pytest.mark.parametrize("kind", ["without", "outdated"])
def test_a_worker_that_joins_later_is_checked(cluster, make, slow_project, log, kind: str, request) -> None:
    cluster.start_worker()
    wait_for_workers(cluster, 1)
    federation = make(slow_project)
    thread, results = start_waiting(federation, slow_project.parent, 4.0)  # two runs wait in the queue
    wait_until(lambda: len(list_started(slow_project.parent)) == 2)
    other = cluster.start_worker(request.getfixturevalue(kind))
    wait_for_workers(cluster, 2)
    thread.join(LIMIT)
    assert [[*answers] for answers in results] == [[2, 3, 4, 5]]
    assert all(len(pids) == 1 for pids in list_started(slow_project.parent).values())
    assert other.poll() is None
    assert not [line for line in log if "was lost" in line]


def test_waiting_runs_go_to_a_suitable_worker_that_joins(cluster, make, without, slow_project) -> None:
    cluster.start_worker(without)
    cluster.start_worker()
    wait_for_workers(cluster, 2)
    thread, results = start_waiting(make(slow_project), slow_project.parent, 8.0)
    wait_until(lambda: len(list_started(slow_project.parent)) == 2)
    cluster.start_worker()
    wait_until(lambda: len(list_started(slow_project.parent)) == 4)  # before the first two have finished
    assert thread.is_alive()
    thread.join(LIMIT)
    assert [[*answers] for answers in results] == [[2, 3, 4, 5]]
    assert all(len(pids) == 1 for pids in list_started(slow_project.parent).values())


def test_a_scheduler_without_workers_is_reported_again_and_again(cluster, make, slow_project, log, monkeypatch) -> None:
    monkeypatch.setattr(_dask_workers, "_FIRST_LINE", 1.0)
    monkeypatch.setattr(_dask_workers, "_NEXT_LINE", 1.0)
    thread, results = start_waiting(make(slow_project), slow_project.parent, 0.0)
    text = f"waiting for workers: the scheduler at {cluster.address} has none"
    wait_until(lambda: f"info > still {text}" in log)
    assert log.count(f"info > {text}") == 1
    cluster.start_worker()
    thread.join(LIMIT)
    assert [[*answers] for answers in results] == [[2, 3, 4, 5]]


def test_the_loss_of_the_last_worker_is_reported_at_once(cluster, make, slow_project, log) -> None:
    worker = cluster.start_worker()
    wait_for_workers(cluster, 1)
    thread, _ = start_waiting(make(slow_project), slow_project.parent, 2.0)
    wait_until(lambda: len(list_started(slow_project.parent)) == 2)
    worker.kill()
    wait_until(lambda: any("waiting for workers" in line for line in log), 4)
    cluster.start_worker()
    thread.join(LIMIT)
    assert not thread.is_alive()
