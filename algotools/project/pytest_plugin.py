"""The pytest fixture ``federation`` for tests of an algorithm: several nodes with the data of the test.

    def test_average(federation: FederationFactory) -> None:
        nodes = federation([pd.DataFrame({"age": [50, 60]}), pd.DataFrame({"age": [70]})])
        assert nodes.ask("master", column_name="age") == {"average": 60}

pytest loads this module in every environment with algotools, also in sessions without algorithms. So the rest of
algotools is imported only when a test uses the fixture. ``docs/testing.md`` is the page for authors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import pytest

if TYPE_CHECKING:
    from algotools.federation import AlgorithmSource, Federation, RunnerName
    from algotools.federation.configuration import Nodes
    from algotools.federation.policy import PolicySource
    from algotools.federation.variables import Variables

    OrganizationKey = Union[int, str]
    """The id or the name of an organization."""

__all__ = ["FederationFactory", "federation"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the default runner and contract of federations."""
    group = parser.getgroup("algotools", "algotools: federations")
    group.addoption(
        "--federation-runner",
        metavar="RUNNER",
        help="Runner of the fixture `federation`: inline (default), process, container, as-node or dask.",
    )
    group.addoption(
        "--federation-contract",
        metavar="CONTRACT",
        help="Generation of vantage6 that the fixture `federation` simulates: v3, v4 (default) or v5.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown runner or contract before the first test."""
    runner, contract = _get_option(config, "runner"), _get_option(config, "contract")
    if runner is None and contract is None:
        return
    from algotools.federation import RUNNERS
    from algotools.runtime.contract import NAMES

    for name, value, choices in (("runner", runner, RUNNERS), ("contract", contract, NAMES)):
        if value is not None and value not in choices:
            raise pytest.UsageError(f"--federation-{name}: unknown {name} {value!r} (choose from {', '.join(choices)})")


@pytest.fixture
def federation(request: pytest.FixtureRequest) -> Iterator[FederationFactory]:
    """Create federations from a frame or file for each node. They are closed at the end of the test."""
    with ExitStack() as exit_stack:
        yield FederationFactory(request, exit_stack)


class FederationFactory:
    """The value of the fixture ``federation``; a call creates a federation."""

    def __init__(self, request: pytest.FixtureRequest, exit_stack: ExitStack) -> None:
        self._test_path = request.path
        self._config = request.config
        self._exit_stack = exit_stack

    def __call__(
        self,
        nodes: str | Path | Nodes,
        /,
        *,
        algorithm: AlgorithmSource | None = None,
        slow: Mapping[OrganizationKey, float] | None = None,
        dead: OrganizationKey | Iterable[OrganizationKey] = (),
        wrong: Mapping[OrganizationKey, Any] | None = None,
        runner: RunnerName | None = None,
        contract: str | None = None,
        timeout: float | None = None,
        memory: int | str | None = None,
        policy: PolicySource | None = None,
        variables: Variables | None = None,
    ) -> Federation:
        """Create a federation that runs the algorithm of the project to which the test belongs.

        The project is the nearest folder above the test whose ``pyproject.toml`` names an algorithm. Paths are
        relative to the project. The ids of the organizations are 2, 3, …, in the order of the nodes.

        Args:
            nodes: the data of each node, as for ``algotools.Federation``, or the path of a ``federation.yaml``.
            algorithm: a folder, a module, an image, or decorated functions; default: the algorithm of the project.
            slow: organization -> the delay of its results in seconds.
            dead: organizations whose nodes are offline.
            wrong: organization -> its wrong result, a function of the correct result, or an exception.
            runner: ``inline``, ``process``, ``container``, ``as-node`` or ``dask``; default: ``--federation-runner``.
            contract: ``v3``, ``v4`` or ``v5``; default: ``--federation-contract``.
            timeout: seconds; a run that takes longer is cancelled and has failed.
            memory: the memory limit of a run in a container.
            policy: the policy of the nodes' owners: ``standard``, ``strict``, ``off``, a mapping of settings, or the
                path of a policy file; see ``algotools.Federation``.
            variables: the variables that the nodes' owners set for algorithms: variable -> value for all nodes, or
                organization -> the variables of its node; see ``algotools.Federation``.

        Raises:
            PolicyError: the policy is malformed.
            FederationError: the description of the federation is invalid.
            AlgorithmNotFound: the test is not in a project, and no algorithm is given.
        """
        project = self._find_project()
        options: dict[str, Any] = {
            "algorithm": project if algorithm is None else self._resolve_algorithm(algorithm, project),
            "runner": runner or _get_option(self._config, "runner") or "inline",
            "contract": contract or _get_option(self._config, "contract"),
            "timeout": timeout,
            "history": None,
            "memory": memory,
            "faults": _build_faults(slow or {}, [dead] if isinstance(dead, (int, str)) else dead, wrong or {}),
            "policy": _resolve_policy(policy, project or self._config.rootpath),
            "variables": variables,
        }
        return self._exit_stack.enter_context(self._open_federation(nodes, project or self._config.rootpath, options))

    def prove(self, function: Callable[..., Any], frame: Any, /, **arguments: Any) -> Any:
        """Check that a pooled function gives the same result for every split of its rows; see ``Federation.prove``.

        Without arguments, those in ``[tool.algotools.trial]`` of the project are used. ``variables=`` is an
        option.
        """
        from algotools.federation import Federation

        if not arguments.keys() - {"variables"}:
            arguments |= {"arguments": self._read_trial_arguments(function)}
        return Federation.prove(function, frame, **arguments)

    def _read_trial_arguments(self, function: Callable[..., Any]) -> Mapping[str, object]:
        from algotools.declare.federated import PooledFunction
        from algotools.project.trial import TrialTable

        project = self._find_project()
        if project is None or not isinstance(function, PooledFunction):
            return {}
        return TrialTable.read(project).find(function.partial) or {}

    def _open_federation(self, nodes: str | Path | Nodes, folder: Path, options: dict[str, Any]) -> Federation:
        from algotools.errors import AlgorithmNotFound, FederationError
        from algotools.federation import Federation

        if isinstance(nodes, (str, Path)):
            if Path(nodes).suffix not in (".yaml", ".yml"):
                raise FederationError(
                    f"{nodes} is not a federation.yaml; pass databases as a list: federation([{str(nodes)!r}])"
                )
            return Federation.from_file(folder / nodes, **options)
        if options["algorithm"] is None:
            raise AlgorithmNotFound(
                f"no pyproject.toml above {self._test_path} names an algorithm under "
                '[project.entry-points."algotools.algorithms"]; pass algorithm= to the federation'
            )
        if isinstance(nodes, Mapping):
            return Federation({name: _resolve_paths(node, folder) for name, node in nodes.items()}, **options)
        if isinstance(nodes, Sequence):
            return Federation([_resolve_paths(node, folder) for node in nodes], **options)
        return Federation(nodes, **options)  # it reports the error

    def _find_project(self) -> Path | None:
        """Return the nearest folder above the test whose ``pyproject.toml`` names an algorithm; None without one."""
        from algotools.declare.projects import find_project

        return find_project(self._test_path.parent)

    @staticmethod
    def _resolve_algorithm(algorithm: AlgorithmSource, project: Path | None) -> AlgorithmSource:
        """Return an algorithm; the path of a folder is relative to the project, like all paths."""
        folder = project / algorithm if project and isinstance(algorithm, (str, Path)) else None
        return folder if folder and folder.is_dir() else algorithm


def _get_option(config: pytest.Config, name: str) -> str | None:
    value = config.getoption(f"federation_{name}")
    return None if value is None else str(value)


def _build_faults(
    slow: Mapping[OrganizationKey, float], dead: Iterable[OrganizationKey], wrong: Mapping[OrganizationKey, Any]
) -> dict[OrganizationKey, list[Any]]:
    from algotools.federation.faults import Dead, Slow, Wrong

    faults: dict[OrganizationKey, list[Any]] = {}
    for organization, seconds in slow.items():
        faults.setdefault(organization, []).append(Slow(seconds))
    for organization in dead:
        faults.setdefault(organization, []).append(Dead())
    for organization, answer in wrong.items():
        faults.setdefault(organization, []).append(Wrong(answer))
    return faults


def _resolve_policy(policy: PolicySource | None, folder: Path) -> PolicySource | None:
    """Return a policy; the relative path of a file becomes a path below *folder*."""
    if isinstance(policy, (str, Path)) and (folder / policy).is_file():
        return folder / policy
    return policy


def _resolve_paths(node: Any, folder: Path) -> Any:
    """Return the data of a node; relative paths become paths below *folder*."""
    from algotools.federation.configuration import locate

    if isinstance(node, Mapping):
        return {label: _resolve_paths(source, folder) for label, source in node.items()}
    return locate(str(node), folder) if isinstance(node, (str, Path)) else node
