"""The warnings of ``algotools run`` about values that depend on few records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from algotools.cli._console import show_note
from algotools.federation import Federation
from algotools.federation.progress.status_line import StatusLine
from algotools.runtime.logs import escape_unprintable

TIME_LIMIT = 30.0
"""Seconds that probing may take, because it delays the end of a command whose results are complete."""


def show_probes(federation: Federation, is_stopped: Callable[[], bool], *, is_quiet: bool = False) -> None:
    """Probe each rpc of the finished tasks, and write a warning to standard error for each that a node would refuse.

    The results are complete, so a failure of probing is not reported. If it takes noticeably long, a line shows it,
    unless *is_quiet* is true.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    line = StatusLine(not is_quiet)
    text = f"probing for values that depend on few records, at most {TIME_LIMIT:g} s (--no-probe leaves it out)"

    def check_stop() -> bool:
        line.update(text)
        return is_stopped()

    started = time.monotonic()
    with contextlib.suppress(Exception):  # whatever fails, the exit code is that of the run
        for reason in federation.probe(check_stop, TIME_LIMIT):
            line.close()
            console.print(Text(f"warning: {escape_unprintable(reason)}"), style="yellow")
    line.close()
    if time.monotonic() - started >= TIME_LIMIT and not is_quiet:
        show_note(f"probing stopped after {TIME_LIMIT:g} s, before all functions were probed")
