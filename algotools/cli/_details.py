"""The details of a finished task: the output of its functions, its failures, and hints about refused arguments."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from algotools.errors import ArgumentsError
from algotools.federation.contract.rest import RunRecord
from algotools.federation.progress import Overview

NAMES_IN_ROW = 3
"""Maximal number of organizations named in a shared row."""

NAMES_IN_DETAILS = 20
"""Maximal number of organizations named above the details of a failure, and above a result."""

DETAILS = 3
"""Maximal number of different details shown for a failure."""


def show_details(
    overview: Overview, console: Console, arguments: Mapping[str, object], *, is_quiet: bool = False
) -> None:
    """Show the output of the functions, and failures with their details. Failures of subtasks come first.

    At a node, only the owner may read details. On a local federation the author is the owner of every node. With
    ``is_quiet``, only failures are shown.
    """
    printed: dict[str, list[RunRecord]] = {}
    failures: dict[tuple[int, str], dict[str, list[RunRecord]]] = {}
    for task in (*overview.list_subtasks(), overview.task):
        for run in task.fetched_runs:
            if (failure := overview.get_failure(run)) is not None:
                details = failures.setdefault((failure.exit_code, failure.message), {})
                detail = failure.detail.rstrip()
                details.setdefault("" if detail == failure.message else detail, []).append(run)
            elif run.detail and not is_quiet:
                printed.setdefault(run.detail.rstrip(), []).append(run)
    for text, runs in printed.items():
        console.print(Text.assemble((format_names(overview, runs, NAMES_IN_DETAILS), "cyan"), " printed:"))
        console.print(Text.from_ansi(text))
    for (code, message), details in failures.items():
        names = format_names(overview, [run for runs in details.values() for run in runs], NAMES_IN_DETAILS)
        console.print(Text.assemble((names, "red"), f": [{code}] {message}"))
        for text, runs in list(details.items())[:DETAILS]:
            if text and len(details) > 1:
                console.print(Text(f"{format_names(overview, runs, NAMES_IN_ROW)}:", style="dim"))
            if text:
                console.print(Text.from_ansi(text, style="dim"))
        if (hidden := len(details) - DETAILS) > 0:
            details_are = "detail is" if hidden == 1 else "details are"
            console.print(f"{hidden} more {details_are} not shown; --organizations ID runs only one node", style="dim")
        if code == ArgumentsError.exit_code:
            for hint in suggest_operators(message, arguments):
                console.print(hint, style="dim", markup=False)


def suggest_operators(message: str, arguments: Mapping[str, object]) -> Iterator[str]:
    """Yield a hint for each refused argument that ``:=`` instead of ``=`` would pass as intended, or the reverse."""
    problems = message.partition(" (the function takes")[0].split("; ")
    for name, value in arguments.items():
        problem = next((problem for problem in problems if problem.startswith(f"{name}: ")), "")
        if problem and isinstance(value, str) and (intended := _guess_json(value, problem)) is not None:
            yield f"{name}=… passes a string; write {name}:={shlex.quote(intended)}"
        elif "expected str" in problem and not isinstance(value, str):
            yield f"{name}:=… passes JSON; to pass a string, write {name}=…"


def _guess_json(text: str, problem: str) -> str | None:
    """Return the JSON that a text probably means: itself, or a list of its parts; None if it is only a text."""
    for candidate in (text, f"[{text}]"):
        with contextlib.suppress(ValueError, RecursionError):
            return None if isinstance(json.loads(candidate), str) else candidate
    return json.dumps(text.split(","), ensure_ascii=False) if "expected array" in problem else None


def format_names(overview: Overview, runs: Sequence[RunRecord], limit: int) -> str:
    """List the organizations of runs without duplicates. If there are more than ``limit``, count the last."""
    names = list(dict.fromkeys(map(overview.format_organization, runs)))
    if len(names) <= limit + 1:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"
