"""The signals that ask a command to end: Ctrl-C, a kill, a terminal that is closed."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Within, a signal ends the command once, in order; more of them change nothing.

    At first a signal ends it at once, by ``SystemExit`` with the shell's code for that signal. Once it is ``patient``,
    a signal is only remembered in ``code``: so nothing is interrupted that ends what was started. One that was ignored
    before (``nohup``) is ignored.
    """

    code: int | None = None
    """The exit code that is asked for."""

    patient = False

    def __enter__(self) -> Self:
        self._before: dict[signal.Signals, Any] = {
            asked: signal.signal(asked, self._ask) for asked in SIGNALS if signal.getsignal(asked) != signal.SIG_IGN
        }
        return self

    def __exit__(self, *exception: object) -> None:
        for asked, handler in self._before.items():
            signal.signal(asked, signal.SIG_IGN if self.code is not None else handler)

    def check(self) -> None:
        """End here if that was asked for."""
        if self.code is not None:
            sys.exit(self.code)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.code is None:
            self.code = 128 + number
            if not self.patient:
                sys.exit(self.code)
