"""The table of a task that is run, as it is drawn at one moment."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from algotools.cli.overview import Overview, fitting, seconds
from algotools.contract.platform import Run
from algotools.report import visible

GAP = "  "
BAR = 16
TIME = len("1:00:00")

STATES = {"completed": "green", "active": "bold", "initializing": "dim", "pending": "dim"}
"""State of a run -> its style; any other is a failure."""


class Frames:
    """Draws one after the other; columns grow with what is in them, and never shrink again, so that nothing jumps."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._widths = [len("task"), len("organization"), len("completed")]

    def draw(self, width: int, height: int, took: float) -> Text:
        """As many rows as there is room for, a line that says how many more there are, and the counts.

        Args:
            width: cells of a line of the terminal.
            height: its lines, of which at least one is left free.
            took: seconds since the beginning.
        """
        now = self._overview.look()
        number = len(now.own) + len(now.asked)
        counts = self.counts(took)
        room = height - len(counts) - 3  # for the head, the line of the rest, and one where the cursor may be
        if number > room:
            room = min(room, height * 2 // 3)  # not all can be seen anyway; so some of what was said can
        lines = []
        if room > 0:
            own, shown = {run.id for run in now.own}, fitting(now, room)
            tasks = [f"{'' if run.id in own else GAP}{self._overview.method(run)}" for run in shown]
            cells = [
                (task, self._overview.organization(run), run.status) for task, run in zip(tasks, shown, strict=True)
            ]
            for column, most in enumerate((width // 4, width // 3, width // 5)):
                longest = max(cell_len(row[column]) for row in cells)
                self._widths[column] = min(max(self._widths[column], longest), most)
            left = width - 1 - sum(self._widths) - TIME - 4 * len(GAP)
            head = Text(self._line("task", "organization", "state", "time").plain, style="dim")
            rows = (self._row(run, row, left) for run, row in zip(shown, cells, strict=True))
            rest = [Text(f"… {number - len(shown)} more", style="dim")] if number > len(shown) else []
            lines = [head, *rows, *rest]
        lines += counts
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        return Text("\n", no_wrap=True).join(lines[-max(1, height - 1) :])

    def counts(self, took: float) -> list[Text]:
        """The counts alone."""
        first, *others = self._overview.summaries(self._overview.look())
        return [Text(f"{first}; {lasted(took)}"), *map(Text, others)]

    def _row(self, run: Run, cells: tuple[str, str, str], left: int) -> Text:
        time = lasted(seconds(run), exactly=run.finished_at is not None)
        line = self._line(*cells, time, style=STATES.get(cells[2], "red"))
        return line.append_text(self._told(run, left))

    def _line(self, task: str, organization: str, state: str, time: str, style: str = "") -> Text:
        first, second, third = self._widths
        start = f"{fit(task, first)}{GAP}{fit(organization, second)}{GAP}"
        return Text.assemble(start, (fit(state, third), style), f"{GAP}{time:>{TIME}}{GAP}")

    def _told(self, run: Run, width: int) -> Text:
        """What a run says: why it has failed, or how far it has come."""
        if (failure := self._overview.failure(run)) is not None:
            return Text(f"[{failure.exit_code}] {visible(failure.message)}", style="red")
        if run.status != "active" or (told := self._overview.progress(run)) is None:
            return Text()
        fraction, text = told
        bar = min(BAR, max(width // 2 - len(" 100%"), 0))
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
