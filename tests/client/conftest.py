"""A collaboration in memory, on a clock that jumps instead of waiting."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from algotools import AlgorithmClient, functions, report
from algotools.client import results
from algotools.client.connection import Item, RunState
from algotools.errors import ProxyError
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
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Name and description of what was created."""
    looks: list[float] = field(default_factory=list)
    """When each run was looked at."""
    questions: list[float] = field(default_factory=list)
    """When it was only asked whether anything goes on."""
    takes: list[float] = field(default_factory=list)
    """When results were fetched."""
    costs: float = 0.0
    """Seconds that the platform takes to tell of each run, or to give the results."""
    forgets: set[int] = field(default_factory=set)
    """Organizations for which there is no run, although one was asked for."""

    answer = Answer

    def client(self) -> AlgorithmClient:
        return AlgorithmClient(self, lambda method: {"count": ["column", "limit"]}[method])

    @property
    def identity(self) -> Identity:
        return Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="image")

    def organizations(self) -> dict[int, str]:
        return self.names

    def asked(self) -> list[int]:
        return self.own

    def create(
        self, method: str, arguments: Mapping[int, Mapping[str, object]], name: str = "", description: str = ""
    ) -> Item:
        sent = {organization: dict(own) for organization, own in arguments.items()}
        self.created.append((method, sent, self.clock.now))
        self.texts.append((name, description))
        return self.task(len(self.created))

    def _runs(self, task_id: int) -> Sequence[RunState]:
        _, arguments, began = self.created[task_id - 1]
        elapsed = self.clock.now - began
        return [
            self._state(organization, elapsed) for organization in sorted(arguments) if organization not in self.forgets
        ]

    def under_way(self, task_id: int) -> bool:
        """As v4 and v5 tell: a task counts as failed with its first run that fails."""
        self.questions.append(self.clock.now)
        runs = self._runs(task_id)
        failed = any(run.finished and run.status != "completed" for run in runs)
        return not failed and not all(run.finished for run in runs)

    def runs(self, task_id: int) -> Sequence[RunState]:
        self.looks.append(self.clock.now)
        self.clock.now += self.costs
        return self._runs(task_id)

    def databases(self) -> list[Item]:
        return [{"label": "default"}]

    def task(self, task_id: int) -> Item:
        if not 0 < task_id <= len(self.created):
            raise ProxyError(f"there is no task {task_id}")
        return {"id": task_id, "status": "pending"}

    def run(self, run_id: int) -> Item:
        return {"id": run_id, "status": "active"}

    def runs_of(self, task_id: int) -> list[Item]:
        return [
            {"id": run.run_id, "organization": {"id": run.organization_id}, "status": run.status}
            for run in self._runs(task_id)
        ]

    def members(self) -> list[Item]:
        return [{"id": id_, "name": name} for id_, name in self.names.items()]

    def collaboration(self) -> Item:
        return {"id": 4, "name": "collab"}

    def close(self) -> None:
        pass

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
        self.takes.append(self.clock.now)
        self.clock.now += self.costs
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
