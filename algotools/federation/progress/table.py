"""The progress of a running task on a terminal: a live table below scrolling log lines."""

from __future__ import annotations

import builtins
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress._lines import LineView, add_label, is_shown
from algotools.federation.progress._overview import Overview, Snapshot, format_duration, measure_seconds, select_runs
from algotools.runtime.logs import escape_unprintable, read_progress

FRAME_INTERVAL = 0.125
"""Minimal time between two frames, in seconds. The interval grows if drawing is slow."""

DRAWING_SHARE = 0.05
"""Maximal share of the time for drawing, because the runs need the processor."""

LONGEST_INTERVAL = 1.0
"""Maximal time between two frames, in seconds. Ctrl-C takes effect between two frames."""

_GAP = "  "
_BAR = 16
_TIME = len("1:00:00")

_ROUND = re.compile(r"info > (round \d+: \d+ totals?)")
"""The line that the master of a pooled function logs after each round."""

_STYLES = {"completed": "green", "active": "bold", "initializing": "dim", "pending": "dim"}
"""State of a run -> style; all other states are failures."""


class TableView(LineView):
    """Draw a table of the runs several times a second.

    When the algorithm reads from the terminal, the table is removed permanently, and lines are written instead.

    Args:
        stream: the terminal.
        transient: show only the table, without the lines of the logs, and let nothing remain of it.
    """

    def __init__(self, stream: TextIO, *, transient: bool = False) -> None:
        super().__init__(stream)
        self._transient = transient
        self.interval = FRAME_INTERVAL
        self._console = Console(file=stream, highlight=False)
        # Rich could redirect standard output and error by itself. But rich redraws the table for each line, in the
        # thread that prints. A function that prints many lines would then wait for the terminal.
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._lines: deque[str] = deque()
        self._latest: dict[int, str] = {}
        self._rounds: dict[int, str] = {}
        self._frames: _Frames | None = None
        self._streams = ExitStack()
        self._has_terminal = True

    def receive_line(self, run: RunRecord, line: str) -> None:
        """Store a new line of a run's log until the next frame, so that runs do not wait for the terminal."""
        if not self._has_terminal:
            if not self._transient:
                super().receive_line(run, line)
        elif read_progress(line) is not None:
            self._latest[run.id] = line
        elif is_shown(line):
            if match := _ROUND.fullmatch(line):
                self._rounds[run.id] = match[1]
            if not self._transient:
                self._lines.append(add_label(run, line))

    def follow(self, overview: Overview) -> None:
        """Start showing a task."""
        super().follow(overview)
        self._frames = _Frames(overview, self._latest, self._rounds)
        self._streams.enter_context(_capture_streams(self._lines.append, self._release_terminal))

    def update(self) -> None:
        """Print new lines, and draw the table below."""
        with self._lock:
            if not self._has_terminal:
                if not self._transient:
                    super().update()
            elif self._frames is not None:
                started = time.thread_time()  # excludes the time of the runs in other threads
                self._live.start()
                self._print_lines()  # rich draws the previous frame again below the lines
                frame = self._frames.draw(*self._console.size, time.monotonic() - self.started)
                self._live.update(frame, refresh=True)
                self.interval = min(
                    max(FRAME_INTERVAL, (time.thread_time() - started) / DRAWING_SHARE), LONGEST_INTERVAL
                )

    def close(self) -> None:
        """Replace the table with its last lines, which count the runs."""
        with self._lock:
            was_drawn = self._live.is_started
            self._release_terminal()
            super().close()
            if was_drawn and self._frames is not None and not self._transient:
                counts = self._frames.count(time.monotonic() - self.started)
                self._console.print(Text("\n").join(counts), style="dim", soft_wrap=True)

    def _release_terminal(self) -> None:
        """Remove the table permanently."""
        with self._lock:
            if self._has_terminal:
                self._has_terminal = False
                self._live.stop()
                self._streams.close()
            self._print_lines()

    def _print_lines(self) -> None:
        lines = [Text.from_ansi(self._lines.popleft()) for _ in range(len(self._lines))]
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)


