"""Run one task in three ways: the container's entry point by hand, and two runners of the federation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from algotools import Federation
from algotools.federation import RunnerName
from algotools.federation.contract import Request, get_contract
from algotools.task import Database

from ...conftest import CompletedRun, ManualNode, write_patients
from ...processes import LIMIT

Run = Callable[..., CompletedRun]


class InFederation:
    """Run tasks in a federation of one node, with the same data as a run by hand."""

    def __init__(self, runner: RunnerName, contract: str, algorithm: Path, patients: Path) -> None:
        self._options = {"algorithm": algorithm, "runner": runner, "contract": contract}
        self._patients = patients
        self._open: dict[float | None, Federation] = {}

    def __call__(
        self, posted: bytes | Request, timeout: float | None = None, database: str = "default"
    ) -> CompletedRun:
        if timeout not in self._open:
            self._open[timeout] = Federation([self._patients], timeout=timeout, **self._options)
        federation = self._open[timeout]
        task = federation.post([2], posted, [Database(database)])
        assert federation.wait(task.id, LIMIT)
        (run,) = federation.task(task.id).runs
        failure = federation.failure(run)
        return CompletedRun(failure.exit_code if failure else 0, "", run.log, run.output, run.detail)

    def close(self) -> None:
        for federation in self._open.values():
            federation.close()


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The way in which the task is run; default: by hand."""
    return str(getattr(request, "param", "by hand"))


@pytest.fixture
def contract(request: pytest.FixtureRequest) -> str:
    """The generation of the platform; default: v4."""
    return str(getattr(request, "param", "v4"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., InFederation]]:
    """Return a shared federation for a runner and a generation."""
    federations: dict[tuple[str, str, Path], InFederation] = {}

    def get(way: Any, contract: str, algorithm: Path) -> InFederation:
        key = (way, contract, algorithm)
        if key not in federations:
            federations[key] = InFederation(way, contract, algorithm, write_patients(tmp_path_factory.mktemp("shared")))
        return federations[key]

    yield get
    for federation in federations.values():
        federation.close()


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    way: Any,
    contract: str,
    by_hand: ManualNode,
    misbehaving: Path,
    patients: Path,
    tmp_path: Path,
    shared: Callable[..., InFederation],
) -> Iterator[Run]:
    """Run a posted input with the misbehaving algorithm."""
    if way == "by hand":

        def start(posted: bytes | Request, timeout: float | None = None, database: str = "default") -> CompletedRun:
            debug = tmp_path / "owner.log"
            variables = {"ALGOTOOLS_DEBUG": str(debug), **({"ALGOTOOLS_TIMEOUT": str(timeout)} if timeout else {})}
            # For an unknown label, a node of v3 sets no variable, and a node of v5 does not start the task.
            requested = () if contract != "v4" and database != "default" else (database,)
            environment = by_hand.environment(misbehaving, posted, contract, requested, variables)
            outcome = by_hand.run(environment)
            outcome.detail = debug.read_text() if debug.exists() else ""
            return outcome

        yield start
        return
    if "patients" not in inspect.signature(request.function).parameters:
        yield shared(way, contract, misbehaving)
        return
    federation = InFederation(way, contract, misbehaving, patients)  # not shared, because the test changes the data
    yield federation
    federation.close()


@pytest.fixture
def call(run: Run, contract: str) -> Run:
    """Call a method of the misbehaving algorithm."""

    def start(
        method: str, /, master: bool = False, timeout: float | None = None, database: str = "default", **kwargs: object
    ) -> CompletedRun:
        request = get_contract(contract).make_request({"method": method, "kwargs": kwargs, "master": master})
        return run(request, timeout=timeout, database=database)

    return start
