"""The limits of a subtask: how many organizations it needs, how long its master waits, how many results are enough."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from algotools.errors import ArgumentsError, TotalRefused
from algotools.runtime.client._organizations import to_id
from algotools.runtime.logs import format_count

DEFAULT_TIMEOUT = 7 * 24 * 3600.0
"""Seconds after which an unfinished run counts as failed if the author sets no timeout."""

GRACE, GRACE_SHARE = 10.0, 0.1
"""Default grace: 10 s, or 10 % of the time until the quorum was reached, if that is longer."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The keywords of ``client.run`` that limit the subtask and the wait; see there."""

    timeout: float | None = None
    quorum: int | None = None
    grace: float | None = None
    wait_for_all: bool = False
    interval: float | None = None
    minimum_organizations: int | None = None

    def check(self, organization_count: int) -> None:
        """Check the limits for a subtask at *organization_count* organizations.

        Raises:
            ArgumentsError: a limit is not valid.
            TotalRefused: the subtask has fewer organizations than it needs.
        """
        if self.minimum_organizations is not None:
            _check_minimum(organization_count, self.minimum_organizations)
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


def _check_minimum(organization_count: int, minimum: object) -> None:
    number = to_id(minimum)
    if number is None or number < 1:
        raise ArgumentsError("minimum_organizations must be an integer of at least 1")
    if organization_count < number:
        raise TotalRefused(
            f"the subtask has {format_count(organization_count, 'organization')}, but needs at least {number} "
            f"(minimum_organizations={number}); send the task to more organizations, or name them in organizations="
        )


def _is_duration(value: Any) -> bool:
    try:
        return type(value).__name__ not in ("bool", "bool_", "str") and not math.isnan(value) and value >= 0
    except TypeError:
        return False
