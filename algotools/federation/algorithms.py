"""The algorithms of a federation: which one an image's name stands for, what it speaks, and what runs it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Union, get_args

from algotools import contract as contracts
from algotools import locate
from algotools.contract import Contract
from algotools.errors import FederationError
from algotools.federation.runners import Runner
from algotools.functions import Algorithm

if TYPE_CHECKING:
    from algotools.federation.generation import Generation

RunnerName = Literal["inline", "process", "container", "as-node"]
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)

IN_CONTAINERS = ("container", "as-node")
"""The runners that run images; a folder is made into one first."""

What = Union[str, Path, Iterable[Callable[..., object]]]
"""An algorithm: a folder, an entry point's name, a module, an image, or decorated functions."""


class Algorithms:
    """Those of one federation.

    Args:
        own: the algorithm that tasks run, whatever image they name, unless ``images`` knows that.
        images: name of an image -> an algorithm.
        runner: the name of the runner for all of them.
        contract: the generation that somebody says they speak.
        python: the interpreter in which they are installed, if it is another than this one.
        memory: what a run may use, in bytes or as ``512m`` or ``4g``.

    Raises:
        FederationError: what is asked for cannot be right.
        AlgorithmNotFound: there is no such algorithm.
    """

    def __init__(
        self,
        own: What | None,
        *,
        images: Mapping[str, str],
        runner: RunnerName,
        contract: str | None,
        python: str | Path | None,
        memory: int | str | None,
    ) -> None:
        if runner not in RUNNERS:
            raise FederationError(f"there is no runner {runner!r}; there are {', '.join(RUNNERS)}")
        if python is not None and runner != "process":
            raise FederationError(f"an interpreter of its own (python=) is for runner process, not for {runner}")
        self._memory = None if memory is None else _bytes(memory)
        self.holds_frames = False
        """Whether nodes' data are frames of this process."""
        if memory is not None and (runner in ("inline", "as-node") or python is not None):
            raise FederationError(
                "memory= is for the runners process and container: runs inline share this process, and a real node "
                "(as-node) and an interpreter of its own set no limit"
            )
        self.runner_name = runner
        self._told = contract
        self._python = None if python is None else Path(python).expanduser().absolute()
        self._images = images
        self._lock = threading.RLock()
        self._runners: dict[str, Runner] = {}
        self._generations: dict[str, Generation | None] = {}
        if own is not None and not callable(own) and not isinstance(own, (str, Path)):
            own = tuple(own)
        self.own = own
        self._found = self._generation(own) if own is not None else None

    @property
    def contract(self) -> Contract:
        """The generation to act like: what somebody says, else what the algorithm speaks, else v4."""
        return contracts.by_name(self._told or (self._found.contract if self._found else "v4"))

    @property
    def plain_frames(self) -> bool:
        """Whether frames must be CSV, because other tools than ours read them."""
        return self._found is not None and not self._found.ours

    @property
    def in_containers(self) -> bool:
        """Whether runs speak to the API from containers."""
        return self.runner_name in IN_CONTAINERS

    def runner(self, image: str, contract: Contract, api: Callable[[], Path]) -> Runner | None:
        """What runs an image: the algorithm that it is the name of, else the federation's own, else itself.

        ``api`` gives the folder of the socket on which the federation's API listens.

        Raises:
            AlgotoolsError: whatever keeps it from running.
        """
        what = self._images.get(image, self.own)
        if what is None and self.in_containers:
            what = image
        if what is None:
            return None
        key = what if isinstance(what, str) else ""
        with self._lock:
            if key not in self._runners:
                self._runners[key] = self._make_runner(what, contract, api)
            return self._runners[key]

    def roles(self) -> Mapping[str, str]:
        """Method -> role of the federation's own algorithm.

        Raises:
            FederationError: it has none of its own.
            AlgotoolsError: whatever keeps it from being loaded.
        """
        what = self.own
        if what is None:
            raise FederationError("this federation has no algorithm of its own; give it one with algorithm=")
        if (found := self._generation(what)) is not None:
            return {method: endpoint.role for method, endpoint in found.functions.items() if endpoint.role}
        algorithm = _algorithm(what)
        loaded = algorithm if isinstance(algorithm, Algorithm) else locate.load(algorithm)
        return {method: function.role for method, function in loaded.functions.items()}

    def wake(self) -> None:
        """Something is about to run, and nothing runs yet."""
        with self._lock:
            for runner in self._runners.values():
                runner.wake()

    def rest(self) -> None:
        """Nothing runs."""
        with self._lock:
            for runner in self._runners.values():
                runner.rest()

    def close(self) -> None:
        """End whatever still runs."""
        for runner in list(self._runners.values()):
            runner.close()

    def _make_runner(self, what: What, contract: Contract, api: Callable[[], Path]) -> Runner:
        found = self._generation(what) if self._python is not None or self._told is None else None
        if found is not None and found.contract != contract.name and not found.ours:
            raise FederationError(
                f"{what} speaks {found.contract}, but this federation {contract.name}; give it "
                f"contract={found.contract!r} (--contract {found.contract})"
            )
        if self.in_containers:
            from algotools.federation.runners.images import make

            return make(what, api(), as_node=self.runner_name == "as-node", memory=self._memory)
        if self._python is not None and found is not None:
            from algotools.federation.package import package_of
            from algotools.federation.runners.foreign import ForeignRunner

            return ForeignRunner(self._python, package_of(str(what)), found)
        algorithm = _algorithm(what)
        if self.runner_name == "process":
            from algotools.federation.runners.process import ProcessRunner

            return ProcessRunner(algorithm, self._memory, holds_frames=self.holds_frames)
        from algotools.federation.runners.inline import InlineRunner

        if isinstance(algorithm, Algorithm):
            return InlineRunner(lambda: algorithm)
        return InlineRunner(functools.cache(lambda: locate.load(algorithm)))

    def _generation(self, what: What) -> Generation | None:
        """What was found out about an algorithm that is not imported here; None for one that is."""
        if not isinstance(what, (str, Path)):
            if self._python is not None:
                raise FederationError("with python=, the algorithm is the name of a module there, or a folder")
            return None
        if self._python is None and (not self.in_containers or Path(what).is_dir()):
            return None
        from algotools.federation import generation

        with self._lock:
            if str(what) not in self._generations:
                self._generations[str(what)] = generation.of(what, self._python, self._told)
            return self._generations[str(what)]


def _algorithm(what: What) -> locate.Place | Algorithm:
    if callable(what):
        return Algorithm.of([what])
    return locate.locate(what) if isinstance(what, (str, Path)) else Algorithm.of(what)


def _bytes(memory: int | str) -> int:
    """An amount of memory, as the engine's own command line takes it."""
    from docker.errors import DockerException  # here, because few federations set a limit
    from docker.utils import parse_bytes

    try:
        size = int(parse_bytes(memory))
    except DockerException:
        size = 0
    if size <= 0:
        raise FederationError(f"{memory!r} is no amount of memory; write 512m or 4g, or a number of bytes")
    return size
