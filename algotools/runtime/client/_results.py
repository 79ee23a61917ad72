"""Results of a subtask, fetched while its runs finish.

How a master waits: the node's proxy cannot notify a master, so the client polls; see ``_polling`` for the times.

* A full check reads the state of each run. The response also contains the input of each run: with an array of 1e7
  numbers as an argument, 142 MB for each organization. No generation has a request for the states alone.
* The servers 4.15.2 and 5.0.3 read the inputs from their database for any request about a task. With such arguments
  for three organizations, they took 4 s for the progress, 2 to 7 s for the number of finished runs, and 19 to 29 s for
  the states.
* So most polls only read the progress of the task, which is a few hundred bytes. Full checks follow at growing
  intervals, up to a minute. They find nodes that are offline, and results that a node has lost.
* Without a quorum, the first failed run decides. v3, v4 and v5 count a task as failed after its first failed run, while
  other runs go on. The progress is then unclear, so the poll becomes a full check.
* If all runs are completed, the outputs are fetched without another full check. v5 is an exception: the durations of
  its runs show later whether a result is lost.
* The progress does not show how many runs are completed. So with a quorum, every poll is a full check.
* A full check that takes a quarter of a second counts as slow. Slow checks take at most 5 % of the time, and they are
  left out whenever a smaller response shows that no run has finished: with a quorum, the number of finished runs
  (v4, v5).
* A slow answer means a busy platform. So the pause is at least three times the duration of the last poll.
* Outputs are fetched once, after the last run has finished, because the platform sends those of all runs together. An
  author who iterates with ``as_completed`` wants each result early, which is then handled as a quorum is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

from algotools.errors import PartialFailure
from algotools.payload import WithheldCells
from algotools.runtime.client._limits import Limits
from algotools.runtime.client._outputs import decode_output, describe_withheld
from algotools.runtime.client._polling import Pace
from algotools.runtime.client._runs import SubtaskRuns
from algotools.runtime.client.connection import RunState
from algotools.runtime.logs import format_count, read_failure

PAUSE_PER_REQUEST_TIME = 3.0
"""Lower limit of the pause between two polls, as a multiple of the time that the last poll took."""

SLOW_CHECK, PAUSE_PER_SLOW_CHECK = 0.25, 20.0
"""Seconds of a slow full check; seconds to the next full check, as a multiple of the duration of a slow one."""

FIRST_FULL_CHECK, FULL_CHECK_SHARE, FULL_CHECK_INTERVAL = 3.0, 0.5, 60.0
"""Seconds between two full checks: half of the time waited so far, 3 to 60 s."""

OFFLINE_CHECK_INTERVAL = 10.0
"""Longest time between two full checks while a node is offline, in seconds."""

OFFLINE_REMINDER = 30.0
"""Seconds after which the log names an offline node again."""

OFFLINE_LIMIT = 15 * 60.0
"""Seconds after which a run counts as failed if its node stays offline."""

SHORTEST_COLLECTION, COLLECTION_SHARE, LONGEST_COLLECTION = 0.2, 0.5, 1.0
"""Seconds after the first failure in which other failures are collected: half of the time so far, 0.2 to 1 s.

