"""Which generation an algorithm speaks, and whose tools wrap it: found out from its labels, or inside of it.

Algorithms made with algotools speak every generation. One made with vantage6's own tools speaks that of the tools,
and its own functions tell what they are for.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import docker
import msgspec
from docker.models.containers import Container
from requests.exceptions import ConnectionError as NoAnswer
from requests.exceptions import ReadTimeout

from algotools.errors import AlgorithmNotFound, EngineError, FederationError
from algotools.federation import probe
from algotools.federation.package import package_of
from algotools.federation.runners.containers import Containers
from algotools.federation.runners.foreign import image_variables
from algotools.federation.runners.relay import PYTHONS, starts
from algotools.image import local
from algotools.image.engine import engine, naming_trouble
from algotools.image.local import Image
from algotools.task import Role, Step

OWN = "v4"
"""What algorithms made with algotools, which speak every generation, are asked in if nobody says."""

LIMIT = 60.0
"""Seconds that an interpreter may take to tell what it has."""

MEMORY = "512m"

SAY_IT = "say which generation it speaks with --contract, or contract= in Python"

SOURCE = Path(probe.__file__).read_text(encoding="utf-8")


class Endpoint(NamedTuple):
    """What a function is for."""

    role: Role | None
    """None where every role may call it (v4)."""
    step: Step = "compute"


class Generation(NamedTuple):
    """What was found out about an algorithm."""

    contract: str
    ours: bool = True
    """Whether algotools wraps it; else the tools of its own generation do."""
    functions: Mapping[str, Endpoint] = {}
    """Its methods; none where it was not found out."""


class _Function(msgspec.Struct, rename={"source": "from"}):
    decorators: list[str] = []
    first: str | None = None
    source: str = ""
    name: str = ""


class _Told(msgspec.Struct):
    """What ``probe`` prints."""

    python: list[int]
    versions: dict[str, str]
    module: str
    found: bool
    imports: list[str]
    functions: dict[str, _Function]
    ours: list[str]


def of(what: str | Path, python: Path | None = None, contract: str | None = None) -> Generation:
    """What was found out about an algorithm: an image, or a package for an interpreter of its own.

    Args:
        what: an image's name; with ``python``, a module's or a folder.
        python: the interpreter.
        contract: what the user says of it, which is then believed.

    Raises:
        FederationError, AlgorithmNotFound, EngineError: it cannot be found out.
        ImageNotFound: there is no such image.
    """
    if python is not None:
        package = package_of(what)
        return of_interpreter(str(python), package.module, image_variables(python, package), contract)
    with engine() as client:
        return of_image(client, local.found(client, str(what), lambda _line: None), str(what), contract)


def of_interpreter(python: str, module: str, environment: Mapping[str, str], contract: str | None = None) -> Generation:
    """What an interpreter with packages of its own says of a module; ``contract`` is what the user says of it.

    Raises:
        FederationError: it cannot be started, or has none of the packages.
        AlgorithmNotFound: it has no such module.
    """
    told = _asked_here([python, "-c", SOURCE, module], environment)
    if not told.found:
        raise AlgorithmNotFound(
            f"{python} finds no module {module!r}; install the algorithm for it, or name the algorithm's folder. "
            f"It has {_has(told)}"
        )
    return _understood(told, f"{python} ({_has(told)})", contract)


def of_image(client: docker.DockerClient, image: Image, name: str, contract: str | None = None) -> Generation:
    """What an image says of itself: by its labels, else asked inside, in a container that can reach nothing.

    Where the user says the ``contract``, it need not be found out.

    Raises:
        FederationError: it has no Python, or none of the packages.
        EngineError: the engine cannot start it.
    """
    if image.ours:
        roles = cast("Mapping[str, Role]", image.roles)
        return Generation(contract or OWN, functions={method: Endpoint(role) for method, role in roles.items()})
    try:
        with naming_trouble(met=True):
            told = _asked_inside(client, image, name)
    except (FederationError, EngineError):
        if contract is None:
            raise
        return Generation(contract, ours=False)
    return _understood(told, f"image {name} ({_has(told)})", contract)


def _understood(told: _Told, where: str, contract: str | None) -> Generation:
    """What follows from what an interpreter has, and from what the module in it imports."""
    versions = told.versions
    tools = versions.get("vantage6-algorithm-tools", "")
    client = versions.get("vantage6-client") or versions.get("vantage6", "")
    # A function is one of ours only by our decorators, so a module that does not import us is not ours.
    imported = "algotools" in {name.partition(".")[0] for name in told.imports}
    if "federated-algotools" in versions and (told.module in told.ours or imported or not (tools or client)):
        return Generation(contract or OWN, functions=_ours(told))
    found = {"4": "v4", "5": "v5"}.get(tools.partition(".")[0])
    if not tools or any(name.startswith("vantage6.tools") for name in told.imports):
        found = "v3" if client.startswith("3.") else None
    if contract is None and found is None:
        raise FederationError(
            f"{where}: there are neither algotools nor vantage6's tools of a known generation "
            f"(vantage6-algorithm-tools 4 or 5, vantage6-client 3); {SAY_IT}"
        )
    return Generation(contract or str(found), ours=False, functions=_FUNCTIONS[contract or str(found)](told))


def _ours(told: _Told) -> dict[str, Endpoint]:
    return {
        name: Endpoint("master" if "master" in function.decorators else "rpc")
        for name, function in told.functions.items()
        if {"master", "rpc"} & set(function.decorators)
    }


def _v3(told: _Told) -> dict[str, Endpoint]:
    """``RPC_x`` is the rpc ``x``; what takes a client first is a master, also where both have one name."""
    rpcs = {name[4:]: Endpoint("rpc") for name in told.functions if name.startswith("RPC_")}
    masters = {name: Endpoint("master") for name, function in told.functions.items() if function.first == "client"}
    return {**rpcs, **masters}


def _v4(told: _Told) -> dict[str, Endpoint]:
    return {name: Endpoint(None) for name, function in told.functions.items() if not function.source}


_DECORATORS: dict[str, Endpoint] = {
    "central": Endpoint("master"),
    "federated": Endpoint("rpc"),
    "data_extraction": Endpoint("rpc", "data_extraction"),
    "omop_data_extraction": Endpoint("rpc", "data_extraction"),
    "preprocessing": Endpoint("rpc", "preprocessing"),
}
"""v5's decorators, and what they say that a function is for."""

