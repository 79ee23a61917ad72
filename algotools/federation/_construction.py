"""Create the platform of a ``Federation``: check the options, and prepare data, algorithms and folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from algotools.data import find_form
from algotools.declare import locate
from algotools.errors import FederationError
from algotools.federation._frames import has_frames, remove_frames
from algotools.federation._platform import LocalPlatform
from algotools.federation._store import Listen
from algotools.federation.algorithms import Algorithms, AlgorithmSource, RunnerName
from algotools.federation.configuration import TABLES, Configuration, Nodes, add_types, read_nodes
from algotools.federation.faults import Fault, combine_faults
from algotools.federation.folders import Folders
from algotools.federation.policy import PolicySource, get_default_policy, load_policy


class FederationOptions(TypedDict, total=False):
    """The keywords of ``Federation``, for functions that pass them on."""

    algorithm: AlgorithmSource | None
    runner: RunnerName
    contract: str | None
    python: str | Path | None
    timeout: float | None
    memory: int | str | None
    confined: bool
    listen: Listen | None
    faults: Mapping[int | str, Fault | Iterable[Fault]] | None
    policy: PolicySource | None
    ledger: str | Path | None
    progress: bool | None


def create_platform(
    nodes: Configuration | Nodes,
    *,
    algorithm: AlgorithmSource | None,
    runner: RunnerName,
    contract: str | None,
    python: str | Path | None,
    timeout: float | None,
    memory: int | str | None,
    confined: bool,
    listen: Listen | None,
    faults: Mapping[int | str, Fault | Iterable[Fault]] | None,
    policy: PolicySource | None,
    ledger: str | Path | None,
) -> LocalPlatform:
    """Return the platform of a federation; ``Federation`` describes the arguments and the errors."""
    if timeout is not None and not timeout > 0:
        raise FederationError("the time limit must be a positive number of seconds")
    if not TABLES.isdisjoint(map(find_form, type(nodes).__mro__)):
        raise FederationError("nodes must be a list, even for one node: Federation([frame], …)")
    if isinstance(nodes, (str, Path)):
        raise FederationError("nodes must be a list: Federation([path], …); for a file use Federation.from_file(…)")
    if not isinstance(nodes, Configuration) and not nodes:
        raise FederationError("a federation needs at least one node")
    described = nodes.policy if isinstance(nodes, Configuration) else None
    node_policy = load_policy(policy) if policy is not None else described or get_default_policy()
    if algorithm is None and not isinstance(nodes, Configuration):
        algorithm = locate.load_notebook().functions.values()
    algorithms = Algorithms(
        algorithm,
        images=nodes.images if isinstance(nodes, Configuration) else {},
        runner=runner,
        contract=contract,
        python=python,
        memory=memory,
        confined=confined,
    )
    if runner == "as-node" and algorithms.contract.has_sessions:
        raise FederationError(
            "runner as-node imitates the Docker nodes of v3 and v4; v5's nodes start images on a cluster, "
            "with the same files as runner container, so use runner container"
        )
    folders = Folders.make(in_memory=not algorithms.uses_containers)
    try:
        if not isinstance(nodes, Configuration):
            nodes = read_nodes(nodes, folders.base, as_csv=algorithms.needs_csv)
        algorithms.has_frames_in_memory = has_frames(folders.base)
        listen = listen or (lambda _run, _line: None)
        node_faults = combine_faults(faults or {}, nodes)
        return LocalPlatform(add_types(nodes), algorithms, folders, timeout, listen, node_faults, node_policy, ledger)
    except BaseException:
        algorithms.close()
        remove_frames(folders.base)
        folders.remove()
        raise
