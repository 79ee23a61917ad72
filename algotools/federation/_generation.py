"""Detect the platform generation that an algorithm is made for, and the tools that wrap it.

Algorithms made with algotools work with every generation. An algorithm made with vantage6's own tools works only with
the generation of these tools. Nothing declares that generation, so it is derived from evidence, in this order:

1. An image with algotools' labels is made with algotools.
2. Otherwise a probe (``_probe``) runs in the algorithm's interpreter, or in a container of its image. It reports the
   installed versions of the tools, and it parses the algorithm's source for imports and functions. The algorithm
   itself is never imported, because that could fail, take long or have side effects.
3. If the tools of only one generation are installed, they decide. If several are installed, for instance because one
   is a dependency, the imports of the module decide (``_evaluate``).
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import docker
import msgspec
from docker.models.containers import Container
from requests.exceptions import ConnectionError as EngineConnectionError
from requests.exceptions import ReadTimeout

from algotools.errors import AlgorithmNotFound, EngineError, FederationError
from algotools.federation import _probe
from algotools.federation._package import find_package, make_image_variables
from algotools.federation.runners.containers import PYTHONS, Containers, try_start
from algotools.image.engine import open_engine, translate_errors
from algotools.image.inspect import RunnableImage, read_runnable_image
from algotools.task import Role, Step

DEFAULT = "v4"
"""The generation for algorithms made with algotools, if the caller does not choose one."""

TIMEOUT = 60.0
"""Seconds that the probe may take."""

MEMORY = "512m"

CHOOSE_CONTRACT = "choose its generation with --contract, or contract= in Python"

SOURCE = Path(_probe.__file__).read_text(encoding="utf-8")


class Endpoint(NamedTuple):
    """The role and the step of a function that tasks can call."""

    role: Role | None
    """None if the function may have any role (v4)."""
    step: Step = "compute"


class Generation(NamedTuple):
    """The generation, tools and methods of an algorithm."""

    name: str
    """``v3``, ``v4`` or ``v5``."""
    uses_algotools: bool = True
    """Whether algotools wraps the algorithm; otherwise the tools of its generation wrap it."""
    functions: Mapping[str, Endpoint] = {}
    """The methods; empty if they are unknown."""
    words: frozenset[str] = frozenset("*")
    """The words in the source that may be a method; with ``*``, any other word may be one, too."""


class _Function(msgspec.Struct, rename={"source": "from"}):
    decorators: list[str] = []
    first: str | None = None
    method: str = ""
    """The method's name, if the decorator has an argument ``name``."""
    source: str = ""
    name: str = ""


class _ProbeOutput(msgspec.Struct):
    """The JSON object that ``_probe`` prints."""

    python: list[int]
    versions: dict[str, str]
    module: str
    module_exists: bool
    imports: list[str]
    functions: dict[str, _Function]
    algotools_modules: list[str]
    words: list[str] = []


def detect(source: str | Path, python: Path | None = None, chosen: str | None = None) -> Generation:
    """Detect the generation of an image, or of a package for another interpreter.

    Args:
        source: the name of an image; with ``python``, the name of a module or a folder.
        python: the interpreter.
        chosen: the generation that the caller chose. It replaces the detected generation.

    Raises:
        FederationError: the interpreter or image has no Python, or none of the tools.
        AlgorithmNotFound: the interpreter cannot find the module.
        ImageNotFound, EngineError: the image does not exist, or the engine cannot start a container.
    """
    if python is not None:
        package = find_package(source)
        variables = make_image_variables(python, package)
        return _detect_in_interpreter(str(python), package.module, variables, chosen)
    with open_engine() as client:
        image = read_runnable_image(client, str(source), lambda _line: None)
        return _detect_in_image(client, image, str(source), chosen)


