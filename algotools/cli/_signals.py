"""Signals that stop ``algotools run``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """Handler of the signals that stop the command. Only the first signal has an effect.

    Before the federation exists, a signal exits immediately with the shell's code for the signal. If ``is_deferred`` is
    true, a signal only sets ``exit_code``, so that it does not interrupt the cleanup of the runs.
    """

    exit_code: int | None = None
    is_deferred = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self.exit_code is None:
            self.exit_code = 128 + number
            if not self.is_deferred:
                sys.exit(self.exit_code)


@contextmanager
def handle_stop_signals() -> Iterator[StopRequest]:
    """Handle SIGINT, SIGTERM and SIGHUP, except signals that the parent process ignores (``nohup``)."""
    request = StopRequest()
    previous_handlers: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            previous_handlers[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        if request.exit_code is not None:
            sys.stderr.write("stopped; nothing is left running\n")
        # After a signal, further signals remain ignored: an impatient second Ctrl-C must not end in a traceback.
        for number, handler in previous_handlers.items():
            signal.signal(number, signal.SIG_IGN if request.exit_code is not None else handler)
    if request.exit_code is not None:
        sys.exit(request.exit_code)
