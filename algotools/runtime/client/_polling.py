"""The time between two polls of a master, which cannot be notified and therefore polls its node's proxy.

Polling must be quick for a task of milliseconds on a laptop, and rare for hundreds of masters on one server:

* A result is noticed at most 1 s after its run has finished, or 2 % of the time waited so far, if that is longer.
* A master sends about one request a second. In addition it has a credit of ``REQUEST_CREDIT`` requests, which lets it
  poll more often at first. Each second without a request gives one request of credit back.
* A subtask that finishes within a second, as on a laptop, restores the credit. Nodes of a real platform start a
  container for each run, and therefore take longer.
* If an earlier subtask of the same method took three seconds, the next poll is due when the current subtask has taken
  as long. So the rounds of an iterative master are noticed early, without more requests.
"""

from __future__ import annotations

FIRST_PERIOD, QUICK_PERIOD, QUICK_SHARE, QUICK_TIME = 0.02, 0.4, 0.5, 5.0
"""Seconds between two polls if there is credit: half of the time waited so far, 0.02 to 0.4 s, in the first 5 s."""

PERIOD, PERIOD_SHARE, LONGEST_PERIOD = 1.0, 0.02, 15.0
"""Seconds between two polls without credit: 1 s, or 2 % of the time waited so far, at most 15 s."""

EXPECTED_SHARE = 0.1
"""Time between two polls when a subtask takes a little longer than an earlier one, as a share of the time so far."""

REQUEST_CREDIT = 16
"""Number of requests that a master may send beyond one a second."""

QUICK_TASK = 1.0
"""Seconds within which a subtask finishes that restores the credit."""


class Pace:
    """The pace of all requests of one master. All times are those of one monotonic clock."""

    def __init__(self) -> None:
        self._credit = float(REQUEST_CREDIT)
        self._updated_at: float | None = None
        self._waits: dict[str, float] = {}

    def count_request(self, now: float) -> None:
        """Subtract a request that was sent from the credit."""
        self._update(now)
        self._credit = max(0.0, self._credit - 1)

    def record_wait(self, method: str, seconds: float) -> None:
        """Record how long a subtask took, from the moment when it was sent."""
        # A little less than the time until the result was noticed, so that the expected time can become shorter, too.
        self._waits[method] = 0.95 * seconds
        if seconds <= QUICK_TASK:
            self._credit = REQUEST_CREDIT

    def choose_period(self, now: float, start: float, method: str, interval: float | None) -> float:
        """Return the seconds from a poll at *now* to the next poll.

        Args:
            now: the time of the poll.
            start: the time at which the subtask was sent.
            method: the method that the subtask runs.
            interval: the longest period, if the author sets one.
        """
        self._update(now)
        elapsed = now - start
        period = max(PERIOD, PERIOD_SHARE * elapsed)
        expected = self._waits.get(method, 0.0)
        if elapsed < expected:
            period = min(period, expected - elapsed)
        elif elapsed < 1.5 * expected:
            period = min(period, EXPECTED_SHARE * elapsed)
        elif self._credit >= 1 and elapsed < QUICK_TIME:
            period = min(QUICK_PERIOD, QUICK_SHARE * elapsed)
        return max(FIRST_PERIOD, min(period, LONGEST_PERIOD if interval is None else interval))

    def _update(self, now: float) -> None:
        if self._updated_at is not None:
            self._credit = min(REQUEST_CREDIT, self._credit + max(0.0, now - self._updated_at))
        self._updated_at = now
