"""Create the platform of a ``Federation``: check the options, and prepare data, algorithms and folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypedDict

from algotools.data import find_form
from algotools.data.reading import is_path
from algotools.declare import locate
from algotools.errors import FederationError
from algotools.federation._frames import has_frames, remove_frames
from algotools.federation._platform import LocalPlatform
from algotools.federation._recording import Recorder, Surroundings
from algotools.federation._store import Listen
from algotools.federation.algorithms import Algorithms, AlgorithmSource, RunnerName
from algotools.federation.configuration import TABLES, Configuration, Member, Nodes, add_types, read_nodes
from algotools.federation.faults import Fault, combine_faults
from algotools.federation.folders import Folders
from algotools.federation.history import TaskHistory, hash_secret, is_switched_off
from algotools.federation.policy import PolicySource, get_default_policy, load_policy
from algotools.federation.variables import Variables, add_variables


class FederationOptions(TypedDict, total=False):
    """The keywords of ``Federation``, for functions that pass them on."""

    algorithm: AlgorithmSource | None
    runner: RunnerName | Executor
    contract: str | None
    python: str | Path | None
    timeout: float | None
    memory: int | str | None
    confined: bool
    scheduler: str | Path | None
    address: str | None
    listen: Listen | None
    faults: Mapping[int | str, Fault | Iterable[Fault]] | None
    policy: PolicySource | None
    ledger: str | Path | None
    variables: Variables | None
    progress: bool | None
    history: str | Path | None


def create_platform(
    nodes: Configuration | Nodes,
    *,
    algorithm: AlgorithmSource | None,
    runner: RunnerName | Executor,
    contract: str | None,
    python: str | Path | None,
    timeout: float | None,
    memory: int | str | None,
    confined: bool,
    scheduler: str | Path | None,
    address: str | None,
    listen: Listen | None,
    faults: Mapping[int | str, Fault | Iterable[Fault]] | None,
    policy: PolicySource | None,
    ledger: str | Path | None,
    history: str | Path | None,
    variables: Variables | None,
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
        scheduler=scheduler,
        address=address,
    )
    if runner == "as-node" and algorithms.contract.has_sessions:
        raise FederationError(
            "runner as-node imitates the Docker nodes of v3 and v4; v5's nodes start images on a cluster, "
            "with the same files as runner container, so use runner container"
        )
    recorded = None if history is None or is_switched_off() else TaskHistory(history)
    call = None
    if recorded is not None:
        options = {
            "algorithm": algorithm,
            "runner": runner,
            "contract": contract,
            "python": python,
            "timeout": timeout,
            "memory": memory,
            "confined": confined,
            "scheduler": scheduler,
            "address": address,
            "policy": policy,
        }
        call = None if faults else describe_call(nodes, options)
    folders = Folders.make(in_memory=not algorithms.uses_containers)
    try:
        if not isinstance(nodes, Configuration):
            nodes = read_nodes(nodes, folders.base, as_csv=algorithms.needs_csv)
        described_members = nodes.members
        nodes = add_variables(nodes, variables or {})
        if call is not None:
            call["variables"] = find_changed_variables(described_members, nodes.members)
        algorithms.has_frames_in_memory = has_frames(folders.base)
        listen = listen or (lambda _run, _line: None)
        node_faults = combine_faults(faults or {}, nodes)
        faults_text = repr(sorted(node_faults.items()))
        surroundings = Surroundings(nodes, algorithms, node_policy, faults_text, folders.base, call)
        recorder = Recorder(recorded, surroundings)
        return LocalPlatform(
            add_types(nodes), algorithms, folders, timeout, listen, node_faults, node_policy, ledger, recorder
        )
    except BaseException:
        algorithms.close()
        remove_frames(folders.base)
        folders.remove()
        raise


def describe_call(nodes: Configuration | Nodes, options: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the options with which an equal federation can be made again, as plain data.

    None if that is impossible, because functions or tables are in the memory of this process.
    """
    source: dict[str, object]
    if isinstance(nodes, Configuration):
        if nodes.file is None:
            return None
        source = {"federation": str(nodes.file)}
    else:
        source = {"nodes": {}}
        for name, node in nodes.items() if isinstance(nodes, Mapping) else name_nodes(nodes):
            labels = node if isinstance(node, Mapping) else {"default": node}
            # A URI or a connection string can contain a password, which must not be in the history.
            if not all(isinstance(item, (str, Path)) and is_path(str(item)) for item in labels.values()):
                return None
            paths = {label: str(Path(str(item)).expanduser().absolute()) for label, item in labels.items()}
            source["nodes"] = {**source["nodes"], name: paths}  # type: ignore[dict-item]  # made above
    content: dict[str, Any] = {**source}
    for name, value in options.items():
        if isinstance(value, (str, Path)):
            path = Path(value).expanduser()
            names_path = name in ("algorithm", "python", "policy", "scheduler") and path.exists()
            content[name] = str(path.absolute()) if names_path else str(value)
        elif value is None or isinstance(value, (bool, int, float)):
            content[name] = value
        elif name == "policy" and isinstance(value, Mapping):
            content[name] = {str(key): item for key, item in value.items()}
        else:
            return None
    return content


def name_nodes(nodes: Sequence[Any]) -> Iterable[tuple[str, Any]]:
    """Return the nodes with the names that the organizations of a sequence get."""
    return ((f"organization_{position}", node) for position, node in enumerate(nodes, start=2))


def find_changed_variables(before: Sequence[Member], after: Sequence[Member]) -> dict[str, dict[str, Any]]:
    """Return organization -> the variables that its description does not have with these values; None: removed.

    A value can be a password, so the history has only its hash.
    """
    changed: dict[str, dict[str, Any]] = {}
    for old, new in zip(before, after, strict=True):
        names = sorted(n for n in {*old.variables, *new.variables} if old.variables.get(n) != new.variables.get(n))
        values = {n: {"hash": hash_secret(new.variables[n])} if n in new.variables else None for n in names}
        if values:
            changed[new.name] = values
    return changed
