"""For the tests of an algorithm: the pytest fixture ``federation``, which makes several nodes of what a test has.

    def test_average(federation: FederationFactory) -> None:
        nodes = federation([pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})])
        assert nodes.ask("master", column_name="age") == {"average": 60}

pytest loads this module by itself in every environment that has algotools, so it imports next to nothing until a test
uses the fixture. ``docs/testing.md`` tells authors all about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import pytest

if TYPE_CHECKING:
    from algotools.federation import Federation, RunnerName, What
    from algotools.federation.sources import Nodes

    Named = Union[int, str]
    """An organization, by its id or name."""

__all__ = ["FederationFactory", "federation"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command line's options: how federations run if a test does not say."""
    group = parser.getgroup("algotools", "algotools: federations")
    group.addoption(
        "--federation-runner",
        metavar="RUNNER",
        help="How the fixture `federation` runs functions: inline (default), process, container or as-node.",
    )
    group.addoption(
        "--federation-contract",
        metavar="CONTRACT",
        help="The generation of vantage6 that the fixture `federation` acts like: v3, v4 (default) or v5.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an option that cannot be right, once and at the beginning."""
    runner, contract = _option(config, "runner"), _option(config, "contract")
    if runner is None and contract is None:
        return
    from algotools.contract import NAMES
    from algotools.federation import RUNNERS

    for name, value, known in (("runner", runner, RUNNERS), ("contract", contract, NAMES)):
        if value is not None and value not in known:
            raise pytest.UsageError(f"--federation-{name}: there is no {name} {value!r}; there are {', '.join(known)}")


@pytest.fixture
def federation(request: pytest.FixtureRequest) -> Iterator[FederationFactory]:
    """Makes federations, of frames or files for each node; at the test's end they are closed."""
    with ExitStack() as made:
        yield FederationFactory(request, made)


class FederationFactory:
    """What the fixture ``federation`` gives a test; call it for a federation."""

    def __init__(self, request: pytest.FixtureRequest, made: ExitStack) -> None:
        self._test = request.path
        self._config = request.config
        self._made = made

    def __call__(
        self,
        nodes: str | Path | Nodes,
        /,
        *,
        algorithm: What | None = None,
        slow: Mapping[Named, float] | None = None,
        dead: Named | Iterable[Named] = (),
        wrong: Mapping[Named, Any] | None = None,
        runner: RunnerName | None = None,
        contract: str | None = None,
        timeout: float | None = None,
        memory: int | str | None = None,
    ) -> Federation:
        """A federation of the algorithm whose project the test belongs to.

        Organizations are numbered from 2, in order. Paths are relative to the project: the nearest folder above the
        test whose ``pyproject.toml`` names an algorithm.

        Args:
            nodes: what each node has, as ``algotools.Federation`` takes it; or the path of a ``federation.yaml``.
            algorithm: another than the project's: a folder, a module, an image, or decorated functions.
            slow: organization -> seconds by which its answers come later.
            dead: organizations whose nodes are offline.
            wrong: organization -> what it answers instead; a function of the true answer; or an exception.
            runner: ``inline``, ``process``, ``container`` or ``as-node``; by default as the command line says.
            contract: ``v3`` or ``v4``; by default as the command line says.
            timeout: seconds after which a run is ended and counts as failed.
            memory: what a run in a container may use.

        Raises:
            FederationError: the description cannot be right.
            AlgorithmNotFound: the test belongs to no project, and no algorithm is given.
        """
        project = self._project()
        options: dict[str, Any] = {
            "algorithm": project if algorithm is None else self._algorithm(algorithm, project),
            "runner": runner or _option(self._config, "runner") or "inline",
            "contract": contract or _option(self._config, "contract"),
            "timeout": timeout,
            "memory": memory,
            "faults": _faults(slow or {}, [dead] if isinstance(dead, (int, str)) else dead, wrong or {}),
        }
        return self._made.enter_context(self._make(nodes, project or self._config.rootpath, options))

    def _make(self, nodes: str | Path | Nodes, folder: Path, options: dict[str, Any]) -> Federation:
        from algotools.errors import AlgorithmNotFound, FederationError
        from algotools.federation import Federation

        if isinstance(nodes, (str, Path)):
            if Path(nodes).suffix not in (".yaml", ".yml"):
                raise FederationError(
                    f"{nodes} is no federation.yaml; of databases, give a list: federation([{str(nodes)!r}])"
                )
            return Federation.from_file(folder / nodes, **options)
        if options["algorithm"] is None:
            raise AlgorithmNotFound(
                f"no pyproject.toml above {self._test} names an algorithm under "
                '[project.entry-points."algotools.algorithms"]; give the federation its algorithm='
            )
        if isinstance(nodes, Mapping):
            return Federation({name: _located(node, folder) for name, node in nodes.items()}, **options)
        if isinstance(nodes, Sequence):
            return Federation([_located(node, folder) for node in nodes], **options)
        return Federation(nodes, **options)  # which says what is wrong with it

    def _project(self) -> Path | None:
        """The nearest folder above the test whose project is an algorithm."""
        from algotools.locate import GROUP, read_toml, table

        for folder in self._test.parents:
            file = folder / "pyproject.toml"
            if file.is_file() and GROUP in table(read_toml(file), "project", "entry-points"):
                return folder
        return None

    @staticmethod
    def _algorithm(what: What, project: Path | None) -> What:
        """What a test names; a folder is relative to the project, as all paths are."""
        within = project / what if project and isinstance(what, (str, Path)) else None
        return within if within and within.is_dir() else what


def _option(config: pytest.Config, name: str) -> str | None:
    value = config.getoption(f"federation_{name}")
    return None if value is None else str(value)


def _faults(slow: Mapping[Named, float], dead: Iterable[Named], wrong: Mapping[Named, Any]) -> dict[Named, list[Any]]:
    from algotools.federation.faults import Dead, Slow, Wrong

    found: dict[Named, list[Any]] = {}
    for organization, seconds in slow.items():
        found.setdefault(organization, []).append(Slow(seconds))
    for organization in dead:
        found.setdefault(organization, []).append(Dead())
    for organization, answer in wrong.items():
        found.setdefault(organization, []).append(Wrong(answer))
    return found


def _located(node: Any, folder: Path) -> Any:
    """What a node has, with its paths relative to a folder."""
    from algotools.federation.configuration import locate

    if isinstance(node, Mapping):
        return {label: _located(source, folder) for label, source in node.items()}
    return locate(str(node), folder) if isinstance(node, (str, Path)) else node