A mistake in the task fails at every node, but not in the same instant. The message then shows all of them.
"""

MOST_NAMES = 10
"""Number of unfinished organizations that a message names."""

REASON_UNKNOWN = "its log contains no reason"


class Results(Sequence[Any]):
    """The results of a subtask, in the order of the organizations.

    The sequence is lazy: reading it waits for the runs. As soon as a run fails, reading raises ``PartialFailure``,
    unless a quorum of runs can still succeed. With a quorum, the sequence contains the results of the successful runs,
    and ``failures`` the reasons of the others.
    """

    def __init__(
        self,
        runs: SubtaskRuns,
        organizations: Mapping[int, str],
        limits: Limits,
        pace: Pace,
        *,
        on_read: Callable[[int], object],
        log: Callable[[str], object],
    ) -> None:
        self._runs = runs
        self._names = organizations
        self._limits = limits
        self._pace = pace
        self._on_read = on_read
        self._log = log
        self._start = time.monotonic()
        self._deadline = self._start + limits.seconds
        self._grace_end = self._collection_end = math.inf
        self._offline_since: dict[int, float] = {}
        self._reminded: set[int] = set()
        self._next_poll = self._start + pace.choose_first_period(self._start)
        self._next_full_check = self._next_slow_check = self._next_count = -math.inf
        self._check_time = self._response_time = 0.0
        self._completed: set[int] = set()
        self._values: dict[int, Any] = {}
        self._failures: dict[int, str] = {}
        self._withheld: dict[int, WithheldCells] = {}
        self._is_settled = False
        self._failures_logged = self._withheld_logged = False

    @property
    def failures(self) -> Mapping[int, str]:
        """Organization id -> reason of its failure. Reading waits for the runs and never raises ``PartialFailure``.

        After ``PartialFailure`` was raised, reading does not wait: the mapping contains the failures known then.
        """
        self._on_read(self._runs.task_id)
        while self._list_pending() and not self._is_settled:
            self._poll()
        return dict(self._failures)

    @property
    def withheld(self) -> Mapping[int, int]:
        """Organization id -> number of cells that its node has withheld, because they have few records.

        A withheld cell is None or NaN, or is rounded. Reading waits for the runs, as ``failures`` does.
        """
        _ = self.failures
        return {organization: withheld.cells for organization, withheld in self._withheld.items()}

    def as_completed(self) -> Iterator[tuple[int, Any]]:
        """Yield organization id and result of each successful run, in the order in which the runs finish.

        Raises:
            PartialFailure: a run failed, and the quorum cannot be reached.
        """
        self._on_read(self._runs.task_id)
        yielded: set[int] = set()
        while True:
            for organization in list(self._values):
                if organization not in yielded:
                    yielded.add(organization)
                    yield organization, self._values[organization]
            if self._is_decided():
                break
            self._poll(eager=True)
        self._conclude()

    def awaits(self, organizations: Collection[int]) -> bool:
        """Return whether reading waits for a run at these organizations, according to the last poll."""
        return not self._is_decided() and any(
            o in organizations for o in self._list_pending() if o not in self._completed
        )

    def check_all(self) -> None:
        """Poll once, and notice every run that has finished."""
        self._poll(needs_each=True)

    @property
    def organizations(self) -> list[int]:
        """The id of the organization of each result, in the order of the results; waits and raises as reading does."""
        return list(self._collect_all())

    def items(self) -> list[tuple[int, Any]]:
        """Return the organization id and the value of each result; waits and raises as reading does."""
        return list(self._collect_all().items())

    def _collect_all(self) -> dict[int, Any]:
        """Wait for the runs, and return organization id -> result of each successful run."""
        self._on_read(self._runs.task_id)
        while not self._is_decided():
            self._poll()
        self._conclude()
        return {
            organization: self._values[organization] for organization in self._names if organization in self._values
        }

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return list(self._collect_all().values())[index]

    def __len__(self) -> int:
        return len(self._collect_all())

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._collect_all().values()))

    def __repr__(self) -> str:
        counts = f"{len(self._values)} of {len(self._names)} in, {len(self._failures)} failed"
        return f"<results of task {self._runs.task_id}: {counts}>"

    def _list_pending(self) -> list[int]:
        """Return the organizations that have neither a result nor a failure."""
        return [o for o in self._names if o not in self._values and o not in self._failures]

    def _is_decided(self) -> bool:
        """Return whether reading can return or raise: all runs have finished, or too many have failed."""
        return self._is_settled or not self._list_pending() or time.monotonic() >= self._collection_end

    def _poll(self, *, eager: bool = False, needs_each: bool = False) -> None:
        """Pause until the next poll is due, then check the task, and fetch results if there are any.

        Args:
            eager: fetch each result as soon as its run has finished, instead of all results at the end.
            needs_each: notice each run as soon as it has finished, but fetch all results at the end.
        """
        with self._runs.lock:
            if not self._list_pending():  # another thread has read the last result meanwhile
                return
            now = time.monotonic()
            poll_time = min(self._next_poll, self._deadline, self._grace_end)
            if self._collection_end > now:  # otherwise the author reads `failures`, which waits for more
                poll_time = min(poll_time, self._collection_end)
            if (pause := poll_time - now) > 0:
                time.sleep(pause)
                now = time.monotonic()
            needs_each = needs_each or eager or (self._limits.quorum is not None and not self._limits.wait_for_all)
            states = self._read_changes(now, needs_each=needs_each)
            if states is not None:
                self._handle_states(now, states, eager=eager)
            end = time.monotonic()
            if self._check_time < SLOW_CHECK:
                self._response_time = end - now
            elif states is not None:
                self._next_count = end + PAUSE_PER_REQUEST_TIME * (end - now)
            limit, response_time = self._limits.interval, self._response_time
            period = self._pace.choose_period(now, self._start, self._runs.method, limit, response_time)
            self._next_poll = max(now + period, end + PAUSE_PER_REQUEST_TIME * response_time)

    def _read_changes(self, now: float, *, needs_each: bool) -> Mapping[int, RunState] | None:
        """Return the state of the run at each organization; None if nothing has to be done yet.

        Slow full checks do not delay the polls with small responses, but full checks because of such a response.
        """
        is_due = now >= max(min(self._next_full_check, self._runs.next_check), self._next_slow_check)
        if is_due or now >= min(self._deadline, self._grace_end):
            return self._read_states(now)
        is_slow = self._check_time >= SLOW_CHECK
        if is_slow and (needs_each or self._failures) and now >= self._next_count:
            has_news = self._runs.has_new_results(now)
            self._response_time = time.monotonic() - now
            return None if has_news is False else self._read_states(now)
        if is_slow or not needs_each:
            progress = self._runs.read_progress(now)
            self._response_time = time.monotonic() - now
            if progress == "active" or (is_slow and self._failures and progress == "unclear"):
                return None
            if progress == "completed" and (is_slow or not self._runs.needs_durations):
                states = self._runs.complete(now - self._start)
                if states is not None:
                    return states
        return self._read_states(now)

    def _read_states(self, now: float) -> Mapping[int, RunState]:
        """Read the state of each run: a full check."""
        start = time.monotonic()
        states = self._runs.read_states(now)
        end = time.monotonic()
        self._check_time = end - start
        self._next_slow_check = end + PAUSE_PER_SLOW_CHECK * self._check_time if self._check_time >= SLOW_CHECK else now
        return states

    def _handle_states(self, now: float, runs: Mapping[int, RunState], *, eager: bool) -> None:
        """Record finished and failed runs, give up on lost runs, and fetch the results that are due."""
        unfinished: dict[int, RunState | None] = {}
        for organization in self._list_pending():
            run = runs.get(organization)
            if run is None or not run.is_finished:
                unfinished[organization] = run
            elif run.status == "completed":
                self._completed.add(organization)
            else:
                failure = read_failure(run.log)
                reason = f"{failure.message} [exit code {failure.exit_code}]" if failure else run.hint or REASON_UNKNOWN
                self._failures[organization] = f"{run.status}: {reason}"
        self._note_offline_nodes(now, unfinished)
        for organization, run in list(unfinished.items()):
            if loss := self._explain_loss(organization, run, now):
                self._failures[organization] = loss
                del unfinished[organization]
        # The progress does not show whether nodes are online. So while a node is offline, full checks are frequent.
        # Otherwise a node that was back for less than a minute would still count as offline for all of OFFLINE_LIMIT.
        longest = OFFLINE_CHECK_INTERVAL if self._offline_since else FULL_CHECK_INTERVAL
        self._next_full_check = now + min(max(FIRST_FULL_CHECK, FULL_CHECK_SHARE * (now - self._start)), longest)
        quorum = math.inf if self._limits.wait_for_all or self._limits.quorum is None else self._limits.quorum
        ready = [organization for organization in self._names if organization in self._completed]
        if ready and (eager or not unfinished or len(ready) + len(self._values) >= quorum):
            self._fetch(now, ready)
        if unfinished and len(self._values) >= quorum:
            self._apply_grace(now, unfinished)
        required = len(self._names) if self._limits.quorum is None else self._limits.quorum
        if len(self._names) - len(self._failures) < required and not self._limits.wait_for_all:
            collection = max(SHORTEST_COLLECTION, COLLECTION_SHARE * (now - self._start))
            self._collection_end = min(self._collection_end, now + min(collection, LONGEST_COLLECTION))
        if not self._list_pending():
            self._pace.record_wait(self._runs.method, now - self._start)

    def _fetch(self, now: float, organizations: Sequence[int]) -> None:
        """Fetch the outputs of completed runs, and record the result of each."""
        outputs = self._runs.read_outputs(now, organizations)
        for organization in organizations:
            self._completed.discard(organization)
            if output := outputs.get(organization):
                try:
                    withheld, self._values[organization] = decode_output(output)
                    if withheld:
                        self._withheld[organization] = withheld
                except Exception as error:  # another node may send any bytes
                    self._failures[organization] = f"completed, but its result cannot be read ({type(error).__name__})"
            else:
                self._failures[organization] = "completed, but without a result"

    def _apply_grace(self, now: float, unfinished: Mapping[int, RunState | None]) -> None:
        """Wait for unfinished runs until the grace after a reached quorum is over; then count them as failed."""
        grace = self._limits.choose_grace(now - self._start)
        if self._grace_end == math.inf:
            self._grace_end = now + grace
            if grace > 0:
                self._log(f"the quorum is reached; waiting at most {grace:g} s more for {self._join(unfinished)}")
        if now < self._grace_end:
            return
        for organization, run in unfinished.items():
            self._failures[organization] = f"no result when the quorum was reached (status: {_describe(run)})"
        self._log(f"the quorum is reached. {self._explain_continuing(unfinished)}")

    def _note_offline_nodes(self, now: float, unfinished: Mapping[int, RunState | None]) -> None:
        """Log the organizations whose node is offline: at once, again after 30 s, and when the node is back."""
        offline = [o for o, run in unfinished.items() if run is not None and not run.is_node_online]
        for organization in [o for o in self._offline_since if o not in offline]:
            del self._offline_since[organization]
            self._reminded.discard(organization)
            if organization in unfinished:
                self._log(f"the node of {self._join([organization])} is online again")
        new = [o for o in offline if o not in self._offline_since]
        self._offline_since |= dict.fromkeys(new, now)
        again = [o for o in offline if now - self._offline_since[o] >= OFFLINE_REMINDER and o not in self._reminded]
        self._reminded |= set(again)
        limit = f"a run counts as failed after {OFFLINE_LIMIT / 60:g} minutes without its node"
        if new:
            self._log(f"waiting for nodes that are offline: {self._join(new)}; {limit}")
        if again:
            self._log(f"still waiting for nodes that are offline: {self._join(again)}; {limit}")

    def _explain_loss(self, organization: int, run: RunState | None, now: float) -> str | None:
        """Return the reason for giving up on an unfinished run; None to keep waiting."""
        if now >= self._deadline:
            return f"no result within {self._limits.seconds:g} s (status: {_describe(run)})"
        if now - self._offline_since.get(organization, now) >= OFFLINE_LIMIT:
            status = run.status if run else "no run"
            return f"its node has been offline for {OFFLINE_LIMIT / 60:g} minutes (status: {status})"
        return None

    def _conclude(self) -> None:
        """Log how many cells are withheld, and check the failures."""
        if self._withheld and not self._withheld_logged:
            self._withheld_logged = True
            self._log(describe_withheld(self._withheld.values()))
        self._check_failures()

    def _check_failures(self) -> None:
        """Raise ``PartialFailure`` for failed runs; if a quorum succeeded, log them once instead."""
        if not self._failures:
            return
        by_reason: dict[str, list[int]] = {}
        for organization in self._names:
            if organization in self._failures:
                by_reason.setdefault(self._failures[organization], []).append(organization)
        reasons = "; ".join(f"{self._join(failed, math.inf)}: {reason}" for reason, failed in by_reason.items())
        total = format_count(len(self._names), "organization")
        message = f"{len(self._failures)} of {total} failed: {reasons}"
        if len(self._values) < (math.inf if self._limits.quorum is None else self._limits.quorum):
            unfinished = [o for o in self._list_pending() if o not in self._completed]
            if unfinished and not self._is_settled:
                self._log(f"a run has failed. {self._explain_continuing(unfinished)}")
            self._is_settled = True
            unfinished_text = f"; not finished: {self._join(unfinished)}" if unfinished else ""
            quorum = "" if self._limits.quorum is None else f" (quorum: {self._limits.quorum})"
            raise PartialFailure(message + unfinished_text + quorum)
        if not self._failures_logged:
            self._failures_logged = True
            self._log(message)

    def _explain_continuing(self, unfinished: Iterable[int]) -> str:
        return f"The runs at {self._join(unfinished)} continue at their nodes, because a master cannot stop them"

    def _join(self, organizations: Iterable[int], most: float = MOST_NAMES) -> str:
        """Return the names and ids of organizations, for a message."""
        texts = [f"{self._names[organization]} (id {organization})" for organization in organizations]
        if len(texts) <= most:
            return ", ".join(texts)
        return f"{', '.join(texts[: int(most)])} and {len(texts) - int(most)} more"


def _describe(run: RunState | None) -> str:
    """Return the status of an unfinished run, for a message."""
    if run is None:
        return "no run"
    return run.status if run.is_node_online else f"{run.status}; its node is offline"
