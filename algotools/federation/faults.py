"""What can be wrong with a node, so that a test can see how an algorithm bears it: slow, dead, or wrong.

Faults belong to the node: functions, contracts and runners know nothing of them, so that all of these can be tried.
"""

from __future__ import annotations

import json
import math
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Union

from algotools.errors import AlgotoolsError, FederationError, FunctionExited, FunctionRaised
from algotools.payload import RICH, decode_rich, encode_plain, encode_rich


@dataclass(frozen=True)
class Slow:
    """A node that runs a task at once, and whose answer comes so many seconds later than it could."""

    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise FederationError(f"a slow node needs a positive number of seconds, not {self.seconds!r}")


@dataclass(frozen=True)
class Dead:
    """A node that is offline: it never fetches its runs, which stay ``pending``."""


@dataclass(frozen=True)
class Wrong:
    """A node that answers something else than its function returned.

    ``answer`` is what it answers; or a function of the true answer; or an exception, an instance or a type, as which
    its runs then crash. A run that fails of itself stays as it is.
    """

    answer: Any

    def instead_of(self, data: bytes) -> bytes:
        """Another encoded result for one that the function returned, in the same encoding.

        Raises:
            AlgotoolsError: the run crashes, because it is meant to or because no such answer can be given.
        """
        rich = data.startswith(RICH)
        try:
            answer = self._answer(data, rich=rich)
        except AlgotoolsError:
            raise
        except BaseException as error:
            kind = FunctionExited if isinstance(error, SystemExit) else FunctionRaised
            told = f"{type(error).__name__}, by the fault that its node was given"
            raise kind(told, detail="".join(traceback.format_exception(type(error), error, _beyond(error)))) from None
        return encode_rich(answer) if rich else encode_plain(answer).data

    def _answer(self, data: bytes, *, rich: bool) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer.with_traceback(None)  # one instance may be raised by many runs
        if isinstance(self.answer, type) and issubclass(self.answer, BaseException):
            raise self.answer
        if callable(self.answer):
            return self.answer(decode_rich(data) if rich else json.loads(data))
        return self.answer


def _beyond(error: BaseException) -> TracebackType | None:
    """The frames of an exception below our own two; none, if it was the answer itself."""
    trace = error.__traceback__
    for _ in range(2):
        trace = trace and trace.tb_next
    return trace


Fault = Union[Slow, Dead, Wrong]


@dataclass(frozen=True)
class Faults:
    """All that is wrong with one node; of most nodes nothing."""

    delay: float = 0.0
    dead: bool = False
    wrong: Wrong | None = None

    @classmethod
    def of(cls, given: Fault | Iterable[Fault]) -> Faults:
        """The faults of a node that is given some.

        Raises:
            FederationError: something is no fault, or a node is given two of one kind.
        """
        faults = list(given) if isinstance(given, Iterable) else [given]
        if strange := [fault for fault in faults if not isinstance(fault, (Slow, Dead, Wrong))]:
            raise FederationError(f"{strange[0]!r} is no fault; there are Slow(seconds), Dead() and Wrong(answer)")
        if len({type(fault) for fault in faults}) < len(faults):
            raise FederationError("a node can have one fault of each kind")
        return cls(
            delay=next((fault.seconds for fault in faults if isinstance(fault, Slow)), 0.0),
            dead=any(isinstance(fault, Dead) for fault in faults),
            wrong=next((fault for fault in faults if isinstance(fault, Wrong)), None),
        )

    def __bool__(self) -> bool:
        return self != SOUND

    def __str__(self) -> str:
        """What is said of a node whose answer is missing; nothing, if that is not its fault."""
        return "dead" if self.dead else f"slow by {self.delay:g} s" if self.delay else ""


SOUND = Faults()
"""A node that works as it should."""
