"""The limits of a wait: how long a master waits for the results of a subtask, and how many results are enough."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from algotools.errors import ArgumentsError
from algotools.runtime.client._organizations import to_id

DEFAULT_TIMEOUT = 7 * 24 * 3600.0
"""Seconds after which an unfinished run counts as failed if the author sets no timeout."""

GRACE, GRACE_SHARE = 10.0, 0.1
"""Default grace: 10 s, or 10 % of the time until the quorum was reached, if that is longer."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The keywords of ``client.run`` that limit the wait; see there."""

    timeout: float | None = None
    quorum: int | None = None
    grace: float | None = None
    wait_for_all: bool = False
    interval: float | None = None

    def check(self, organization_count: int) -> None:
        """Raise ``ArgumentsError`` if a limit is not valid for a subtask at *organization_count* organizations."""
        for name in ("timeout", "grace", "interval"):
            value = getattr(self, name)
            if value is not None and not _is_duration(value):
                raise ArgumentsError(f"{name} must be a number of seconds, not less than 0")
        if not isinstance(self.wait_for_all, bool):
            raise ArgumentsError("wait_for_all must be True or False")
        if self.quorum is not None:
            quorum = to_id(self.quorum)
            if quorum is None or not 1 <= quorum <= organization_count:
                integer = "an integer " if quorum is None else ""
                raise ArgumentsError(
                    f"quorum must be {integer}from 1 to {organization_count}, the number of organizations of the task"
                )
        if self.grace is not None and (self.quorum is None or self.wait_for_all):
            raise ArgumentsError("grace needs quorum=, and excludes wait_for_all=True")

    @property
    def seconds(self) -> float:
        """The timeout, or the default."""
        return DEFAULT_TIMEOUT if self.timeout is None else self.timeout

    def choose_grace(self, elapsed: float) -> float:
        """Return the seconds for which other results are awaited if the quorum was reached after *elapsed* seconds."""
        return max(GRACE, GRACE_SHARE * elapsed) if self.grace is None else self.grace


def _is_duration(value: Any) -> bool:
    try:
        return type(value).__name__ not in ("bool", "bool_", "str") and not math.isnan(value) and value >= 0
    except TypeError:
        return False
