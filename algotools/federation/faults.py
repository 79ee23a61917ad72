"""Faults that a local node imitates, for tests of how an algorithm handles them: ``Slow``, ``Dead``, ``Wrong``, ….

The node implements its faults. So they work with every function, contract and runner.
"""

from __future__ import annotations

import json
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Union

from algotools.errors import AlgotoolsError, FederationError, FunctionExited, FunctionRaised
from algotools.federation._results import find_ids
from algotools.federation.configuration import Configuration
from algotools.payload import RICH, decode_rich, encode_plain, encode_rich


@dataclass(frozen=True)
class Slow:
    """A node that runs a task at once, but delivers the result ``seconds`` later."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise FederationError(f"a slow node needs a positive number of seconds, not {self.seconds!r}")


@dataclass(frozen=True)
class Dead:
    """A node that is offline. It never fetches its runs, which stay ``pending``."""


@dataclass(frozen=True)
class Wrong:
    """A node that delivers another result than its function returned.

    ``answer`` is the result; or a function that is called with the true result and returns the other one; or an
    exception, an instance or a type, with which the run then crashes. A run that fails without the fault is unchanged.
    """

    answer: Any

    def replace_result(self, data: bytes) -> bytes:
        """Return the wrong result for the encoded result of a function, in the same encoding.

        Raises:
            AlgotoolsError: the run crashes, because ``answer`` is an exception or because it cannot be encoded.
        """
        is_rich = data.startswith(RICH)
        try:
            result = self._make_wrong_result(data, is_rich=is_rich)
        except AlgotoolsError:
            raise
        except BaseException as error:
            kind = FunctionExited if isinstance(error, SystemExit) else FunctionRaised
            message = f"{type(error).__name__}, raised by the fault Wrong of its node"
            trace = "".join(traceback.format_exception(type(error), error, _skip_own_frames(error)))
            raise kind(message, detail=trace) from None
        return encode_rich(result) if is_rich else encode_plain(result).data

    def _make_wrong_result(self, data: bytes, *, is_rich: bool) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer.with_traceback(None)  # many runs may raise the same instance
        if isinstance(self.answer, type) and issubclass(self.answer, BaseException):
            raise self.answer
        if callable(self.answer):
            return self.answer(decode_rich(data) if is_rich else json.loads(data))
        return self.answer


def _skip_own_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback without our own two frames; None if the exception has no other frames."""
    trace = error.__traceback__
    for _ in range(2):
        trace = trace and trace.tb_next
    return trace


@dataclass(frozen=True)
class Polls:
    """A node that works in rounds, as real nodes do: once in ``seconds`` it fetches runs and sends their results."""

    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise FederationError(f"a node that polls needs a positive number of seconds, not {self.seconds!r}")


@dataclass(frozen=True)
class Loses:
    """A node that loses results, as nodes of 5.0 do: of the runs that finish in one round, it sends only the last.

    The other runs stay ``active``. A round lasts a second, or the seconds of ``Polls``.
    """


Fault = Union[Slow, Dead, Wrong, Polls, Loses]

_KINDS = (Slow, Dead, Wrong, Polls, Loses)


@dataclass(frozen=True)
class Faults:
    """All faults of one node; most nodes have none."""

    delay: float = 0.0
    dead: bool = False
    wrong: Wrong | None = None
    polls: Polls | None = None
    loses: bool = False

    @classmethod
    def combine(cls, fault_or_faults: Fault | Iterable[Fault]) -> Faults:
        """Return the faults of a node that has one fault or several.

        Raises:
            FederationError: an item is not a fault, or a node has two faults of one kind.
        """
        faults = list(fault_or_faults) if isinstance(fault_or_faults, Iterable) else [fault_or_faults]
        if invalid := [fault for fault in faults if not isinstance(fault, _KINDS)]:
            raise FederationError(
                f"{invalid[0]!r} is not a fault; use Slow(seconds), Dead(), Wrong(answer), Polls(seconds) or Loses()"
            )
        if len({type(fault) for fault in faults}) < len(faults):
            raise FederationError("a node can have at most one fault of each kind")
        return cls(
            delay=next((fault.seconds for fault in faults if isinstance(fault, Slow)), 0.0),
            dead=any(isinstance(fault, Dead) for fault in faults),
            wrong=next((fault for fault in faults if isinstance(fault, Wrong)), None),
            polls=next((fault for fault in faults if isinstance(fault, Polls)), None),
            loses=any(isinstance(fault, Loses) for fault in faults),
        )

    def __bool__(self) -> bool:
        return self != SOUND

    def __str__(self) -> str:
        """Return the faults that explain a missing result, for messages; empty if the node has no such fault."""
        reasons = [f"slow by {self.delay:g} s"] if self.delay else []
        return "dead" if self.dead else " and ".join([*reasons, *(["losing results"] if self.loses else [])])


SOUND = Faults()
"""A node without faults."""


class Rounds:
    """The rounds in which a node with ``Polls`` or ``Loses`` works.

    Args:
        faults: the node's faults.
        organization_id: the node's organization. Nodes do not begin their rounds at the same time.
    """

    def __init__(self, faults: Faults, organization_id: int) -> None:
        self._period = faults.polls.seconds if faults.polls else 1.0 if faults.loses else 0.0
        self._offset = organization_id * 0.618 % 1 * self._period
        self._polls = faults.polls is not None
        self._loses = faults.loses
        self._lock = threading.Lock()
        self._last: dict[int, int] = {}
        """Number of a round -> the run that was the last to finish in the round."""

    def compute_delay(self) -> float:
        """Return the seconds until the node fetches the next runs."""
        return self._measure()[1] if self._polls else 0.0

    def finish(self, run_id: int, pause: Callable[[float], object]) -> bool:
        """Pause until the end of the round, in which the node sends its results; return whether it sends this one."""
        if not self._period:
            return True
        with self._lock:
            number, seconds = self._measure()
            self._last[number] = run_id
        pause(seconds)
        return not self._loses or self._last[number] == run_id

    def _measure(self) -> tuple[int, float]:
        """Return the number of the current round, and the seconds until its end."""
        now = time.monotonic() - self._offset
        number = math.floor(now / self._period)
        return number, (number + 1) * self._period - now


def combine_faults(
    faults: Mapping[int | str, Fault | Iterable[Fault]], configuration: Configuration
) -> dict[int, Faults]:
    """Return the faults by the ids of organizations; the members have the ids 2, 3, … in order.

    Raises:
        FederationError: an organization is unknown, or is named twice.
    """
    names = {id_: member.name for id_, member in enumerate(configuration.members, start=2)}
    by_id = {id_: Faults.combine(items) for name, items in faults.items() for id_ in find_ids(name, names)}
    if len(by_id) < len(faults):
        raise FederationError("faults= names an organization twice; name it either by its id or by its name")
    return by_id
