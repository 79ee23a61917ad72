"""One task, three ways to run it: the container's entry point by hand, and both runners of the federation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from algotools import Federation
from algotools.contract import Request, by_name
from algotools.federation import RunnerName
from algotools.task import Database

from ..conftest import ByHand, Ended, patients_in

Run = Callable[..., Ended]


class InFederation:
    """A federation of one node; its data is what the run by hand has, too."""

    def __init__(self, runner: RunnerName, contract: str, algorithm: Path, patients: Path) -> None:
        self._options = {"algorithm": algorithm, "runner": runner, "contract": contract}
        self._patients = patients
        self._open: dict[float | None, Federation] = {}

    def __call__(self, posted: bytes | Request, timeout: float | None = None, database: str = "default") -> Ended:
        if timeout not in self._open:
            self._open[timeout] = Federation([self._patients], timeout=timeout, **self._options)
        federation = self._open[timeout]
        task = federation.client().task.post([2], posted, [Database(database)])
        assert federation.wait(task.id, 60)
        (run,) = federation.task(task.id).runs
        failure = federation.failure(run)
        return Ended(failure.exit_code if failure else 0, "", run.log, run.output, run.detail)

    def close(self) -> None:
        for federation in self._open.values():
            federation.close()


@pytest.fixture(params=["by hand", "process", "inline"])
def way(request: pytest.FixtureRequest) -> str:
    """How the task is run."""
    return str(request.param)


@pytest.fixture(params=["v3", "v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every generation by hand, and every runner; which of them together, other rooms try."""
    dropped = [item for item in items if _params(item) in REDUNDANT]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


REDUNDANT = [("process", "v3"), ("inline", "v4"), ("inline", "v5")]


def _params(item: pytest.Item) -> tuple[object, object] | None:
    found = getattr(getattr(item, "callspec", None), "params", {})
    return (found["way"], found["contract"]) if {"way", "contract"} <= found.keys() else None


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., InFederation]]:
    """Federations that tests have in common, one for each runner and generation."""
    made: dict[tuple[str, str, Path], InFederation] = {}

    def get(way: Any, contract: str, algorithm: Path) -> InFederation:
        key = (way, contract, algorithm)
        if key not in made:
            made[key] = InFederation(way, contract, algorithm, patients_in(tmp_path_factory.mktemp("shared")))
        return made[key]

    yield get
    for federation in made.values():
        federation.close()


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    way: Any,
    contract: str,
    by_hand: ByHand,
    misbehaving: Path,
    patients: Path,
    tmp_path: Path,
    shared: Callable[..., InFederation],
) -> Iterator[Run]:
    """Runs a posted input against the misbehaving algorithm."""
    if way == "by hand":

        def start(posted: bytes | Request, timeout: float | None = None, database: str = "default") -> Ended:
            debug = tmp_path / "owner.log"
            variables = {"ALGOTOOLS_DEBUG": str(debug), **({"ALGOTOOLS_TIMEOUT": str(timeout)} if timeout else {})}
            # A node of v3 does not tell of labels that it does not know; of v5, it does not start such a task at all.
            requested = () if contract != "v4" and database != "default" else (database,)
            environment = by_hand.environment(misbehaving, posted, contract, requested, variables)
            ended = by_hand.run(environment)
            ended.detail = debug.read_text() if debug.exists() else ""
            return ended

        yield start
        return
    if "patients" not in inspect.signature(request.function).parameters:
        yield shared(way, contract, misbehaving)
        return
    federation = InFederation(way, contract, misbehaving, patients)  # for a test that changes the data
    yield federation
    federation.close()


@pytest.fixture
def call(run: Run, contract: str) -> Run:
    """Calls a method of the misbehaving algorithm."""

    def start(
        method: str, /, master: bool = False, timeout: float | None = None, database: str = "default", **kwargs: object
    ) -> Ended:
        request = by_name(contract).request({"method": method, "kwargs": kwargs, "master": master})
        return run(request, timeout=timeout, database=database)

    return start
