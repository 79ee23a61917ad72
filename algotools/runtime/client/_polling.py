"""The time between two polls of a master, which cannot be notified and therefore polls its node's proxy.

Polling must be quick for a task of milliseconds on a laptop, and rare for hundreds of masters on one server. Two limits
hold for every wait:

* A result is noticed at most 1 s after its run has finished, or 2 % of the time waited so far, if that is longer. The
  requests themselves take additional time.
* A master that waits for one subtask sends at most ``REQUEST_CREDIT`` requests more than seconds have passed since its
  first request. From 100 s on, it sends at most one request a second in total. Each further subtask may add two
  requests, which send the subtask and fetch its results (three at v5).

Why the second limit is not stricter: if a result must be noticed within a second, a wait of less than 50 s needs a poll
in each second. The requests that send and fetch come on top of them, so no schedule reaches one request a second there.
Longer waits save requests, because 2 % of the time are then more than a second.

* The credit is a balance: each request costs one, each second without a request gives one back, and debts are kept.
  Polls that are more frequent than one a second are paid from the credit: the first few polls, which find quick results
  and those of nodes that work once a second, and polls at the time at which a result is expected.
* The first polls also keep a distance of 10 times the proxy's response time. A server that responds after 100 ms is
  therefore polled once a second from the start.
* A subtask that finishes within a second, as on a laptop, restores the credit. Nodes of a real platform start a
  container for each run, and therefore take longer.
* If an earlier subtask of the same method took three seconds, a poll is due when the current subtask has taken as long.
"""

from __future__ import annotations

PERIOD, PERIOD_SHARE, LONGEST_PERIOD = 1.0, 0.02, 15.0
"""Seconds between two polls without credit: 1 s, or 2 % of the time waited so far, at most 15 s."""

FIRST_PERIOD, QUICK_PERIOD, QUICK_TIME = 0.02, 0.4, 2.0
"""Seconds between two polls if there is credit: the time waited so far, 0.02 to 0.4 s, in the first 2 s."""

EXPECTED_SHARE = 0.1
"""Time between two polls when a subtask takes a little longer than an earlier one, as a share of the time so far."""

PAUSE_PER_RESPONSE_TIME = 10.0
"""Least time between two of the first polls, as a multiple of the proxy's last response time."""

REQUEST_CREDIT = 14
"""Number of requests that a master may send beyond one a second."""

RESERVED_CREDIT = 2
"""Least credit for a poll that is paid from it: for the poll itself, and for the request that fetches the results."""

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
        self._credit -= 1

    def record_wait(self, method: str, seconds: float) -> None:
        """Record how long a subtask took, from the moment when it was sent."""
        # A little less than the time until the result was noticed, so that the expected time can become shorter, too.
        self._waits[method] = 0.95 * seconds
        if seconds <= QUICK_TASK:
            self._credit = REQUEST_CREDIT

    def choose_first_period(self, now: float) -> float:
        """Return the seconds from the moment *now*, at which a subtask was sent, to its first poll."""
        self._update(now)
        return 0.0 if self._credit >= RESERVED_CREDIT else PERIOD

    def choose_period(
        self, now: float, start: float, method: str, interval: float | None, response_time: float = 0.0
    ) -> float:
        """Return the seconds from a poll at *now* to the next poll.

        Args:
            now: the time of the poll.
            start: the time at which the subtask was sent.
            method: the method that the subtask runs.
            interval: the longest period, if the author sets one.
            response_time: the seconds that the poll took.
        """
        self._update(now)
        elapsed = now - start
        period = max(PERIOD, PERIOD_SHARE * elapsed)
        expected = self._waits.get(method, 0.0)
        if self._credit < RESERVED_CREDIT:
            pass
        elif elapsed < expected:
            period = min(period, expected - elapsed)
        elif elapsed < 1.5 * expected:
            period = min(period, EXPECTED_SHARE * elapsed)
        elif elapsed < QUICK_TIME:
            period = min(period, max(min(QUICK_PERIOD, elapsed), PAUSE_PER_RESPONSE_TIME * response_time))
        return max(FIRST_PERIOD, min(period, LONGEST_PERIOD if interval is None else interval))

    def _update(self, now: float) -> None:
        if self._updated_at is not None:
            self._credit = min(REQUEST_CREDIT, self._credit + max(0.0, now - self._updated_at))
        self._updated_at = now