_READY: dict[str, Endpoint] = {
    "vantage6.algorithm.data_extraction": _DECORATORS["data_extraction"],
    "vantage6.algorithm.preprocessing": _DECORATORS["preprocessing"],
}
"""v5's modules with functions that are ready to be offered by any algorithm."""


def _v5(told: _Told) -> dict[str, Endpoint]:
    found = {}
    for name, function in told.functions.items():
        ready = next((endpoint for module, endpoint in _READY.items() if function.source.startswith(module)), None)
        known = [_DECORATORS[decorator] for decorator in function.decorators if decorator in _DECORATORS]
        if ready or known:
            found[name] = ready or known[0]
    return found


_FUNCTIONS: dict[str, Callable[[_Told], dict[str, Endpoint]]] = {"v3": _v3, "v4": _v4, "v5": _v5}


def _has(told: _Told) -> str:
    packages = [f"{name} {version}" for name, version in told.versions.items()]
    return ", ".join([f"Python {'.'.join(map(str, told.python))}", *packages])


def _asked_here(command: list[str], environment: Mapping[str, str]) -> _Told:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=LIMIT,
            env=dict(environment),
            cwd="/",
        )
    except OSError as error:
        raise FederationError(f"{command[0]} cannot be started ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise FederationError(f"{command[0]} does not say within {LIMIT:g} s what it has") from None
    return _parsed(ended.stdout, ended.stderr, command[0])


def _asked_inside(client: docker.DockerClient, image: Image, name: str) -> _Told:
    containers = Containers(client)
    for python in PYTHONS:
        with _started(containers, image, [python, "-c", SOURCE, module_of(image)]) as container:
            if container is not None:
                _await(container, name)
                return _parsed(container.logs(stderr=False), container.logs(stdout=False), f"image {name}")
    raise FederationError(
        f"image {name} has no labels of algotools, and no Python that could be asked what it has; {SAY_IT}"
    )


def _await(container: Container, name: str) -> None:
    try:
        container.wait(timeout=LIMIT)
    except (ReadTimeout, NoAnswer) as error:
        if "timed out" not in str(error):
            raise
        raise EngineError(f"image {name} does not say within {LIMIT:g} s what it has; {SAY_IT}") from None


@contextlib.contextmanager
def _started(containers: Containers, image: Image, command: list[str]) -> Iterator[Container | None]:
    """A container that can reach nothing and change nothing; None if the image does not have what is to be started."""
    with containers.create(
        image.id,
        command,
        entrypoint=[],
        network_mode="none",
        read_only=True,
        user="65534:65534",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        pids_limit=64,
        mem_limit=MEMORY,
        memswap_limit=MEMORY,
    ) as container:
        yield container if starts(container) else None


def _parsed(stdout: bytes, stderr: bytes, where: str) -> _Told:
    try:
        return msgspec.json.decode(stdout.strip().rpartition(b"\n")[2], type=_Told)
    except msgspec.DecodeError:
        raise EngineError(
            f"{where}: its Python does not tell what it has; {SAY_IT}",
            detail=stderr.decode(errors="backslashreplace"),
        ) from None


def module_of(image: Image) -> str:
    """The module that an image wraps: ``PKG_NAME``, else what its command hands to a wrapper; empty if neither says."""
    called = re.search(r"wrapper\(\s*['\"]([\w.\-]+)['\"]", " ".join(image.command))
    return image.variables.get("PKG_NAME") or (called[1] if called else "")
