"""All combinations of a generation and a runner, and a federation of three organizations for each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from algotools import Federation

from ..conftest import ALGORITHMS, SECRET
from ..federation.engines.clusters import start_dask

CONFORMANCE = ALGORITHMS / "conformance"

FEDERATION = """\
organizations:
  - name: first
    databases: {default: 2.csv, visits: visits.csv}
    algorithm_env: {PLAYER: Alice, GREETING: hello world, LEVELS: "1,2"}
  - name: second
    databases: {default: 3.csv, visits: visits.csv}
  - name: third
    databases: {default: 4.csv, visits: visits.csv, missing: missing.csv}
"""
TABLES = {
    "2.csv": f"name,age,sex\n{SECRET},71,f\nJohn,58,m\n",
    "3.csv": f"name,age,sex\n{SECRET},36,f\n",
    "4.csv": f"name,age,sex\n{SECRET},15,m\nTim,,m\n",
    "visits.csv": "patient,day\n1,3\n1,4\n2,5\n3,9\n",
}
"""The databases of the organizations 2, 3 and 4."""


class Way(NamedTuple):
    """A combination of a generation and a runner."""

    contract: str
    runner: Any

    @property
    def needs_engine(self) -> bool:
        return self.runner in ("container", "as-node")

    @property
    def needs_cluster(self) -> bool:
        return self.runner == "dask"


CONTRACTS = ("v3", "v4", "v5")
WAYS = [
    Way(contract, runner)
    for contract in CONTRACTS
    for runner in ("inline", "process", "container", "as-node", "dask")
    if (contract, runner) != ("v5", "as-node")  # v5's nodes do not start containers; a cluster does that
]


# The outcome of a call depends on the contract and on the runner, seldom on the pair. So each contract has all calls
# with the runner `inline`, and one contract has all calls in processes. Every other pair has these calls; they cover
# the exchange between a process or container and its node. All calls on all pairs would take ten minutes longer.
CALLS_OF_EVERY_PAIR = (
    "an rpc",
    "node variables and the run's own numbers",
    "log and progress",
    "an unknown method",
    "an author's error",
    "a master",
    "a folder that the runs of a job share",
    "a failed subtask",
)
ALL_CALLS = (Way("v4", "process"), Way("v4", "dask"))
"""The pairs with all calls, besides those with the runner ``inline``."""

CALLS_IN_CONTAINERS = (
    "the columns that are read",
    "a database by its path",
    "arguments of many types",
    "a folder of another job",
    "a cross table, for a researcher",
    "arguments of other types",
    "a result without a JSON form",
    "an exit",
    "values of many types between rpc and master",
    "results that are not used",
    "a failed subtask with a quorum",
)
"""Further calls of one contract in containers. The remaining ones end in code that a process runs in the same way."""

MOST_CALLS_IN_CONTAINERS = Way("v4", "container")
ONLY_CALLS = (
    Way("v3", "container"),
    Way("v4", "as-node"),
    Way("v5", "container"),
    Way("v3", "dask"),
    Way("v5", "dask"),
)
"""Pairs without the tests of ``test_runs``, which run with each contract and each runner of another pair."""

ON_OTHER_PAIRS = ("an unknown method", "a master", "a folder that the runs of a job share")
"""Calls that the pairs in ``ONLY_CALLS`` do not have, because other calls fail in the same way or have a master.

Every generation and every runner has another pair in which the runs of a job share a folder."""

ONLY_ON_V5 = "test_a_session_of_v5"
"""The test of ``test_runs`` about sessions, in which containers mount other files."""


def has_all_calls(way: Way) -> bool:
    return way.runner == "inline" or way in ALL_CALLS


def is_tested(way: Way, name: str) -> bool:
    has_call = way == MOST_CALLS_IN_CONTAINERS and name in CALLS_IN_CONTAINERS
    is_exchange = name in CALLS_OF_EVERY_PAIR and not (way in ONLY_CALLS and name in ON_OTHER_PAIRS)
    return has_call or has_all_calls(way) or is_exchange


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that add nothing to those of other pairs.

    Parameters of both, contract and call, would make a new federation for each call.
    """
    left_out = []
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if item.path.name == "test_runs.py" and params.get("way") in ONLY_CALLS and item.originalname != ONLY_ON_V5:
            left_out.append(item)
        # A master at each of three nodes: twelve containers for each pair.
        way = params.get("way", MOST_CALLS_IN_CONTAINERS)
        if item.path.name == "test_manual.py" and way.needs_engine and way != MOST_CALLS_IN_CONTAINERS:
            left_out.append(item)
        if {"way", "name"} <= {*params} and not is_tested(params["way"], params["name"]):
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def parameters(ways: list[Way]) -> list[Any]:
    """Return combinations as pytest's parameters, with a marker if they need a container engine or a cluster."""

    def list_marks(way: Way) -> list[pytest.MarkDecorator]:
        marks = ((pytest.mark.docker, way.needs_engine), (pytest.mark.cluster, way.needs_cluster))
        return [mark for mark, is_needed in marks if is_needed]

    return [pytest.param(way, id="-".join(way), marks=list_marks(way)) for way in ways]


@pytest.fixture(scope="session", params=parameters(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """Each combination, one after the other."""
    if request.param.needs_engine:
        request.getfixturevalue("engine")
    return request.param


@pytest.fixture(scope="session")
def federation_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of three organizations with two databases each."""
    folder = tmp_path_factory.mktemp("federation")
    for name, table in TABLES.items():
        (folder / name).write_text(table, encoding="utf-8")
    (folder / "federation.yaml").write_text(FEDERATION, encoding="utf-8")
    return folder / "federation.yaml"


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The scheduler file of a Dask cluster: a scheduler and two workers, each a process."""
    with start_dask(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster.file


@pytest.fixture(scope="session")
def way_options(way: Way, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of the federations of a combination."""
    options = {"scheduler": request.getfixturevalue("scheduler")} if way.needs_cluster else {}
    return {**way._asdict(), **options}


@pytest.fixture(scope="session")
def federation(way_options: dict[str, Any], federation_file: Path) -> Iterator[Federation]:
    """The federation that most tests of a combination share."""
    with Federation.from_file(federation_file, algorithm=CONFORMANCE, **way_options) as federation:
        yield federation


@pytest.fixture
def make(way_options: dict[str, Any], federation_file: Path) -> Iterator[Callable[..., Federation]]:
    """Make a federation with additional options; it is closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            Federation.from_file(federation_file, algorithm=CONFORMANCE, **way_options, **options)
        )
