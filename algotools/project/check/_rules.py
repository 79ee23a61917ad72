"""The findings and the report of a check.

All of them are plain data, because findings are sent from the child process to the command.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from algotools.disclosure.leaving import LeavingValues
from algotools.project.check._catalogue import RULES

NO_TRIAL_HINT = "; --no-trial leaves the calls out"
"""The end of the line that announces trial calls."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: its rule, its file and line, the reason and the advice."""

    rule: str
    file: str
    """Relative to the project."""
    line: int | None = None
    """Counted from 1; None for the whole file, or a missing file."""
    reason: str
    way_out: str

    @classmethod
    def of(cls, rule: str, file: str, line: int | None, reason: str, way_out: str = "") -> Finding:
        """Return a finding; an empty *way_out* means the advice of the rule."""
        return cls(rule=rule, file=file, line=line, reason=reason, way_out=way_out or RULES[rule].way_out)

    @property
    def is_warning(self) -> bool:
        """Whether the finding does not fail the check."""
        return RULES[self.rule].is_warning

    @property
    def location(self) -> str:
        """``file:line``, the format that editors and terminals make clickable."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class NotTried(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the check has not called, or whose result it has not compared over splits of the rows."""

    method: str
    reason: str


class ChosenArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that the check has chosen as the arguments of a function's calls."""

    method: str
    arguments: dict[str, Any]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The decision of the disclosure gate about the result of a trial call."""

    method: str
    called: str = ""
    """The method of the call, if this is not ``method``: the rpc of a pooled function."""
    rule: str = ""
    """The rule that refuses the result; empty if the result passes."""
    path: str = ""
    reason: str = ""
    way_out: str = ""
    leaving: tuple[LeavingValues, ...] | None = None
    """The values of the result; None if the policy judges no result, or refuses the call before it."""


def format_arguments(arguments: Mapping[str, object]) -> str:
    """Format arguments for a message: ``column='age', by='sex'``."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a check."""

    algorithm: str | None
    """The algorithm's module; None if the project does not name a module."""
    findings: tuple[Finding, ...]
    """The faults. Sorted, without duplicates."""
    warnings: tuple[Finding, ...] = ()
    """The findings of the rules that do not fail the check; sorted, without duplicates."""
    functions: int
    """The number of registered functions that were checked."""
    files: int
    """The number of files that were checked."""
    not_tried: tuple[NotTried, ...] = ()
    """The functions that could not be called, with the reason; empty without trial calls."""
    chosen_arguments: tuple[ChosenArguments, ...] = ()
    """The arguments of each function that was called without arguments of the author's own."""
    verdicts: tuple[Verdict, ...] = ()
    """The decisions of the disclosure gate about the functions that were called."""


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return each finding once, sorted by file and line."""
    return tuple(sorted(set(findings), key=lambda f: (f.file, f.line or 0, f.rule, f.reason)))


def relative_path(path: str | Path, root: Path) -> str:
    """Return a path relative to the project, as findings show it; a file outside of the project begins with ``..``."""
    return Path(os.path.relpath(path, root)).as_posix()
