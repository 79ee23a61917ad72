"""A collaboration in memory, on a clock that jumps instead of waiting."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from algotools import AlgorithmClient, functions, report
from algotools.client import results
from algotools.client.connection import RunState
from algotools.task import Identity

FINISHED = ("completed", "failed", "crashed", "killed by user", "non-existing Docker image")


class Clock:
    """Stands in for the module ``time``: sleeping takes no time, and is counted."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += max(seconds, 1e-6)


@dataclass
class Answer:
    """What becomes of the run of one organization, and when (seconds after it was sent; None: never)."""

    result: object = None
    after: float | None = 0.0
    status: str = "completed"
    log: str = ""
    output: bytes | None = None
    offline: tuple[float, float] = (0.0, 0.0)
    """From when to when its node is offline."""

    def bytes(self) -> bytes:
        return json.dumps(self.result).encode() if self.output is None else self.output


@dataclass
class Nodes:
    """Implements ``Connection``."""

    clock: Clock
    names: dict[int, str]
    own: list[int]
    answers: dict[int, Answer] = field(default_factory=dict)
    created: list[tuple[str, dict[int, dict[str, object]], float]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    forgets: set[int] = field(default_factory=set)
    """Organizations for which there is no run, although one was asked for."""

    answer = Answer

    def client(self) -> AlgorithmClient:
        return AlgorithmClient(self)

    @property
    def identity(self) -> Identity:
        return Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="image")

    def organizations(self) -> dict[int, str]:
        return self.names

    def asked(self) -> list[int]:
        return self.own

    def create(self, method: str, arguments: Mapping[int, Mapping[str, object]]) -> int:
        sent = {organization: dict(own) for organization, own in arguments.items()}
        self.created.append((method, sent, self.clock.now))
        return len(self.created)

    def runs(self, task_id: int) -> Sequence[RunState]:
        self.looks.append(self.clock.now)
        _, arguments, began = self.created[task_id - 1]
        elapsed = self.clock.now - began
        return [
            self._state(organization, elapsed) for organization in sorted(arguments) if organization not in self.forgets
        ]

    def _state(self, organization: int, elapsed: float) -> RunState:
        answer = self.answers.get(organization, Answer())
        ended = answer.after is not None and elapsed >= answer.after
        return RunState(
            run_id=organization * 100,
            organization_id=organization,
            status=answer.status if ended else "active",
            finished=ended,
            log=answer.log if ended else "",
            node_online=not answer.offline[0] <= elapsed < answer.offline[1],
        )

    def results(self, task_id: int) -> Mapping[int, bytes]:
        _, arguments, began = self.created[task_id - 1]
        elapsed = self.clock.now - began
        answers = {o: self.answers.get(o, Answer()) for o in arguments}
        return {
            o * 100: a.bytes()
            for o, a in answers.items()
            if a.status == "completed" and a.after is not None and elapsed >= a.after
        }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(results, "time", clock)
    return clock


@pytest.fixture
def nodes(clock: Clock) -> Nodes:
    """Four organizations; the master's own task was sent to three of them."""
    return Nodes(clock, {2: "alpha", 3: "beta", 5: "gamma", 7: "delta"}, [5, 2, 3])


@pytest.fixture
def client(nodes: Nodes) -> AlgorithmClient:
    return nodes.client()


@pytest.fixture
def collaboration(clock: Clock) -> Callable[[dict[int, str]], Nodes]:
    """Makes a collaboration whose organizations are all asked; all share a clock."""
    return lambda names: Nodes(clock, names, list(names))


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines that everybody may read."""
    lines: list[str] = []
    with report.to(lines.append):
        yield lines


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    """An empty registry."""
    registry = dict(functions._registry)
    functions._registry.clear()
    yield
    functions._registry.clear()
    functions._registry.update(registry)


@pytest.fixture
def answer() -> type[Answer]:
    """Makes the answer of an organization."""
    return Answer
