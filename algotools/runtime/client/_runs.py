"""The runs of a subtask, and their repetitions if a node has lost a result.

A node of v5 sends only the last result if several of its runs finish within the same second. The other runs keep the
status ``active`` for ever. The server does not report such a loss. So the client compares the time for which a run has
been active with the durations of comparable runs: those of the same subtask at other nodes, those of earlier subtasks
with the same method, and those of other masters of the same task. If a run takes several times as long, the client
sends the same request to its organization again, at most twice.

A run that was only slow may finish after it was repeated. The first finished run counts, and the other is ignored.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec

from algotools.runtime.client._polling import Pace
from algotools.runtime.client.connection import Connection, Progress, RunState

LOSS_TIME, LOSS_FACTOR = 10.0, 5.0
"""A run counts as lost if it has been active for 5 times the longest comparable duration, but not before 10 s."""

MOST_REPETITIONS = 2
"""Number of times that a request is sent again to one organization."""

Attempt = tuple[int, RunState]
"""A task's id, and the state of its run at one organization."""


class SubtaskRuns:
    """The runs of one subtask at its organizations.

    Args:
        connection: the connection to the node's proxy.
        task_id: the subtask.
        method: the method that the subtask runs; empty if unknown.
        names: id and name of each organization of the subtask.
        pace: counts the requests.
        durations: longest duration of a finished run by method, shared by all subtasks of the master.
        send_again: sends the request of an organization again, and returns the id of the new task; None if the request
            is unknown.
        log: writes a line to the master's log.
    """

    def __init__(
        self,
        connection: Connection,
        task_id: int,
        method: str,
        names: Mapping[int, str],
        pace: Pace,
        durations: dict[str, float],
        send_again: Callable[[int], int] | None,
        log: Callable[[str], object],
    ) -> None:
        self.task_id = task_id
        self.method = method
        self._connection = connection
        self._names = names
        self._pace = pace
        self._durations = durations
        self._send_again = send_again if connection.may_lose_results else None
        self._log = log
        self.lock = threading.RLock()
        """Held during a poll: an author may read results in several threads."""
        self._repetitions: dict[int, list[int]] = {}
        self._finished: dict[int, Attempt] = {}
        self._last_attempts: dict[int, Attempt] = {}
        """The first attempt of each organization, as read by the last full check."""
        self._active_since: dict[int, float] = {}
        self._next_comparison = -math.inf
        self.next_check = math.inf
        """Time at which the states should be read again, because a run may then count as lost."""

    def read_progress(self, now: float) -> Progress:
        """Return the progress of the subtask: ``unclear`` while a repetition is unfinished. The response is small."""
        if any(organization not in self._finished for organization in self._repetitions):
            return "unclear"
        self._pace.count_request(now)
        return self._connection.read_progress(self.task_id)

    def has_new_results(self, now: float) -> bool | None:
        """Return whether runs have finished since the last full check; None if only a full check shows it."""
        if any(organization not in self._finished for organization in self._repetitions):
            return None
        count = self._connection.count_finished(self.task_id, len(self._last_attempts))
        if count is None:
            return None
        self._pace.count_request(now)
        return count != len(self._finished)

    @property
    def needs_durations(self) -> bool:
        """Whether durations of runs are used, to find lost results."""
        return self._connection.may_lose_results

    def complete(self, seconds: float) -> dict[int, RunState] | None:
        """Return the states of all runs of a subtask that is completed, without a request.

        Args:
            seconds: the time since the subtask was sent, which is not less than the duration of any run.

        Returns:
            The state of the run at each organization; None if a full check is necessary.
        """
        if self._repetitions or self._last_attempts.keys() != self._names.keys():
            return None
        for organization, (task_id, run) in self._last_attempts.items():
            if organization not in self._finished:
                state = msgspec.structs.replace(run, status="completed", is_finished=True, duration=seconds)
                self._finish(organization, [(task_id, state)])
        return {organization: run for organization, (_, run) in self._finished.items()}

    def read_states(self, now: float) -> dict[int, RunState]:
        """Return the state of the run at each organization, and send the requests of lost runs again."""
        attempts = self._read_attempts(now)
        self._last_attempts = {organization: runs[0] for organization, runs in attempts.items()}
        for organization, runs in attempts.items():
            finished = [attempt for attempt in runs if attempt[1].is_finished]
            if organization not in self._finished and finished:
                self._finish(organization, finished)
        if self._send_again is not None:
            last = {o: runs[-1][1] for o, runs in attempts.items() if o not in self._finished}
            self._repeat_lost_runs(now, last, self._send_again)
        states = {organization: runs[0][1] for organization, runs in attempts.items()}
        return {**states, **{o: self._finished[o][1] for o in states if o in self._finished}}

    def read_outputs(self, now: float, organizations: Sequence[int]) -> dict[int, bytes]:
        """Return the outputs of completed runs by organization."""
        task_ids = dict.fromkeys(self._finished[organization][0] for organization in organizations)
        outputs = {}
        for task_id in task_ids:
            self._pace.count_request(now)
            outputs[task_id] = self._connection.read_outputs(task_id)
        chosen = {o: self._finished[o] for o in organizations}
        return {o: outputs[id_][run.run_id] for o, (id_, run) in chosen.items() if run.run_id in outputs[id_]}

    def _read_attempts(self, now: float) -> dict[int, list[Attempt]]:
        """Return the attempts of each organization that has a run: the first one, and its repetitions in order."""
        attempts: dict[int, list[Attempt]] = {}
        open_repetitions = (ids for o, ids in self._repetitions.items() if o not in self._finished)
        for task_id in (self.task_id, *(id_ for ids in open_repetitions for id_ in ids)):
            self._pace.count_request(now)
            for run in self._connection.read_run_states(task_id):
                attempts.setdefault(run.organization_id, []).append((task_id, run))
        return attempts

    def _finish(self, organization: int, finished: Sequence[Attempt]) -> None:
        """Choose one of an organization's finished attempts, for good: a completed one, otherwise the first."""
        task_id, run = next((attempt for attempt in finished if attempt[1].status == "completed"), finished[0])
        if run.status == "completed":
            run = msgspec.structs.replace(run, log="")
            if run.duration is not None:
                self._durations[self.method] = max(run.duration, self._durations.get(self.method, 0.0))
        self._finished[organization] = task_id, run
        if len(self._finished) == len(self._names):
            self._send_again = None  # the arguments, which may be large, are not required any more

    def _repeat_lost_runs(
        self, now: float, unfinished: Mapping[int, RunState], send_again: Callable[[int], int]
    ) -> None:
        """Send the request of each lost run again. *unfinished* has the state of each organization's last attempt."""
        suspects = {}
        self.next_check = math.inf
        for organization, run in unfinished.items():
            if run.status != "active" or not run.is_node_online:
                self._active_since.pop(organization, None)
            elif len(self._repetitions.get(organization, ())) < MOST_REPETITIONS:
                seconds = now - self._active_since.setdefault(organization, now)
                if seconds >= LOSS_TIME:
                    suspects[organization] = seconds
                else:
                    self.next_check = min(self.next_check, now + LOSS_TIME - seconds)
        if not suspects or (longest := self._find_longest_duration(now, max(suspects.values()))) is None:
            return
        # Masters at different nodes send at different times. Otherwise their runs could finish together once more.
        limit = max(LOSS_TIME, LOSS_FACTOR * longest) + self._connection.identity.node_id % 3
        for organization, seconds in suspects.items():
            if seconds < limit:
                self.next_check = min(self.next_check, now + limit - seconds)
            else:
                repetitions = self._repetitions.setdefault(organization, [])
                self._log(
                    f"the result of {self.method} at {self._names[organization]} (id {organization}) seems to be lost: "
                    f"its run has been active for {seconds:.0f} s, and comparable runs took {longest:.1f} s; "
                    f"sending it again ({len(repetitions) + 1} of {MOST_REPETITIONS})"
                )
                repetitions.append(send_again(organization))
                self._active_since.pop(organization, None)

    def _find_longest_duration(self, now: float, seconds: float) -> float | None:
        """Return the longest duration of comparable runs; None if no comparable run has finished.

        Runs of other masters are read more and more rarely, because the current run may just take hours: *seconds* is
        the time for which it has been active.
        """
        if self.method not in self._durations and now >= self._next_comparison:
            self._next_comparison = now + max(LOSS_TIME, seconds / 2)
            self._pace.count_request(now)
            if durations := self._connection.read_durations(self.method):
                self._durations[self.method] = max(durations)
        return self._durations.get(self.method)
