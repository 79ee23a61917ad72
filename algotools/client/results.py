"""The answers of a subtask, as they come in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from algotools.client.connection import Connection, RunState
from algotools.errors import PartialFailure
from algotools.payload import RICH, decode_rich
from algotools.report import log, read_failure

FIRST_PAUSE, LONGEST_PAUSE, SHARE = 0.02, 15.0, 0.1
"""Seconds between two looks: a share of the time waited so far, so that quick answers come at once and slow
ones are not hammered for."""

BETWEEN_QUESTIONS = 3.0
"""How many times as long as a question took we leave the platform alone before the next, if that is longer: with a
thousand nodes' inputs and logs, an answer is large."""

THOROUGH_EVERY = 60.0
"""Seconds for which it may do to ask whether anything goes on at all, before each run is looked at again."""

OFFLINE_LIMIT = 15 * 60.0
"""Seconds after which a run whose node stays offline counts as dead."""

UNTOLD = "its log does not say why"

LONGEST_WAIT = 7 * 24 * 3600.0
"""Seconds for which we wait at all if the author names no limit: long past work of hours."""


class Results(Sequence[Any]):
    """The results of a subtask, in the order of the organizations.

    Looking at them waits for them. A run that fails raises ``PartialFailure``, unless a quorum allows for
    it; then the results are those of the runs that succeeded, and ``failures`` tells of the others.
    """

    def __init__(
        self,
        connection: Connection,
        task_id: int,
        organizations: Mapping[int, str],
        *,
        timeout: float | None = None,
        quorum: int | None = None,
        interval: float | None = None,
        looked: Callable[[int], object] = lambda _task_id: None,
    ) -> None:
        self._connection = connection
        self._task_id = task_id
        self._names = organizations
        self._quorum = quorum
        self._timeout = timeout
        self._longest_pause = LONGEST_PAUSE if interval is None else max(FIRST_PAUSE, interval)
        self._looked = looked
        self._began = time.monotonic()
        self._deadline = self._began + (LONGEST_WAIT if timeout is None else timeout)
        self._offline_since: dict[int, float] = {}
        self._again_at = self._thorough_from = -math.inf
        self._values: dict[int, Any] = {}
        self._failures: dict[int, str] = {}
        self._told = False

    @property
    def failures(self) -> Mapping[int, str]:
        """Organization -> why its run failed. Waits for all runs, and does not raise."""
        self._finish()
        return dict(self._failures)

    def as_completed(self) -> Iterator[tuple[int, Any]]:
        """Organization and result of each run that succeeds, as they come in.

        Raises:
            PartialFailure: at the end, if runs failed and no quorum allows for it.
        """
        given: set[int] = set()
        while True:
            for organization in list(self._values):
                if organization not in given:
                    given.add(organization)
                    yield organization, self._values[organization]
            if not self._waiting():
                break
            self._look(eager=True)
        self._judge()

    def _all(self) -> list[Any]:
        self._finish()
        self._judge()
        return [self._values[organization] for organization in self._names if organization in self._values]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all())

    def __repr__(self) -> str:
        counts = f"{len(self._values)} of {len(self._names)} in, {len(self._failures)} failed"
        return f"<results of task {self._task_id}: {counts}>"

    def _waiting(self) -> list[int]:
        return [o for o in self._names if o not in self._values and o not in self._failures]

    def _finish(self) -> None:
        while self._waiting():
            self._look(eager=False)

    def _look(self, *, eager: bool) -> None:
        """Wait a while, if we have looked just before; ask how the runs are doing; take results.

        The platform gives the results of a task all at once. So they are fetched once, when the last run has
        ended, unless the author is ``eager`` for each as it comes.
        """
        self._looked(self._task_id)
        now = time.monotonic()
        if (pause := min(self._again_at, self._deadline) - now) > 0:
            time.sleep(pause)
            now = time.monotonic()
        if eager or now >= min(self._thorough_from, self._deadline) or not self._connection.under_way(self._task_id):
            self._look_at_each(now, eager=eager)
        answered = time.monotonic()
        pause = min(max(FIRST_PAUSE, SHARE * (now - self._began)), self._longest_pause)
        self._again_at = answered + max(pause, BETWEEN_QUESTIONS * (answered - now))

    def _look_at_each(self, now: float, *, eager: bool) -> None:
        waiting = self._waiting()
        runs = {run.organization_id: run for run in self._connection.runs(self._task_id)}
        done = {o: runs[o] for o in waiting if o in runs and runs[o].finished}
        offline = False
        for organization in waiting:
            if organization not in done:
                run = runs.get(organization)
                offline = offline or (run is not None and not run.node_online)
                if why := self._dead(organization, run, now):
                    self._failures[organization] = why
        self._thorough_from = now + (0.0 if offline else THOROUGH_EVERY)
        if done and (eager or len(done) == len(self._waiting())):
            self._take(list(done.values()))

    def _take(self, done: Sequence[RunState]) -> None:
        completed = [run for run in done if run.status == "completed"]
        outputs = self._connection.results(self._task_id) if completed else {}
        for run in done:
            if run.status != "completed":
                failure = read_failure(run.log)
                reason = f"{failure.message} [exit code {failure.exit_code}]" if failure else run.hint or UNTOLD
                self._failures[run.organization_id] = f"{run.status}: {reason}"
            elif output := outputs.get(run.run_id):
                try:
                    self._values[run.organization_id] = _decode(output)
                except Exception as error:  # whatever another node sent
                    self._failures[run.organization_id] = (
                        f"completed, but its result cannot be read ({type(error).__name__})"
                    )
            else:
                self._failures[run.organization_id] = "completed, but without a result"

    def _dead(self, organization: int, run: RunState | None, now: float) -> str | None:
        """Why it is no use to wait for a run any longer; None if it is."""
        status = run.status if run else "no run"
        if now >= self._deadline:
            limit = LONGEST_WAIT if self._timeout is None else self._timeout
            offline = "" if run is None or run.node_online else "; its node is offline"
            return f"no answer within {limit:g} s (status: {status}{offline})"
        if run is None or run.node_online:
            self._offline_since.pop(organization, None)
        elif now - self._offline_since.setdefault(organization, now) >= OFFLINE_LIMIT:
            return f"its node has been offline for {OFFLINE_LIMIT / 60:g} minutes (status: {status})"
        return None

    def _judge(self) -> None:
        if not self._failures:
            return
        by_reason: dict[str, list[str]] = {}
        for organization, name in self._names.items():
            if organization in self._failures:
                by_reason.setdefault(self._failures[organization], []).append(f"{name} (id {organization})")
        told = "; ".join(f"{', '.join(failed)}: {reason}" for reason, failed in by_reason.items())
        message = f"{len(self._failures)} of {len(self._names)} organizations failed: {told}"
        if len(self._values) < (math.inf if self._quorum is None else self._quorum):
            wanted = "" if self._quorum is None else f" (quorum: {self._quorum})"
            raise PartialFailure(message + wanted)
        if not self._told:
            self._told = True
            log(message)


def _decode(output: bytes) -> Any:
    """What the other node's function returned; plain JSON where it speaks nothing richer."""
    if output.startswith(RICH):
        return decode_rich(output)
    import json

    return json.loads(output)
