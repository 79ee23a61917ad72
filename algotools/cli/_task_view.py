"""The streams and the view of a command that runs tasks: progress and warnings on standard error, results apart."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from algotools.cli._console import show_note
from algotools.cli._signals import StopRequest
from algotools.cli._streams import OutputStream
from algotools.errors import RunsIncomplete
from algotools.federation import ContributorsChanged, Federation, ResultMismatch
from algotools.federation.progress import LineView, Overview, is_terminal


def follow_task(federation: Federation, overview: Overview, view: LineView, stop: StopRequest) -> None:
    """Show a task until it is complete. After a signal, exit with the signal's code."""
    view.follow(overview)
    with show_warnings():
        while stop.exit_code is None and not federation.wait(overview.task.id, view.interval):
            view.update()
        view.close()
    if stop.exit_code is not None:
        sys.stderr.write("stopping all runs …\n")
        sys.exit(stop.exit_code)


@contextmanager
def show_warnings() -> Iterator[None]:
    """Show warnings about the nodes of a result as notes, without the line of the code that warns."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always", ContributorsChanged)
        warnings.simplefilter("always", RunsIncomplete)
        warnings.simplefilter("always", ResultMismatch)
        yield
    visible_categories = (ContributorsChanged, ResultMismatch, RunsIncomplete)
    for text in dict.fromkeys(
        str(warning.message) for warning in recorded if isinstance(warning.message, visible_categories)
    ):
        show_note(f"warning: {text}")  # once, because many tasks of a grid have the same warning
    for warning in recorded:
        if not isinstance(warning.message, visible_categories):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


@contextmanager
def open_view(*, is_quiet: bool = False) -> Iterator[LineView]:
    """Show the progress of a task on standard error: as a live table on a terminal, otherwise as lines."""
    if is_quiet:
        with open(os.devnull, "w", encoding="utf-8") as stream:
            yield LineView(stream)
        return
    view = LineView(sys.stderr)
    if is_terminal(sys.stderr, os.environ):
        from algotools.federation.progress.table import (
            TableView,  # imported here, because only a terminal needs the table
        )

        view = TableView(sys.stderr)
    try:
        yield view
    finally:
        view.close()


@contextmanager
def open_results_stream() -> Iterator[TextIO]:
    """Open standard output for the results, and redirect all other output to standard error."""
    # The descriptor itself is redirected, because child processes and compiled libraries do not write to sys.stdout.
    sys.stdout.flush()
    original_stdout = os.dup(1)
    try:
        os.dup2(2, 1)
        with OutputStream(open(os.dup(original_stdout), "wb"), encoding="utf-8") as results_stream:
            yield results_stream
    finally:
        sys.stdout.flush()
        os.dup2(original_stdout, 1)
        os.close(original_stdout)
