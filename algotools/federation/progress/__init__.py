"""The progress of a running task, for the command line, for scripts and for notebooks.

``table`` draws a live table on a terminal. The caller imports it only then, because it needs rich.
"""

from algotools.federation.progress._lines import LineView, add_label, is_shown, is_terminal
from algotools.federation.progress._overview import (
    Overview,
    Snapshot,
    TaskSource,
    format_counts,
    format_duration,
    measure_seconds,
    select_runs,
)

__all__ = [
    "LineView",
    "Overview",
    "Snapshot",
    "TaskSource",
    "add_label",
    "format_counts",
    "format_duration",
    "is_shown",
    "is_terminal",
    "measure_seconds",
    "select_runs",
]