class _Frames:
    """Draw the table. Columns grow with their content and never shrink, so that the text does not jump.

    ``progress`` contains the latest progress line of each run, and ``rounds`` the latest round of the master of a
    pooled function.
    """

    def __init__(self, overview: Overview, progress: Mapping[int, str], rounds: Mapping[int, str]) -> None:
        self._overview = overview
        self._progress = progress
        self._rounds = rounds
        self._widths = [len("task"), len("organization"), len("completed")]

    def draw(self, width: int, height: int, elapsed: float) -> Text:
        """Draw as many rows as fit, a line with the number of hidden rows, and the counts.

        At least one line of the terminal's ``height`` remains free. ``elapsed`` is in seconds.
        """
        snapshot = self._overview.take_snapshot()
        number = len(snapshot.task_runs) + sum(map(len, snapshot.subtask_runs.values()))
        counts = self.count(elapsed, snapshot)
        capacity = height - len(counts) - 3  # minus the header, the line about hidden rows and the line of the cursor
        if number > capacity:
            capacity = min(capacity, height * 2 // 3)  # leave some lines for the logs
        lines = []
        if capacity > 0:
            runs = select_runs(snapshot, capacity)
            task_runs = {run.id for run in snapshot.task_runs}
            cells = [
                (
                    f"{'' if run.id in task_runs else _GAP}{self._overview.get_method(run)}",
                    self._overview.format_organization(run),
                    run.status,
                )
                for run in runs
            ]
            for column, limit in enumerate((width // 4, width // 3, width // 5)):
                longest = max(cell_len(row[column]) for row in cells)
                self._widths[column] = min(max(self._widths[column], longest), limit)
            remaining = width - 1 - sum(self._widths) - _TIME - 4 * len(_GAP)
            header = Text(self._make_line("task", "organization", "state", "time").plain, style="dim")
            lines = [header, *(self._make_row(run, row, remaining) for run, row in zip(runs, cells, strict=True))]
            if number > len(runs):
                lines.append(Text(f"… {number - len(runs)} more", style="dim"))
        lines += counts
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return Text("\n", no_wrap=True).join(lines[-max(1, height - 1) :])

    def count(self, elapsed: float, snapshot: Snapshot | None = None) -> list[Text]:
        """Return lines that count the runs of the task, the latest round of its masters, and the earlier rounds."""
        return list(map(Text, self._overview.describe_counts(elapsed, snapshot)))

    def _make_row(self, run: RunRecord, cells: tuple[str, str, str], remaining: int) -> Text:
        time_ = format_duration(measure_seconds(run), exactly=run.finished_at is not None)
        line = self._make_line(*cells, time_, style=_STYLES.get(cells[2], "red"))
        if (failure := self._overview.get_failure(run)) is not None:
            return line.append(f"[{failure.exit_code}] {escape_unprintable(failure.message)}", style="red")
        progress = read_progress(self._progress.get(run.id, "")) if run.status == "active" else None
        if progress is None:
            return line.append(self._rounds.get(run.id, "") if run.status == "active" else "", "dim")
        fraction, text = progress
        bar = min(_BAR, max(remaining // 2 - len(" 100%"), 0))
        done = round(bar * fraction)
        return line.append("━" * done, "green").append("─" * (bar - done), "dim").append(f" {fraction:>4.0%} {text}")

    def _make_line(self, task: str, organization: str, state: str, time_: str, style: str = "") -> Text:
        cells = Text(task), Text(organization), Text(state, style)
        for cell, width in zip(cells, self._widths, strict=True):
            cell.truncate(width, overflow="ellipsis", pad=True)
        return Text(_GAP).join([*cells, Text(f"{time_:>{_TIME}}{_GAP}")])


@contextmanager
def _capture_streams(take_line: Callable[[str], object], before_input: Callable[[], object]) -> Iterator[None]:
    """Capture the lines of standard output and error of this process, where functions of runner inline print.

    A stream that is not a terminal is not captured, because a script may write its output to a file.
    ``take_line`` is called in the thread that prints. ``before_input`` is called before the process reads from the
    terminal, for instance in a debugger at a breakpoint.
    """
    stdout, stderr, original_input = sys.stdout, sys.stderr, builtins.input
    captured = [_CapturedStream(stream, take_line) if stream.isatty() else stream for stream in (stdout, stderr)]

    def read_input(*arguments: Any, **keywords: Any) -> Any:
        before_input()
        return original_input(*arguments, **keywords)

    sys.stdout, sys.stderr = cast("list[TextIO]", captured)
    builtins.input = read_input  # pdb calls `input` as well; a hook in pdb itself would stop in this module
    yield
    sys.stdout, sys.stderr, builtins.input = stdout, stderr, original_input
    for stream in captured:
        if isinstance(stream, _CapturedStream):
            stream.let_through()


class _CapturedStream:
    """Pass written lines to ``take_line``; behave like the original stream otherwise."""

    def __init__(self, stream: TextIO, take_line: Callable[[str], object]) -> None:
        self._stream = stream
        self._take_line = take_line
        self._line = ""
        self._is_transparent = False

    def let_through(self) -> None:
        """Write to the original stream from now on, because other code may keep a reference to this stream."""
        self._is_transparent = True
        if self._line:
            self._take_line(self._line)

    def write(self, text: str) -> int:
        if self._is_transparent:
            return self._stream.write(text)
        *lines, last = f"{self._line}{text}".split("\n")
        self._line = last.rpartition("\r")[2]  # a terminal would overwrite the text before
        for line in lines:
            self._take_line(line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        if self._is_transparent:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
