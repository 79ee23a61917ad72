"""The progress of a running task in a notebook: a table below the cell, which is updated in place."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from algotools.federation._answers import format_html_table
from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress._lines import LineView
from algotools.federation.progress._overview import Overview, format_duration, measure_seconds, select_runs
from algotools.runtime.logs import read_progress

MOST_ROWS = 20
"""Number of runs that the table shows."""


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which can update its outputs."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookView(LineView):
    """Show the runs as a table; at the end, only the lines that count them remain."""

    interval = 0.5

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._latest: dict[int, str] = {}
        self._display: Any = None

    def receive_line(self, run: RunRecord, line: str) -> None:
        """Store a line with the progress of a run; other lines are not shown."""
        if read_progress(line) is not None:
            self._latest[run.id] = line

    def update(self) -> None:
        """Show the current state."""
        if (overview := self._overview) is not None:
            self._show(f"{self._make_table(overview)}{_format_lines(self._count(overview))}", self._count(overview))

    def close(self) -> None:
        """Replace the table with the lines that count the runs."""
        if self._display is not None and (overview := self._overview) is not None:
            self._show(_format_lines(self._count(overview)), self._count(overview))

    def _count(self, overview: Overview) -> list[str]:
        return overview.describe_counts(time.monotonic() - self.started)

    def _make_table(self, overview: Overview) -> str:
        snapshot = overview.take_snapshot()
        rows = []
        for run in select_runs(snapshot, MOST_ROWS):
            seconds = format_duration(measure_seconds(run), exactly=run.finished_at is not None)
            progress = read_progress(self._latest.get(run.id, "")) if run.status == "active" else None
            failure = overview.get_failure(run)
            text = f"{progress[0]:.0%} {progress[1]}" if progress else ""
            text = f"[{failure.exit_code}] {failure.message}" if failure else text
            rows.append([overview.get_method(run), overview.format_organization(run), run.status, seconds, text])
        return format_html_table(["task", "organization", "state", "time", ""], rows)

    def _show(self, markup: str, lines: list[str]) -> None:
        from IPython import display  # type: ignore[import-not-found,unused-ignore]  # only in a notebook

        content = {"text/html": markup, "text/plain": "\n".join(lines)}
        metadata = {"algotools": {"kind": "progress"}}  # a reader of the notebook's file can tell it from results
        if self._display is None:
            show: Any = display.display
            self._display = show(content, raw=True, metadata=metadata, display_id=True)
        else:
            self._display.update(content, raw=True, metadata=metadata)


def _format_lines(lines: list[str]) -> str:
    """Return plain lines in HTML."""
    return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
