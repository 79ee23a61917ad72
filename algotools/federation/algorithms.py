"""The algorithms of a federation: the algorithm for each image name, its platform generation, and its runner."""

from __future__ import annotations

import enum
import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args

from algotools.declare import locate
from algotools.declare.functions import Algorithm, RegisteredFunction, get_registered_functions
from algotools.errors import AlgorithmNotFound, AlgotoolsError, FederationError, ImageNotFound
from algotools.federation import contract as contracts
from algotools.federation.contract import NodeContract
from algotools.federation.engines.resolve import EngineSource, check_runner
from algotools.federation.runners import Runner
from algotools.image.names import parse_reference
from algotools.payload import has_arrays
from algotools.task import Role

if TYPE_CHECKING:
    from algotools.federation._generation import Generation
    from algotools.image.inspect import RunnableImage

RunnerName = Literal["inline", "process", "container", "as-node", "dask"]
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)

RunnerLabel = Union[RunnerName, Literal["executor"]]
"""The name of a runner in reports. An executor of the caller has no other name."""


class RunnerChoice(str, enum.Enum):
    """The runners on the command line; Python callers give a ``RunnerName``."""

    INLINE = "inline"
    PROCESS = "process"
    CONTAINER = "container"
    AS_NODE = "as-node"
    DASK = "dask"


IN_CONTAINERS = ("container", "as-node")
"""The runners that run images. From a folder they build an image first."""

AlgorithmSource = Union[str, Path, Iterable[Callable[..., object]]]
"""An algorithm: a folder, an entry point's name, a module, an image, or decorated functions."""


