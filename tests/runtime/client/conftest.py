"""A collaboration in memory, with a clock that jumps instead of waiting."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from algotools import AlgorithmClient
from algotools.declare import functions
from algotools.errors import ProxyError
from algotools.runtime import logs
from algotools.runtime.client import _results, _subtasks
from algotools.runtime.client.connection import Item, Progress, RunState
from algotools.task import Identity

FINISHED = ("completed", "failed", "crashed", "killed by user", "non-existing Docker image")


class ManualClock:
    """Replacement of the module ``time``: sleeping returns at once, and is recorded."""

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
    """The outcome of one organization's run, ``after`` seconds (None: never)."""

    result: object = None
    after: float | None = 0.0
    status: str = "completed"
    log: str = ""
    output: bytes | None = None
    offline: tuple[float, float] = (0.0, 0.0)
    """Start and end of the time in which the node is offline, in seconds."""

    def bytes(self) -> bytes:
        return json.dumps(self.result).encode() if self.output is None else self.output


@dataclass
class Nodes:
    """Implements ``Connection``."""

    clock: ManualClock
    names: dict[int, str]
    recipients: list[int]
    answers: dict[int, Answer] = field(default_factory=dict)
    created: list[tuple[str, dict[int, dict[str, object]], float]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    recipients_of_repetitions: list[tuple[int, ...]] = field(default_factory=list)
    repeated_tasks: list[int] = field(default_factory=list)
    """Name and description of each created task."""
    checks: list[float] = field(default_factory=list)
    """The times at which the state of each run was read."""
    status_polls: list[float] = field(default_factory=list)
    """The times at which only the status of a task was read."""
    fetches: list[float] = field(default_factory=list)
    """The times at which results were fetched."""
    counts: list[float] = field(default_factory=list)
    """The times at which the number of finished runs was read."""
    requests: int = 0
    """The number of all requests."""
    request_time: float = 0.0
    """Seconds that a request for the state of all runs, or for the results, takes."""
    latency: float = 0.0
    """Seconds that any request takes."""
    can_count: bool = True
    """Whether the platform has a request for the number of finished runs (v4, v5)."""
    without_run: set[int] = field(default_factory=set)
    """Organizations for which the platform has created no run."""
    may_lose_results: bool = False
    pending: set[int] = field(default_factory=set)
    """Organizations whose unfinished runs are pending instead of active."""
    durations: list[float] = field(default_factory=list)
    """The durations of runs of other masters."""
    repetitions: dict[int, Answer] = field(default_factory=dict)
    """The outcome of an organization's run in every task except the first one; default: as in the first task."""

    answer = Answer

    def client(self) -> AlgorithmClient:
        return AlgorithmClient(self, lambda method: {"count": ["column", "limit"]}[method])

    @property
    def identity(self) -> Identity:
        return Identity(task_id=1, node_id=2, organization_id=3, collaboration_id=4, image="image")

    def _count_request(self, seconds: float = 0.0) -> None:
        self.requests += 1
        self.clock.now += self.latency + seconds

    def list_organizations(self) -> dict[int, str]:
        self._count_request()
        return self.names

    def list_recipients(self) -> list[int]:
        self._count_request()
        return self.recipients

    def create_task(
        self,
        method: str,
        arguments: Mapping[int, Mapping[str, object]],
        name: str = "",
        description: str = "",
        *,
        recipients: Collection[int] | None = None,
        resend_of: int | None = None,
    ) -> Item:
        self._count_request()
        self.repeated_tasks += [] if resend_of is None else [resend_of]
        self.recipients_of_repetitions += [] if recipients is None else [tuple(recipients)]
        sent = {organization: dict(kwargs) for organization, kwargs in arguments.items()}
        self.created.append((method, sent, self.clock.now))
        self.texts.append((name, description))
        return self.read_task(len(self.created))

    def _runs(self, task_id: int) -> Sequence[RunState]:
        _, arguments, began = self.created[task_id - 1]
        elapsed = self.clock.now - began
        return [
            self._state(task_id, organization, elapsed)
            for organization in sorted(arguments)
            if organization not in self.without_run
        ]

    def read_progress(self, task_id: int) -> Progress:
        """Return the progress as v4 and v5: a task counts as failed after its first failed run."""
        self.status_polls.append(self.clock.now)
        runs = self._runs(task_id)
        self._count_request()
        if any(run.is_finished and run.status != "completed" for run in runs):
            return "unclear"
        return "completed" if all(run.is_finished for run in runs) else "active"

    def count_finished(self, task_id: int, run_count: int) -> int | None:
        if not self.can_count:
            return None
        self.counts.append(self.clock.now)
        runs = self._runs(task_id)
        assert run_count == len(runs)
        self._count_request()
        return sum(run.is_finished for run in runs)

    def read_run_states(self, task_id: int) -> Sequence[RunState]:
        self.checks.append(self.clock.now)
        runs = self._runs(task_id)
        self._count_request(self.request_time)
        return runs

    def read_durations(self, method: str) -> list[float]:
        self._count_request()
        return self.durations

    def list_databases(self) -> list[Item]:
        return [{"label": "default"}]

    def read_task(self, task_id: int) -> Item:
        if not 0 < task_id <= len(self.created):
            raise ProxyError(f"there is no task {task_id}")
        return {"id": task_id, "status": "pending"}

    def read_run(self, run_id: int) -> Item:
        return {"id": run_id, "status": "active"}

    def list_runs(self, task_id: int) -> list[Item]:
        return [
            {"id": run.run_id, "organization": {"id": run.organization_id}, "status": run.status}
            for run in self._runs(task_id)
        ]

    def list_members(self) -> list[Item]:
        return [{"id": id_, "name": name} for id_, name in self.names.items()]

    def read_collaboration(self) -> Item:
        return {"id": 4, "name": "collab"}

    def close(self) -> None:
        pass

    def _answer(self, task_id: int, organization: int) -> Answer:
        answer = self.answers.get(organization, Answer())
        return answer if task_id == 1 else self.repetitions.get(organization, answer)

    def _state(self, task_id: int, organization: int, elapsed: float) -> RunState:
        answer = self._answer(task_id, organization)
        finished = answer.after is not None and elapsed >= answer.after
        return RunState(
            run_id=organization * 100 + task_id,
            organization_id=organization,
            status=answer.status if finished else "pending" if organization in self.pending else "active",
            is_finished=finished,
            log=answer.log if finished else "",
            is_node_online=not answer.offline[0] <= elapsed < answer.offline[1],
            duration=answer.after if finished else None,
        )

    def read_outputs(self, task_id: int) -> Mapping[int, bytes]:
        self.fetches.append(self.clock.now)
        self._count_request(self.request_time)
        _, arguments, began = self.created[task_id - 1]
        elapsed = self.clock.now - began
        answers = {o: self._answer(task_id, o) for o in arguments}
        return {
            o * 100 + task_id: a.bytes()
            for o, a in answers.items()
            if a.status == "completed" and a.after is not None and elapsed >= a.after
        }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    clock = ManualClock()
    monkeypatch.setattr(_results, "time", clock)
    monkeypatch.setattr(_subtasks, "time", clock)
    return clock


@pytest.fixture
def nodes(clock: ManualClock) -> Nodes:
    """Four organizations; the master's own task was sent to three of them."""
    return Nodes(clock, {2: "alpha", 3: "beta", 5: "gamma", 7: "delta"}, [5, 2, 3])


@pytest.fixture
def client(nodes: Nodes) -> AlgorithmClient:
    return nodes.client()


@pytest.fixture
def collaboration(clock: ManualClock) -> Callable[[dict[int, str]], Nodes]:
    """Create a collaboration whose organizations all receive the task; all share a clock."""
    return lambda names: Nodes(clock, names, list(names))


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The lines of the run's log."""
    lines: list[str] = []
    with logs.use_console(lines.append):
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
    """Create the answer of an organization."""
    return Answer
