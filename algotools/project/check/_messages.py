"""The messages that the child process of a check sends, and the time limit of each of its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from algotools.project.check._rules import ChosenArguments, Finding, NotTried, Verdict
from algotools.runtime import lifetime

GRACE = 5.0
"""Seconds after the limit in which the child process reports the line where it hangs."""


class TrialCall(msgspec.Struct, frozen=True):
    """One call of a function, of which the child process is not certain to report the outcome."""

    method: str
    member: str
    """The organization whose data the call uses; empty for the split test, which uses all data."""
    file: str
    line: int | None
    is_probe: bool = False
    """Whether the function runs again on other rows, see ``runtime.dispatch.probing``."""

    @property
    def is_split_test(self) -> bool:
        """Whether the rows of all organizations are split over nodes in many ways, which takes many calls."""
        return not self.member

    @property
    def name(self) -> str:
        """A short description."""
        if self.is_probe:
            return f"runs on a part of {self.member}'s rows"
        return "the split test" if self.is_split_test else f"a trial call on {self.member}'s data"

    @property
    def step(self) -> str:
        """The call, for the line that shows what the check waits for."""
        if self.is_split_test:
            return f"the split test of {self.method}"
        if self.is_probe:
            return f"runs of {self.method} on a part of {self.member}'s rows"
        return f"a trial call of {self.method} on {self.member}'s data"

    @property
    def prefix(self) -> str:
        """The first words of a finding's reason."""
        return f"{self.method}: in {self.name}, "

    @property
    def has_many_calls(self) -> bool:
        """Whether the function is called many times. That may be slow, so a timeout is not a finding."""
        return self.is_split_test or self.is_probe

    def describe_timeout(self, seconds: float) -> NotTried:
        """Return the entry of many calls that take too long."""
        reason = f"{self.name} did not finish within {seconds:g} s; raise the limit with --timeout"
        return NotTried(method=self.method, reason=reason)


class CheckMessage(msgspec.Struct, omit_defaults=True):
    """One line of JSON from the child process, which imports the algorithm and checks its functions."""

    finding: Finding | None = None
    algorithm: str | None = None
    """The algorithm's module, as soon as it is known."""
    unknown: str | None = None
    """The reason why WHAT names no algorithm."""
    functions: int | None = None
    """The number of registered functions, after the import."""
    files: int | None = None
    """The number of the package's files, after the import."""
    trial: TrialCall | None = None
    """The trial call that begins now."""
    not_tried: NotTried | None = None
    """A function that is not called, or not completely."""
    chosen: ChosenArguments | None = None
    """The arguments that the check has chosen for a function."""
    verdict: Verdict | None = None
    """The decision of the disclosure gate about a call."""
    announcement: str | None = None
    """The part of the author's code that runs next. The child process waits until its parent has shown it."""
    fault: str | None = None
    """The traceback of an error in the check itself."""
    done: bool = False
    """Whether this is the last line."""
    sent: float = msgspec.field(default_factory=time.monotonic)
    """When the line was sent, by the clock that all processes share. The reader may be stopped in the meantime."""

    @property
    def is_step(self) -> bool:
        """Whether a step begins that has a time limit of its own: the import, the examination, or a trial call."""
        return self.algorithm is not None or self.functions is not None or self.trial is not None


class StepTimer:
    """Calls a function when a step of the examination takes too long; the kernel kills the process a little later.

    The kernel's limit also holds if the author's code blocks Python's threads and the parent is stopped.
    """

    def __init__(self, seconds: float, expire: Callable[[], object]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._timer: threading.Timer | None = None

    def restart(self) -> None:
        """Begin the next step."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(self._seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()
        lifetime.limit_lifetime(self._seconds + 2 * GRACE)
