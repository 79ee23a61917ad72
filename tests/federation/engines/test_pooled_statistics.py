"""Eighteen pooled statistics on Dask: every byte of every run is that of runner process."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from algotools import Federation

from ...conftest import ALGORITHMS
from ...processes import LIMIT
from ...runtime.pooled.data import split_evenly
from ...runtime.pooled.peers import STATISTICS, TABLE
from .clusters import DaskCluster

pytestmark = pytest.mark.cluster

IN_FORMS = '''
"""Two of the statistics, over tables of Polars and of Arrow."""

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from algotools import Aggregator, Column, federated


@federated
def summary_by_polars(data: pl.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    values = data[column]
    n, s, ss = total.count(values), total.sum(values), total.sum(values**2)
    return {"n": n, "mean": s / n, "sd": ((ss - s**2 / n) / (n - 1)) ** 0.5}


@federated
def summary_by_arrow(data: pa.Table, total: Aggregator, column: Column) -> dict[str, float]:
    values = data[column]
    n, s, ss = total.count(values), total.sum(values), total.sum(pc.multiply(values, values))
    return {"n": n, "mean": s / n, "sd": ((ss - s**2 / n) / (n - 1)) ** 0.5}


@federated
def deviation_by_polars(data: pl.DataFrame, total: Aggregator, column: Column) -> float:
    values = data[column]
    n = total.count(values)
    mean = total.sum(values) / n
    return (total.sum((values - mean) ** 2) / (n - 1)) ** 0.5


@federated
def deviation_by_arrow(data: pa.Table, total: Aggregator, column: Column) -> float:
    values = data[column]
    n = total.count(values)
    deviations = pc.subtract(values, total.sum(values) / n)
    return (total.sum(pc.multiply(deviations, deviations)) / (n - 1)) ** 0.5
'''


class Pair(NamedTuple):
    """Two federations that differ only in their runner."""

    local: Federation
    engine: Federation


def make_pair(stack: ExitStack, algorithm: Path, cluster: DaskCluster, folder: Path) -> Pair:
    # The nodes have files, because frames in memory have another layout than those that are read from files. NumPy adds
    # numbers of another layout in another order, so the last bits of a sum differ.
    files = [folder / f"{number}.csv" for number in range(3)]
    for file, table in zip(files, split_evenly(TABLE), strict=True):
        table.to_csv(file, index=False)
    local = Federation(files, algorithm=algorithm, runner="process")
    engine = Federation(files, algorithm=algorithm, runner="dask", scheduler=cluster.file)
    return Pair(stack.enter_context(local), stack.enter_context(engine))


@pytest.fixture(scope="module")
def statistics(dask_cluster: DaskCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with ExitStack() as stack:
        yield make_pair(stack, ALGORITHMS / "statistics", dask_cluster, tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def statistics_in_forms(dask_cluster: DaskCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    file = tmp_path_factory.mktemp("forms") / "in_forms.py"
    file.write_text(textwrap.dedent(IN_FORMS), encoding="utf-8")
    with ExitStack() as stack:
        yield make_pair(stack, file, dask_cluster, file.parent)


def ask_for_bytes(federation: Federation, method: str, arguments: dict[str, object]) -> list[tuple[object, ...]]:
    """Return result, status and log of a master, and of its rpcs in all rounds, in the order of the server."""
    input_ = {"method": method, "kwargs": {**arguments, "organizations": [2, 3, 4]}, "master": True}
    master = federation.client().task.create(1, [2], input=input_)["id"]
    assert federation.wait(master, LIMIT)
    tasks = [federation.task(master), *federation.subtasks(master)]
    return [(run.organization_id, run.status, run.output, run.log) for task in tasks for run in task.runs]


def assert_equal_bytes(pair: Pair, method: str, arguments: dict[str, object]) -> None:
    expected = ask_for_bytes(pair.local, method, arguments)
    assert ask_for_bytes(pair.engine, method, arguments) == expected
    assert {status for _, status, _, _ in expected} == {"completed"}
    assert len(expected) % 3 == 1  # one master, and three nodes in each round
    assert all(output for _, _, output, _ in expected)


BY_ROUNDS = sorted(STATISTICS, key=lambda name: STATISTICS[name].rounds)
"""Statistics with few rounds first. The sample has none with many rounds, each of which takes a second."""


@pytest.mark.sample(7)
@pytest.mark.parametrize("name", BY_ROUNDS)
def test_a_statistic_has_the_bytes_of_runner_process(statistics: Pair, name: str) -> None:
    assert_equal_bytes(statistics, name, STATISTICS[name].arguments)


@pytest.mark.parametrize("name", ["summary_by_polars", "summary_by_arrow", "deviation_by_polars", "deviation_by_arrow"])
def test_a_statistic_over_another_form_has_the_bytes_of_runner_process(statistics_in_forms: Pair, name: str) -> None:
    assert_equal_bytes(statistics_in_forms, name, {"column": "age"})