def _detect_in_interpreter(python: str, module: str, environment: Mapping[str, str], chosen: str | None) -> Generation:
    """Detect the generation of a module in another interpreter."""
    output = _probe_interpreter([python, "-c", SOURCE, module], environment)
    if not output.module_exists:
        raise AlgorithmNotFound(
            f"{python} cannot find module {module!r}; install the algorithm for it, or name the algorithm's folder. "
            f"It has {_format_versions(output)}"
        )
    generation = _evaluate(output, f"{python} ({_format_versions(output)})", chosen)
    return generation._replace(words=frozenset(output.words or "*"))


def _detect_in_image(client: docker.DockerClient, image: RunnableImage, name: str, chosen: str | None) -> Generation:
    """Detect the generation of an image, by its labels or by the probe in a container without network."""
    if image.has_algotools_labels:
        roles = cast("Mapping[str, Role]", image.roles)
        return Generation(chosen or DEFAULT, functions={method: Endpoint(role) for method, role in roles.items()})
    try:
        with translate_errors(is_connected=True):
            output = _probe_image(client, image, name)
    except (FederationError, EngineError):
        if chosen is None:
            raise
        return Generation(chosen, uses_algotools=False)  # the caller's choice is enough to run it
    return _evaluate(output, f"image {name} ({_format_versions(output)})", chosen)


def _evaluate(output: _ProbeOutput, error_prefix: str, chosen: str | None) -> Generation:
    """Return the generation that the installed tools and the module's imports indicate.

    ``chosen`` is the caller's choice. An error message begins with ``error_prefix``.
    """
    versions = output.versions
    tools = versions.get("vantage6-algorithm-tools", "")
    client = versions.get("vantage6-client") or versions.get("vantage6", "")
    # That algotools is installed proves nothing, because an image may have it beside vantage6's tools. But tasks can
    # call only functions with our decorators, so an algorithm made with algotools imports it somewhere, or an entry
    # point of our group names the module.
    imports_algotools = "algotools" in {name.partition(".")[0] for name in output.imports}
    is_named = output.module in output.algotools_modules
    if "federated-algotools" in versions and (is_named or imports_algotools or not (tools or client)):
        return Generation(chosen or DEFAULT, functions=_find_algotools_functions(output))
    # Since v4 the tools have their own distribution, whose major version is the generation. The tools of v3 are the
    # module vantage6.tools in the distribution of the client. If both are installed, an algorithm that imports
    # vantage6.tools is made for v3.
    detected = {"4": "v4", "5": "v5"}.get(tools.partition(".")[0])
    if not tools or any(name.startswith("vantage6.tools") for name in output.imports):
        detected = "v3" if client.startswith("3.") else None
    name = chosen or detected
    if name is None:
        raise FederationError(
            f"{error_prefix}: neither algotools nor vantage6's tools of a known generation are installed "
            f"(vantage6-algorithm-tools 4 or 5, vantage6-client 3); {CHOOSE_CONTRACT}"
        )
    return Generation(name, uses_algotools=False, functions=_FIND_FUNCTIONS[name](output))


def _find_algotools_functions(output: _ProbeOutput) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for name, function in output.functions.items():
        method = function.method or name
        if "federated" in function.decorators:
            endpoints |= {method: Endpoint("master"), f"{name}_partial": Endpoint("rpc")}
        elif {"master", "rpc"} & set(function.decorators):
            endpoints[method] = Endpoint("master" if "master" in function.decorators else "rpc")
    return endpoints


def _find_v3_functions(output: _ProbeOutput) -> dict[str, Endpoint]:
    """Return v3's methods: ``RPC_x`` is the rpc ``x``; a function with the first argument ``client`` is a master."""
    rpcs = {name[4:]: Endpoint("rpc") for name in output.functions if name.startswith("RPC_")}
    masters = {name: Endpoint("master") for name, function in output.functions.items() if function.first == "client"}
    return {**rpcs, **masters}  # a master has priority over an rpc with the same name


def _find_v4_functions(output: _ProbeOutput) -> dict[str, Endpoint]:
    return {name: Endpoint(None) for name, function in output.functions.items() if not function.source}


