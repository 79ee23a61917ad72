"""The counts of the adversary: attempts, and the faults that they found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..conftest import ROOT

PAGE = ROOT / "docs" / "trust.md"
MARKERS = ("<!-- scoreboard -->", "<!-- /scoreboard -->")

FAULTS = {
    "value": "accidental values",
    "name": "names",
    "credential": "credentials",
    "orphan": "orphans",
    "left": "files left",
    "hang": "hangs",
    "code": "undocumented codes",
    "traceback": "tracebacks",
    "output": "outputs of failures",
    "breach": "breaches",
}
"""Kind of fault -> column of the table."""

DOCUMENTED_CODES = {
    int(code)
    for code in re.findall(r"^\| +(\d+) \|", (ROOT / "docs" / "exit-codes.md").read_text("utf-8"), re.MULTILINE)
}
FAULT_CODES = {1, 70}
"""Documented codes that mean a fault of Python or algotools; no attempt may cause one."""


@dataclass
class AttackGroup:
    """One kind of attack."""

    title: str
    attempts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    """Facts that are not faults: exit codes, values sent on purpose."""

    def report(self, kind: str, attempt: str, reason: str) -> None:
        """Count a fault, and store its description."""
        assert kind in FAULTS
        self.faults[kind] += 1
        self.findings.append(f"{self.title}: {FAULTS[kind]}: {attempt}: {reason}")

    def add(self, other: AttackGroup) -> None:
        """Add the counts of another part of the same attack."""
        self.attempts += other.attempts
        self.faults += other.faults
        self.findings += other.findings
        self.notes += other.notes

    def check_code(self, code: int, attempt: str, *, allowed: Iterable[int] = ()) -> None:
        """Count an exit code that is not documented, or that means a fault of ours."""
        self.notes[f"code {code}"] += 1
        if code not in allowed and (code not in DOCUMENTED_CODES or code in FAULT_CODES):
            self.report("code", attempt, str(code))

    def check_text(self, text: str, attempt: str) -> None:
        """Count a traceback in a text that a researcher or a user reads."""
        if re.search(r"Traceback \(most recent|^ +File \".*\", line |Exception ignored in", text, re.MULTILINE):
            self.report("traceback", attempt, text[-600:])


def format_table(rows: Mapping[str, Sequence[int]]) -> str:
    """Return rows of counts as a table in Markdown."""
    lines = [f"| attack | attempts | {' | '.join(FAULTS.values())} |", f"| --- {'| ---: ' * (len(FAULTS) + 1)}|"]
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    for title, counts in {**rows, "**total**": totals}.items():
        lines.append(f"| {title} | {' | '.join(f'{count:,}' for count in counts)} |")
    return "\n".join(lines)


def list_rows(groups: Iterable[AttackGroup]) -> dict[str, list[int]]:
    """Return the counts of each group: attempts, then faults."""
    return {group.title: [group.attempts, *(group.faults[kind] for kind in FAULTS)] for group in groups}


def read_page() -> dict[str, list[int]]:
    """Return the rows of the table in docs/trust.md, without the totals."""
    start, end = MARKERS
    lines = PAGE.read_text("utf-8").partition(start)[2].partition(end)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {title: [int(c.replace(",", "")) for c in counts] for title, *counts in cells if title != "**total**"}


def write_page(groups: Iterable[AttackGroup]) -> None:
    """Replace the rows of the attacks in docs/trust.md."""
    start, end = MARKERS
    table = format_table({**read_page(), **list_rows(groups)})
    before, _, following = PAGE.read_text("utf-8").partition(start)
    PAGE.write_text(f"{before}{start}\n{table}\n{end}{following.partition(end)[2]}", encoding="utf-8")
