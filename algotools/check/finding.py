"""What the rules find: plain data, which also crosses from the child process to us."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from algotools.check.rules import RULES


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would fail: which rule, where, why, and what to do."""

    rule: str
    file: str
    """Relative to the project."""
    line: int | None = None
    """From 1; None where the whole file, or its absence, is meant."""
    reason: str
    way_out: str

    @property
    def place(self) -> str:
        """File and line, as editors and terminals understand them."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a check."""

    algorithm: str | None
    """The algorithm's module; None if nothing says which it is."""
    findings: tuple[Finding, ...]
    """Each once, in the order of files and lines."""
    functions: int
    """How many registered functions were looked at."""
    files: int
    """How many files were looked at."""


def found(rule: str, file: str, line: int | None, reason: str, way_out: str = "") -> Finding:
    """A finding; without a way out of its own it gets that of its rule."""
    return Finding(rule=rule, file=file, line=line, reason=reason, way_out=way_out or RULES[rule].way_out)


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Each finding once, by file and line."""
    return tuple(sorted(set(findings), key=lambda f: (f.file, f.line or 0, f.rule, f.reason)))


def relative(path: str | Path, root: Path) -> str:
    """A path as a finding shows it: relative to the project, even where it leaves it."""
    return Path(os.path.relpath(path, root)).as_posix()


def line_of(text: str, *needles: str) -> int | None:
    """The first line that holds all of the texts, from 1; None if there is none."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if all(needle in line for needle in needles)), None)