_DECORATORS: dict[str, Endpoint] = {
    "central": Endpoint("master"),
    "federated": Endpoint("rpc"),
    "data_extraction": Endpoint("rpc", "data_extraction"),
    "omop_data_extraction": Endpoint("rpc", "data_extraction"),
    "preprocessing": Endpoint("rpc", "preprocessing"),
}
"""v5's decorators, and the role and step that they give a function."""

_LIBRARY_MODULES: dict[str, Endpoint] = {
    "vantage6.algorithm.data_extraction": _DECORATORS["data_extraction"],
    "vantage6.algorithm.preprocessing": _DECORATORS["preprocessing"],
}
"""v5's modules with complete functions. An algorithm offers such a function by importing it."""


def _find_v5_functions(output: _ProbeOutput) -> dict[str, Endpoint]:
    endpoints = {}
    for name, function in output.functions.items():
        modules = (module for module in _LIBRARY_MODULES if function.source.startswith(module))
        library = [_LIBRARY_MODULES[module] for module in modules]
        decorated = [_DECORATORS[decorator] for decorator in function.decorators if decorator in _DECORATORS]
        if library or decorated:
            endpoints[name] = (library + decorated)[0]
    return endpoints


_FIND_FUNCTIONS = {"v3": _find_v3_functions, "v4": _find_v4_functions, "v5": _find_v5_functions}


def _format_versions(output: _ProbeOutput) -> str:
    packages = [f"{name} {version}" for name, version in output.versions.items()]
    return ", ".join([f"Python {'.'.join(map(str, output.python))}", *packages])


def _probe_interpreter(command: list[str], environment: Mapping[str, str]) -> _ProbeOutput:
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
            env=dict(environment),
            cwd="/",
        )
    except OSError as error:
        raise FederationError(f"{command[0]} cannot be started ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise FederationError(f"{command[0]} did not report its packages within {TIMEOUT:g} s") from None
    return _parse_output(process.stdout, process.stderr, command[0])


def _probe_image(client: docker.DockerClient, image: RunnableImage, name: str) -> _ProbeOutput:
    containers = Containers(client)
    for python in PYTHONS:
        with _start_container(containers, image, [python, "-c", SOURCE, find_module(image)]) as container:
            if container is not None:
                _wait(container, name)
                return _parse_output(container.logs(stderr=False), container.logs(stdout=False), f"image {name}")
    raise FederationError(
        f"image {name} has no labels of algotools, and no Python that could report its packages; {CHOOSE_CONTRACT}"
    )


def _wait(container: Container, name: str) -> None:
    try:
        container.wait(timeout=TIMEOUT)
    except (ReadTimeout, EngineConnectionError) as error:
        if "timed out" not in str(error):
            raise
        raise EngineError(f"image {name} did not report its packages within {TIMEOUT:g} s; {CHOOSE_CONTRACT}") from None


@contextlib.contextmanager
def _start_container(containers: Containers, image: RunnableImage, command: list[str]) -> Iterator[Container | None]:
    """Start a container without network, rights or writable files; None if the image does not have the command."""
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
        yield container if try_start(container) else None


def _parse_output(stdout: bytes, stderr: bytes, error_prefix: str) -> _ProbeOutput:
    try:
        return msgspec.json.decode(stdout.strip().rpartition(b"\n")[2], type=_ProbeOutput)
    except msgspec.DecodeError:
        raise EngineError(
            f"{error_prefix}: its Python did not report its packages; {CHOOSE_CONTRACT}",
            detail=stderr.decode(errors="backslashreplace"),
        ) from None


def find_module(image: RunnableImage) -> str:
    """Return the module of an image: ``PKG_NAME``, or the wrapper's argument in the command; empty if unknown."""
    match = re.search(r"wrapper\(\s*['\"]([\w.\-]+)['\"]", " ".join(image.command))
    return image.variables.get("PKG_NAME") or (match[1] if match else "")
