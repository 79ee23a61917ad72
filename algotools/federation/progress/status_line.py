"""One line about work that consists of many tasks: updated in place on a terminal and in a notebook."""

from __future__ import annotations

import html
import os
import shutil
import sys
import time
from typing import Any, TextIO

from algotools.federation.progress._lines import is_terminal
from algotools.federation.progress._overview import format_duration
from algotools.federation.progress.notebook import is_notebook
from algotools.federation.progress.waiting import DELAY

PLAIN_INTERVAL = 10.0
"""Seconds between two lines where a line cannot be updated in place, for instance in the log of a batch system."""


class StatusLine:
    """A line with the current state, and the time since the start.

    Args:
        requested: see ``choose_view``.
    """

    def __init__(self, requested: bool | None) -> None:
        self.interval = 0.25
        """Seconds until ``update`` should be called again."""
        self._requested = requested
        self._stream: TextIO | None = sys.stderr
        self._started = time.monotonic()
        self._display: Any = None
        self._next = self._started + DELAY
        self._written = ""
        self._on_terminal = False

    def update(self, text: str, *, repeat: bool = False) -> None:
        """Show a text, if it is due.

        Where a line cannot be updated in place, a new line is written if the text has changed. With ``repeat``, an
        unchanged text is also written, which shows that the work goes on.
        """
        now = time.monotonic()
        if self._requested is False or now < self._next or self._stream is None:
            return
        line = f"{text}; {format_duration(now - self._started)}"
        if is_notebook():
            self._show_in_notebook(line)
        elif is_terminal(self._stream, os.environ):
            self._on_terminal = True
            self._stream.write(f"\r\x1b[2K{line[: shutil.get_terminal_size().columns - 1]}")
            self._stream.flush()
        elif self._requested and (repeat or text != self._written):
            self._written, self._next = text, now + PLAIN_INTERVAL
            self._stream.write(f"{line}\n")
            self._stream.flush()

    def finish(self, text: str) -> None:
        """Show the last state without waiting until it is due, unless the work took less than a moment."""
        self._next = self._started + DELAY
        self.update(text)
        self.close()

    def write(self, text: str) -> None:
        """Write a line that remains, unless the progress is switched off."""
        if self._requested is not False and self._stream is not None:
            self.close()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Remove the line from a terminal. In a notebook the last state remains."""
        if self._on_terminal and self._stream is not None:
            self._on_terminal = False
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    def _show_in_notebook(self, line: str) -> None:
        from IPython import display  # type: ignore[import-not-found,unused-ignore]  # only in a notebook

        content = {"text/html": f"<pre>{html.escape(line)}</pre>", "text/plain": line}
        metadata = {"algotools": {"kind": "progress"}}
        if self._display is None:
            show: Any = display.display
            self._display = show(content, raw=True, metadata=metadata, display_id=True)
        else:
            self._display.update(content, raw=True, metadata=metadata)
