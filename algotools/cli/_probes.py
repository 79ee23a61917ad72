"""The warnings of ``algotools run`` about values that depend on few records."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from algotools.federation import Federation
from algotools.runtime.logs import escape_unprintable


def show_probes(federation: Federation, is_stopped: Callable[[], bool]) -> None:
    """Probe each rpc of the finished tasks, and write a warning to standard error for each that a node would refuse.

    The results are complete, so a failure of probing is not reported.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with contextlib.suppress(Exception):  # whatever fails, the exit code is that of the run
        for reason in federation.probe(is_stopped):
            console.print(Text(f"warning: {escape_unprintable(reason)}"), style="yellow")