class Algorithms:
    """The algorithms of one federation, and their runners.

    Args:
        default: the algorithm that runs for every image name that is not in ``images``.
        images: name of an image -> the algorithm that runs for it.
        runner: the name of the runner for all algorithms, or the executor that runs rpcs.
        contract: the generation that the caller chose; None detects it.
        python: the interpreter in which the algorithms are installed, if it is not this interpreter.
        memory: the memory limit of a run, in bytes or as ``512m`` or ``4g``.
        confined: whether each run is in a sandbox (runner ``process``).
        scheduler: address or file of a Dask scheduler (runner ``dask``).
        address: the address on which this process listens for the workers of an engine.

    Raises:
        FederationError: the arguments are invalid or do not fit together.
        AlgorithmNotFound: the algorithm does not exist.
    """

    def __init__(
        self,
        default: AlgorithmSource | None,
        *,
        images: Mapping[str, str],
        runner: RunnerName | Executor,
        contract: str | None,
        python: str | Path | None,
        memory: int | str | None,
        confined: bool = False,
        scheduler: str | Path | None = None,
        address: str | None = None,
    ) -> None:
        check_runner(runner)
        if isinstance(runner, str) and runner not in RUNNERS:
            raise FederationError(f"unknown runner {runner!r} (choose from {', '.join(RUNNERS)} or an executor)")
        self._engine_source: EngineSource | None = None
        """Opens the engine of the federation; None for a runner without an engine."""
        self.runner_name: RunnerLabel = runner if isinstance(runner, str) else "executor"
        if isinstance(runner, Executor) or runner == "dask":
            self._engine_source = EngineSource(runner, scheduler, address)
        elif scheduler is not None or address is not None:
            option = "scheduler" if scheduler is not None else "address"
            raise FederationError(f"{option}= (--{option}) needs runner dask, not {runner}")
        if python is not None and runner != "process":
            raise FederationError(f"another interpreter (python=) needs runner process, not {self.runner_name}")
        self._memory = None if memory is None else _parse_memory(memory)
        self.has_frames_in_memory = False
        """Whether nodes' data are frames of this process."""
        if memory is not None and (runner in ("inline", "as-node") or python is not None):
            raise FederationError(
                "memory= needs runner process or container: inline runs share this process, and runner as-node and "
                "another interpreter (python=) have no memory limit"
            )
        if confined and (self.runner_name not in ("process", "executor", "dask") or python is not None):
            raise FederationError(
                "confined=True (--confined) needs runner process or dask without another interpreter; runner container "
                "is always confined, and the others never are"
            )
        self._confined = confined
        self._chosen_contract = contract
        self._python = None if python is None else Path(python).expanduser().absolute()
        self._images = images
        self._lock = threading.RLock()
        self._runners: dict[str, Runner] = {}
        self._generations: dict[str, Generation | None] = {}
        if default is not None and not callable(default) and not isinstance(default, (str, Path)):
            default = tuple(default)
        self.default = default
        self._functions = {part.method: part for function in _list_functions(default) for part in function.parts}
        latest = get_registered_functions(_NOTEBOOK)
        self._followed = {name for name, function in self._functions.items() if latest.get(name) is function}
        """The functions of a notebook or script that a later definition of the same function replaces."""
        self._default_generation = self._find_generation(default) if default is not None else None

    @property
    def contract(self) -> NodeContract:
        """The generation of the federation: the caller's choice, otherwise the default algorithm's, otherwise v4."""
        detected = self._default_generation.name if self._default_generation else "v4"
        return contracts.get_contract(self._chosen_contract or detected)

    @property
    def may_import(self) -> bool:
        """Whether this process may import the author's code: not if a sandbox confines it, unless it is imported."""
        return not self._confined or bool(self._functions)

    @property
    def python(self) -> Path | None:
        """The interpreter in which the algorithms are installed, if it is not this interpreter."""
        return self._python

    @property
    def images(self) -> Mapping[str, str]:
        """The algorithm for each image name."""
        return self._images

    @property
    def limits(self) -> tuple[str, int | None, bool]:
        """The name of the runner, the memory limit of a run, and whether each run is in a sandbox."""
        return self.runner_name, self._memory, self._confined

    @property
    def needs_csv(self) -> bool:
        """Whether frames must be CSV files, because the default algorithm is made with other tools."""
        return self._default_generation is not None and not self._default_generation.uses_algotools

    @property
    def uses_containers(self) -> bool:
        """Whether runs use the API from containers."""
        return self.runner_name in IN_CONTAINERS

    def find_runner(self, image: str, contract: NodeContract, api: Callable[[], Path]) -> Runner | None:
        """Return the runner for an image's name; None if no algorithm belongs to the name.

        The algorithm is the entry in ``images``, otherwise the default algorithm, otherwise the image itself.
        ``api`` returns the folder of the socket on which the federation's API listens.

        Raises:
            AlgotoolsError: the algorithm cannot run.
        """
        algorithm = self.find_source(image)
        if algorithm is None and self.uses_containers:
            algorithm = image
        if algorithm is None:
            return None
        key = algorithm if isinstance(algorithm, str) else ""
        with self._lock:
            if key not in self._runners:
                self._runners[key] = self._make_runner(algorithm, contract, api)
            return self._runners[key]

    def find_source(self, image: str) -> AlgorithmSource | None:
        """Return the algorithm for an image's name: the entry in ``images``, otherwise the default algorithm."""
        return self._images.get(image, self.default)

    def find_image(self, image: str) -> RunnableImage | None:
        """Return the image that runs for an image's name; None if runs are not in containers, or none has started."""
        source = self.find_source(image)
        key = image if source is None else source if isinstance(source, str) else ""
        return getattr(self._runners.get(key), "image", None)

    def find_foreign_roles(self) -> Mapping[str, Role] | None:
        """Return method -> role of an image or of a package for another interpreter; None for our own packages.

        Raises:
            AlgotoolsError: the image or the package cannot be read.
        """
        generation = None if self.default is None else self._find_generation(self.default)
        if generation is None:
            return None
        return {method: endpoint.role for method, endpoint in generation.functions.items() if endpoint.role}

    def check_definition(self, called: Callable[..., Any] | str) -> None:
        """Refuse a call of a function of a notebook that was defined, or defined again, after the federation was made.

        The federation would run the definition that it was made with. An algorithm in a folder or an image is not
        checked, because its functions are not the objects of this process.

        Raises:
            FederationError: the federation has another definition of the function, or does not have the function.
        """
        if not self._functions:
            return
        latest = get_registered_functions(_NOTEBOOK)
        method = called if isinstance(called, str) else str(getattr(called, "method", ""))
        definition = self._functions.get(method)
        if definition is None:
            if isinstance(called, RegisteredFunction) or method in latest:
                raise FederationError(
                    f"this federation does not have the function {method}; if the function was defined after the "
                    "federation was made, make the Federation again"
                )
            return  # the runs report an unknown name
        replaced: set[str] = set()
        followed = {method}
        if isinstance(called, RegisteredFunction):  # the caller may have stored the definition of the federation
            replaced |= {method} if called.__wrapped__ is not definition.__wrapped__ else set()
            followed.clear()
        if definition.role == "master" and len(definition.parts) == 1:  # it calls rpcs by their methods
            followed |= {name for name, function in self._functions.items() if function.role == "rpc"}
        followed &= self._followed
        replaced |= {name for name in followed if latest.get(name) is not self._functions[name]}
        if replaced:
            raise FederationError(
                f"{', '.join(sorted(replaced))} {'was' if len(replaced) == 1 else 'were'} defined again after this "
                "federation was made; make the Federation again"
            )

    def pack_arguments(self, method: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Return arguments with arrays encoded, if this process can load the algorithm and its method declares arrays.

        Otherwise the arguments are unchanged, and arrays are sent as lists.
        """
        algorithm = self._find_own() if has_arrays(arguments) else None
        function = None if algorithm is None else algorithm.functions.get(method)
        return arguments if function is None else function.specification.pack(arguments, method)

    def _find_own(self) -> Algorithm | None:
        """Return the default algorithm if it is made with algotools and this process can load it."""
        if self.default is None:
            return None
        try:
            return _load(self.default) if self._find_generation(self.default) is None else None
        except AlgotoolsError:  # the run reports the reason
            return None

    def prepare_runners(self) -> None:
        """Let the runners prepare for a run, when no run executes yet."""
        with self._lock:
            for runner in self._runners.values():
                runner.start()

    def release_runners(self) -> None:
        """Let the runners stop the threads and processes that only runs need, when no run executes any longer."""
        with self._lock:
            for runner in self._runners.values():
                runner.stop()

    def close(self) -> None:
        """Cancel everything that still runs."""
        for runner in list(self._runners.values()):
            runner.close()
        if self._engine_source is not None:
            self._engine_source.close()

    def _make_runner(self, source: AlgorithmSource, contract: NodeContract, api: Callable[[], Path]) -> Runner:
        must_detect = self._python is not None or self._chosen_contract is None
        generation = self._find_generation(source) if must_detect else None
        if generation is not None and generation.name != contract.name and not generation.uses_algotools:
            raise FederationError(
                f"{source} is made for {generation.name}, but this federation imitates {contract.name}; create it "
                f"with contract={generation.name!r} (--contract {generation.name})"
            )
        if self.uses_containers:
            from algotools.federation.runners.container import make_runner

            return make_runner(source, api(), as_node=self.runner_name == "as-node", memory=self._memory)
        if self._python is not None and generation is not None:
            from algotools.federation._package import find_package
            from algotools.federation.runners.foreign import ForeignRunner

            return ForeignRunner(self._python, find_package(str(source)), generation)
        algorithm = locate_algorithm(source)
        if self._engine_source is not None:
            from algotools.federation.engines.runner import EngineRunner

            engine = self._engine_source.open()
            return EngineRunner(algorithm, engine, memory=self._memory, confined=self._confined)
        if self.runner_name == "process":
            from algotools.federation.runners.process import ProcessRunner

            return ProcessRunner(
                algorithm, self._memory, holds_frames=self.has_frames_in_memory, confined=self._confined
            )
        from algotools.federation.runners.inline import InlineRunner

        if isinstance(algorithm, Algorithm):
            return InlineRunner(lambda: algorithm)
        return InlineRunner(functools.cache(lambda: locate.load(algorithm)))

    def _find_generation(self, source: AlgorithmSource) -> Generation | None:
        """Detect the generation of an image or of a package for another interpreter; None for our own packages.

        A package that this interpreter imports needs algotools, and so works with every generation.
        """
        if not isinstance(source, (str, Path)):
            if self._python is not None:
                raise FederationError("with python=, algorithm= must be the name of a module there, or a folder")
            return None
        if self._python is None and (not self.uses_containers or Path(source).is_dir()):
            return None
        if self._python is None and Path(source).suffix == ".py" and Path(source).is_file():
            raise FederationError(
                f"{source} is not in an image; runner {self.runner_name} needs a project (`algotools new`) or an "
                "image, so use runner process"
            )
        from algotools.federation import _generation

        with self._lock:
            if str(source) not in self._generations:
                self._generations[str(source)] = _generation.detect(source, self._python, self._chosen_contract)
            return self._generations[str(source)]


_NOTEBOOK = "__main__"
"""The module of a notebook's or script's own functions."""


def _list_functions(source: AlgorithmSource | None) -> list[RegisteredFunction]:
    """Return the decorated functions of an algorithm that was made from functions."""
    if source is None or isinstance(source, (str, Path)):
        return []
    return [item for item in ([source] if callable(source) else source) if isinstance(item, RegisteredFunction)]


def _load(source: AlgorithmSource) -> Algorithm:
    algorithm = locate_algorithm(source)
    return algorithm if isinstance(algorithm, Algorithm) else locate.load(algorithm)


def locate_algorithm(source: AlgorithmSource) -> locate.Location | Algorithm:
    """Find an algorithm that runs without a container.

    Raises:
        AlgorithmNotFound: no algorithm has this name.
        DeclarationError: a function is not decorated.
    """
    if callable(source):
        return Algorithm.from_functions([source])
    if not isinstance(source, (str, Path)):
        return Algorithm.from_functions(source)
    try:
        return locate.locate(source)
    except AlgorithmNotFound as error:
        if not _looks_like_image(str(source)) or Path(source).is_dir():
            raise
        hint = "to run an image, use runner='container' (--runner container)"
        raise AlgorithmNotFound(f"{error.message}; {hint}") from None


def _looks_like_image(name: str) -> bool:
    """Whether a name is valid for an image, and has a tag or a registry."""
    try:
        parse_reference(name)
    except ImageNotFound:
        return False
    return ":" in name or "/" in name


def _parse_memory(memory: int | str) -> int:
    """Return an amount of memory in bytes. The formats are those of Docker's command line."""
    from docker.errors import DockerException  # here, because few federations set a limit
    from docker.utils import parse_bytes

    try:
        size = int(parse_bytes(memory))
    except DockerException:
        size = 0
    if size <= 0:
        raise FederationError(f"{memory!r} is not an amount of memory; write 512m or 4g, or a number of bytes")
    return size
