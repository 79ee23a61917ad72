"""What is told while a task is run: a live table on a terminal, plain lines elsewhere; on standard error both."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from algotools.cli.overview import Overview, failed, fitting, seconds
from algotools.cli.streams import Streams
from algotools.contract.platform import Run, Task
from algotools.federation import Federation
from algotools.report import read_failure, read_progress, visible

BETWEEN_LINES = 5.0
"""Seconds between two lines that tell the progress of one run."""

BETWEEN_FRAMES = 0.125
"""Seconds between two frames of the table; more where drawing one takes long, for the runs need the machine."""

SHARE = 0.05
"""The share of the time that may go into drawing."""

GAP = "  "
BAR = 16
TIME = len("1:00:00")
STATES = {"completed": "green", "active": "bold", "initializing": "dim", "pending": "dim"}
"""State of a run -> its style; any other is a failure."""


class View(Protocol):
    """What is told while a task is run."""

    pause: float
    """Seconds until it wants to look again."""

    def hear(self, run: Run, line: str) -> None:
        """A line more of a run's log; in the run's own thread."""

    def follow(self, running: Federation, task: Task) -> None:
        """This is the task."""

    def look(self) -> None:
        """See how things are by now."""

    def close(self) -> None:
        """The task is over, or given up."""


@contextmanager
def view() -> Iterator[View]:
    """What suits standard error. Within, what anything prints gets to it without spoiling the table."""
    found = Table(sys.stderr) if is_terminal(sys.stderr, os.environ) else Lines(sys.stderr)
    try:
        yield found
    finally:
        found.close()


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether somebody looks at it, on a terminal that can move its cursor and has the signs that we draw with."""
    watched = stream.isatty() and not environ.get("CI")
    able = environ.get("TERM", "").lower() not in ("dumb", "unknown", "")
    return watched and able and stream.encoding.lower().startswith("utf")


