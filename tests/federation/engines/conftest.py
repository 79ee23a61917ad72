"""Clusters that the tests of this folder share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .clusters import SLOW_PROJECT, SLURM_PROGRAMS, DaskCluster, SlurmCluster, start_dask


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler with two workers. A test that kills a worker starts another one."""
    with start_dask(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Slurm on this machine."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in SLURM_PROGRAMS if shutil.which(name, path=path) is None]:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)}")
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slow_project(tmp_path: Path) -> Path:
    """A file with a function that waits."""
    (tmp_path / "slow.py").write_text(SLOW_PROJECT, encoding="utf-8")
    return tmp_path / "slow.py"
