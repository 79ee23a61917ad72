"""What is told of a task while it is run, on a terminal: a live table, and above it what is said."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from algotools.cli.frame import Frames
from algotools.cli.lines import Lines, said
from algotools.cli.overview import Overview
from algotools.cli.streams import Streams
from algotools.contract.platform import Run, Task
from algotools.federation import Federation
from algotools.report import read_failure, read_progress

BETWEEN = 0.125
"""Seconds between two frames; more where drawing one takes long, for the runs need the machine."""

SHARE = 0.05
"""The share of the time that may go into drawing,"""

LONGEST = 1.0
"""as long as nobody has to wait for so many seconds, for a frame or for Ctrl-C."""


class Table:
    """One table, drawn anew some times a second; the lines of logs scroll by above it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._said: deque[str] = deque()
        self._progress: dict[int, str] = {}
        self._overview: Overview | None = None
        self._frames: Frames | None = None
        self._instead: Lines | None = None
        self._streams: Streams | None = None
        self.pause = BETWEEN

    def hear(self, run: Run, line: str) -> None:
        """See ``View``: kept until the next frame, for a run waits for nobody's terminal."""
        if self._instead is not None:
            self._instead.hear(run, line)
        elif read_progress(line) is not None:
            self._progress[run.id] = line
        elif read_failure(line) is None:
            self._said.append(said(run, line))

    def follow(self, running: Federation, task: Task) -> None:
        """See ``View``."""
        self._overview = Overview(running, task, self._progress)
        self._frames = Frames(self._overview)
        self._streams = Streams(self._said.append, self._give_way)

    def look(self) -> None:
        """Draw a frame, below what was said since the last one."""
        with self._lock:
            if self._instead is not None:
                self._instead.look()
            elif self._frames is not None:
                began = time.thread_time()  # in which only we work
                self._live.start()
                self._print_what_was_said()
                frame = self._frames.draw(*self._console.size, time.monotonic() - self._began)
                self._live.update(frame, refresh=True)  # after what was said, with which the frame before is drawn
                self.pause = min(max(BETWEEN, (time.thread_time() - began) / SHARE), LONGEST)

    def close(self) -> None:
        """Take the table away, and leave in words how things stood."""
        with self._lock:
            drawn = self._live.is_started
            self._give_way(over=True)
            if drawn and self._frames is not None:
                counts = self._frames.counts(time.monotonic() - self._began)
                self._console.print(Text("\n").join(counts), style="dim", soft_wrap=True)

    def _give_way(self, *, over: bool = False) -> None:
        """Take the table away; lines are told as they come from now on, or nothing more if all is ``over``."""
        with self._lock:
            lines = self._instead or Lines(self._stream, self._overview)
            if over:
                lines.close()
            if self._instead is None:
                self._instead = lines
                self._live.stop()
                if self._streams is not None:
                    self._streams.restore()
                self._print_what_was_said()

    def _print_what_was_said(self) -> None:
        lines = [Text.from_ansi(self._said.popleft()) for _ in range(len(self._said))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)