class Lines:
    """A line for each line of a log, with who says it; of progress no more than one in a while."""

    pause = 0.25

    def __init__(self, stream: TextIO, overview: Overview | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._told: dict[int, float] = {}
        self._held: dict[int, tuple[Run, str]] = {}
        self._overview = overview
        self._failures: set[int] = set()

    def hear(self, run: Run, line: str) -> None:
        """See ``View``; why a run failed is told when it has ended."""
        with self._lock:
            if read_progress(line) is None:
                if read_failure(line) is None:
                    self._write(run, line)
                return
            self._held[run.id] = (run, line)
            self._tell(self._due())

    def follow(self, running: Federation, task: Task) -> None:
        """See ``View``."""
        self._overview = Overview(running, task, {})

    def look(self) -> None:
        """Tell what has been held back for long enough, and who has failed while others go on."""
        with self._lock:
            self._tell(self._due())
            if self._overview is None:
                return
            now = self._overview.look()
            for run in (*now.own, *now.asked):
                if run.id not in self._failures and failed(run) and (why := self._overview.failure(run)):
                    self._failures.add(run.id)
                    self._write(run, f"{run.status}: [{why.exit_code}] {why.message}")

    def close(self) -> None:
        """Tell what has been held back."""
        with self._lock:
            self._tell(list(self._held))

    def _due(self) -> list[int]:
        now = time.monotonic()
        return [
            id_
            for id_, (run, _) in self._held.items()
            if run.finished_at or now - self._told.get(id_, -BETWEEN_LINES) >= BETWEEN_LINES
        ]

    def _tell(self, runs: Iterable[int]) -> None:
        for id_ in runs:
            self._write(*self._held.pop(id_))
            self._told[id_] = time.monotonic()

    def _write(self, run: Run, line: str) -> None:
        self._stream.write(f"{said(run, line)}\n")
        self._stream.flush()


class Table:
    """One table, drawn anew some times a second; the lines of logs scroll by above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.live import Live  # where there is no table, it is not waited for

        self._stream = stream
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False,
                          redirect_stderr=False)  # fmt: skip
        self._began = time.monotonic()
        self._lock = threading.RLock()
        self._said: deque[str] = deque()
        self._progress: dict[int, str] = {}
        self._widths = [len("task"), len("organization"), len("completed")]
        self._overview: Overview | None = None
        self._instead: Lines | None = None
        self._streams = Streams(self._said.append, self._give_way)
        self.pause = BETWEEN_FRAMES

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

    def look(self) -> None:
        """Draw a frame, below what was said since the last one."""
        with self._lock:
            if self._instead is not None:
                self._instead.look()
            elif self._overview is not None:
                began = time.monotonic()
                self._live.start()
                self._live.update(self._frame(self._overview))
                if not self._print_what_was_said():  # which draws the frame, too
                    self._live.refresh()
                self.pause = max(BETWEEN_FRAMES, (time.monotonic() - began) / SHARE)

    def close(self) -> None:
        """Take the table away, and leave in words how things stood."""
        with self._lock:
            if self._instead is None:
                drawn = self._live.is_started
                self._give_way()
                if drawn and self._overview is not None:
                    self._console.print(Text("\n").join(self._summary(self._overview)), style="dim", soft_wrap=True)
            elif self._overview is not None:
                self._instead.close()

    def _give_way(self) -> None:
        """Take the table away; from now on the terminal is somebody else's, and lines are told as they come."""
        with self._lock:
            if self._instead is None:
                self._instead = Lines(self._stream, self._overview)
                self._live.stop()
                self._streams.restore()
                self._print_what_was_said()

    def _print_what_was_said(self) -> bool:
        lines = [Text.from_ansi(self._said.popleft()) for _ in range(len(self._said))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)
        return bool(lines)

    def _frame(self, overview: Overview) -> Text:
        """As many rows as there is room for, a line that says how many more there are, and the counts."""
        now = overview.look()
        width, height = self._console.size
        summary = self._summary(overview)
        room = height - len(summary) - 3  # for the head, the line of the rest, and one where the cursor may be
        lines = []
        if room > 0:
            own, shown = {run.id for run in now.own}, fitting(now, room)
            cells = [(f"{'' if run.id in own else GAP}{overview.method(run)}", overview.organization(run), run.status)
                     for run in shown]  # fmt: skip
            for column, limit in enumerate((width // 4, width // 3, width // 5)):
                longest = max((cell_len(row[column]) for row in cells), default=0)
                self._widths[column] = min(max(self._widths[column], longest), limit)
            left = width - 1 - sum(self._widths) - TIME - 4 * len(GAP)
            head = self._line([("task", ""), ("organization", ""), ("state", "")], Text("time".rjust(TIME)), Text())
            head.stylize("dim")
            lines = [head]
            for run, (task, organization, state) in zip(shown, cells, strict=True):
                style = STATES.get(state, "red")
                time_ = Text(lasted(seconds(run), exactly=run.finished_at is not None).rjust(TIME))
                lines.append(
                    self._line([(task, ""), (organization, ""), (state, style)], time_, _told(overview, run, left))
                )
            if more := len(now.own) + len(now.asked) - len(shown):
                lines.append(Text(f"… {more} more", style="dim"))
        lines += summary
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return Text("\n", no_wrap=True).join(lines[-max(1, height - 1) :])

    def _line(self, cells: Iterable[tuple[str, str]], time_: Text, told: Text) -> Text:
        parts = [Text(fit(text, width), style) for (text, style), width in zip(cells, self._widths, strict=True)]
        return Text(GAP).join([*parts, time_, told])

    def _summary(self, overview: Overview) -> list[Text]:
        first, *others = overview.summaries(overview.look())
        return [Text(f"{first}; {lasted(time.monotonic() - self._began)}"), *map(Text, others)]


def _told(overview: Overview, run: Run, width: int) -> Text:
    """What a run says: why it has failed, or how far it has come."""
    if (failure := overview.failure(run)) is not None:
        return Text(f"[{failure.exit_code}] {visible(failure.message)}", style="red")
    if run.status != "active" or (told := overview.progress(run)) is None:
        return Text()
    fraction, text = told
    bar = max(0, min(BAR, width - len(" 100% ")))
    done = round(bar * fraction)
    return Text.assemble(("━" * done, "green"), ("─" * (bar - done), "dim"), f" {fraction:>4.0%} {text}")


def fit(text: str, width: int) -> str:
    """A text in just so many cells: with blanks behind it, or cut."""
    return set_cell_size(text, width) if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def lasted(seconds: float | None, *, exactly: bool = False) -> str:
    """A time in few signs.

    >>> lasted(0.26, exactly=True), lasted(7.9), lasted(83), lasted(3671)
    ('0.3 s', '7 s', '1:23', '1:01:11')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if exactly and seconds < 9.95 else f"{int(seconds)} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def said(run: Run, line: str) -> str:
    """A line of a log with whose it is; nothing in it steers a terminal, whoever wrote it."""
    text = Text.from_ansi(line).plain if "\x1b" in line else line
    return f"organization {run.organization_id}, task {run.task_id}: {visible(text.expandtabs())}"
