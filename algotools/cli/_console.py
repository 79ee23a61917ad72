"""Text for a terminal: without control characters, and on standard error while the author's code runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from rich.status import Status

_FIRST_STATUS = 2.0
"""Seconds after which a terminal shows the current step."""
_FIRST_LINE = 5.0
"""Seconds after which the first line is written if standard error is not a terminal; each further line takes twice."""


def make_printable(text: object) -> str:
    """Escape the markup in a text, and replace control characters."""
    return escape("".join(c if c.isprintable() or c == "\n" else "�" for c in str(text)))


def show_note(text: str) -> None:
    """Show a line on standard error."""
    Console(stderr=True, highlight=False).print(f"[dim]{make_printable(text)}[/dim]", soft_wrap=True)


class WaitView:
    """Shows on standard error what a check waits for: on a terminal on one line, otherwise in a line now and then."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._step = ""
        self._next = _FIRST_LINE

    def announce(self, text: str) -> None:
        """Show what runs next."""
        self.close()
        show_note(text)

    def show(self, step: str, seconds: float) -> None:
        """Show the step and its duration, if it takes noticeably long."""
        if step != self._step:
            self._step, self._next = step, _FIRST_LINE
        if seconds < _FIRST_STATUS:
            self.close()
            return
        text = f"waiting for {make_printable(step)}: {seconds:.0f} s, limit {self._limit:g} s"
        if self._console.is_terminal:
            self._status = self._status or self._console.status(text)
            self._status.start()
            self._status.update(text)
        elif seconds >= self._next:
            self._next *= 2
            self._console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._status is not None:
            self._status.stop()
