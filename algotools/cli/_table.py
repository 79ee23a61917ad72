"""The progress of a running task on a terminal: a live table below scrolling log lines."""

from __future__ import annotations

import builtins
import datetime
import math
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from algotools.cli._progress import LineView, Overview, Snapshot, add_label, is_shown
from algotools.federation.contract.rest import RunRecord
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


_CATEGORIES = {"completed": "completed", "active": "active", "initializing": "active", "pending": "pending"}
"""State of a run -> category for counting; all other states are failures."""


class TableView(LineView):
    """Draw a table of the runs several times a second.

    When the algorithm reads from the terminal, the table is removed permanently, and lines are written instead.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.interval = FRAME_INTERVAL
        self._console = Console(file=stream, highlight=False)
        # Rich could redirect standard output and error by itself. But rich redraws the table for each line, in the
        # thread that prints. A function that prints many lines would then wait for the terminal.
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._started = time.monotonic()
        self._lines: deque[str] = deque()
        self._latest: dict[int, str] = {}
        self._rounds: dict[int, str] = {}
        self._frames: _Frames | None = None
        self._streams = ExitStack()
        self._has_terminal = True

    def receive_line(self, run: RunRecord, line: str) -> None:
        """Store a new line of a run's log until the next frame, so that runs do not wait for the terminal."""
        if not self._has_terminal:
            super().receive_line(run, line)
        elif read_progress(line) is not None:
            self._latest[run.id] = line
        elif is_shown(line):
            if match := _ROUND.fullmatch(line):
                self._rounds[run.id] = match[1]
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
                super().update()
            elif self._frames is not None:
                started = time.thread_time()  # excludes the time of the runs in other threads
                self._live.start()
                self._print_lines()  # rich draws the previous frame again below the lines
                frame = self._frames.draw(*self._console.size, time.monotonic() - self._started)
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
            if was_drawn and self._frames is not None:
                counts = self._frames.count(time.monotonic() - self._started)
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
            runs = _select(snapshot, capacity)
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
        task_runs, by_master, round_number, earlier_rounds = snapshot or self._overview.take_snapshot()
        subtask_runs = [run for runs in by_master.values() for run in runs]
        method = self._overview.get_method(task_runs[0])
        lines = [f"{method}: {format_counts(Counter(run.status for run in task_runs))}; {format_duration(elapsed)}"]
        if subtask_runs:
            methods = dict.fromkeys(map(self._overview.get_method, {run.task_id: run for run in subtask_runs}.values()))
            label = ", ".join(methods) + (f", round {round_number}" if round_number > 1 else "")
            lines.append(f"{label}: {format_counts(Counter(run.status for run in subtask_runs))}")
        if earlier_rounds:
            lines.append(f"earlier rounds: {format_counts(earlier_rounds, with_total=False)}")
        return list(map(Text, lines))

    def _make_row(self, run: RunRecord, cells: tuple[str, str, str], remaining: int) -> Text:
        time_ = format_duration(_measure_seconds(run), exactly=run.finished_at is not None)
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


def _select(snapshot: Snapshot, capacity: int) -> list[RunRecord]:
    """Select the runs to show in ``capacity`` lines.

    If all runs fit, the subtask runs of a master are below the master. Otherwise the runs of the task get at most a
    quarter of the lines, and the subtask runs get the remaining lines.
    """
    subtask_runs = [run for runs in snapshot.subtask_runs.values() for run in runs]
    if len(snapshot.task_runs) + len(subtask_runs) <= capacity:
        by_master = snapshot.subtask_runs
        return [run for master in snapshot.task_runs for run in (master, *by_master.get(master.organization_id, ()))]
    if not subtask_runs:
        return _select_most_important(snapshot.task_runs, capacity)
    task_runs = _select_most_important(snapshot.task_runs, max(1, capacity // 4))
    return [*task_runs, *_select_most_important(subtask_runs, capacity - len(task_runs))][:capacity]


def _select_most_important(runs: Sequence[RunRecord], capacity: int) -> list[RunRecord]:
    """Select failures for at most half of the lines, then the longest active runs, then the latest completed runs."""
    if len(runs) <= capacity:
        return list(runs)
    by_category: dict[str, list[RunRecord]] = {"failed": [], "active": [], "completed": [], "pending": []}
    for run in runs:
        by_category[_CATEGORIES.get(run.status, "failed")].append(run)
    failed, active, completed, pending = by_category.values()
    active.sort(key=lambda run: (run.status == "initializing", run.started_at or ""))
    completed.sort(key=lambda run: str(run.finished_at), reverse=True)
    return [*failed[: math.ceil(capacity / 2)], *active, *completed, *pending][:capacity]


def _measure_seconds(run: RunRecord) -> float | None:
    """Return the time from the start of a run until its end or now; None if the run has not started."""
    if run.started_at is None:
        return None
    end = run.finished_at or datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()
    took = datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(run.started_at)
    return max(0.0, took.total_seconds())


def format_counts(statuses: Counter[str], *, with_total: bool = True) -> str:
    """Format the number of runs in each category.

    >>> format_counts(Counter(["completed", "crashed", "active", "pending", "completed"]))
    '2 of 5 completed, 1 failed, 1 active, 1 pending'
    """
    numbers = Counter[str]()
    for status, number in statuses.items():
        numbers[_CATEGORIES.get(status, "failed")] += number
    total = f" of {numbers.total()}" if with_total else ""
    parts = [f"{numbers[category]} {category}" for category in ("failed", "active", "pending") if numbers[category]]
    return ", ".join([f"{numbers['completed']}{total} completed", *parts])


def format_duration(seconds: float | None, *, exactly: bool = False) -> str:
    """Format a time in seconds with few characters.

    >>> format_duration(0.26, exactly=True), format_duration(7.9), format_duration(83), format_duration(3671)
    ('0.3 s', '7 s', '1:23', '1:01:11')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if exactly and seconds < 9.95 else f"{int(seconds)} s"
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes}:{seconds:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


@contextmanager
def _capture_streams(take_line: Callable[[str], object], before_input: Callable[[], object]) -> Iterator[None]:
    """Capture the lines of standard output and error of this process, where functions of runner inline print.

    ``take_line`` is called in the thread that prints. ``before_input`` is called before the process reads from the
    terminal, for instance in a debugger at a breakpoint.
    """
    stdout, stderr, original_input = sys.stdout, sys.stderr, builtins.input
    captured = _CapturedStream(stdout, take_line), _CapturedStream(stderr, take_line)

    def read_input(*arguments: Any, **keywords: Any) -> Any:
        before_input()
        return original_input(*arguments, **keywords)

    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", captured)
    builtins.input = read_input  # pdb calls `input` as well; a hook in pdb itself would stop in this module
    yield
    sys.stdout, sys.stderr, builtins.input = stdout, stderr, original_input
    for stream in captured:
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
