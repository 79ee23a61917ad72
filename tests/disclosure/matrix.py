"""The matrix of the gate: which cheats the structural rules refuse, and which honest runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from algotools.disclosure.rules import WAYS_OUT, Refusal

from ..conftest import ROOT
from .cases import Cheat, Honest
from .corpus import CHEATS, HONEST, MODULES
from .judging import Run, run_case

MINIMA = (3, 5, 10)
PARTS = ("tuning", "kept back")
PAGE = ROOT / "docs" / "trust.md"
MARKERS = ("<!-- gate -->", "<!-- /gate -->")


class Judgement(NamedTuple):
    """The runs of a case at one node, and the refusals for each minimum."""

    case: Cheat | Honest
    table: str
    refusals: dict[int, list[Refusal]]

    @property
    def part(self) -> str:
        return PARTS[self.case.kept_back]

    def list_rules(self, k: int) -> set[str]:
        return {refusal.rule for refusal in self.refusals[k]}


def judge_case(case: Cheat | Honest, table: str) -> Judgement:
    runs: list[Run] = run_case(case, table)
    return Judgement(case, table, {k: [refusal for run in runs for refusal in run.judge(k)] for k in MINIMA})


@functools.cache
def judge_cheats() -> list[Judgement]:
    """Judge the cheats with a leak in their results, at each node at which they leak."""
    cheats = [cheat for cheat in CHEATS if cheat.leak in {"result", "several tasks"}]
    return [judge_case(cheat, table) for cheat in cheats for table in cheat.tables if cheat.leaks_on(table)]


@functools.cache
def judge_honest() -> list[Judgement]:
    return [judge_case(honest, table) for honest in HONEST for table in honest.tables]


def is_right(judgement: Judgement) -> bool:
    """Whether the corpus says why a refusal of this honest run is right."""
    return isinstance(judgement.case, Honest) and judgement.table in judgement.case.right_refusals


class Count(NamedTuple):
    """A share of cases."""

    count: int
    total: int

    def __str__(self) -> str:
        return f"{self.count} of {self.total} ({self.share:.0%})"

    @property
    def share(self) -> float:
        return self.count / self.total if self.total else 0.0


def count_cheats(
    k: int,
    parts: Sequence[str] = PARTS,
    choose: Callable[[Judgement], bool] = lambda _: True,
    *,
    everywhere: bool = True,
) -> Count:
    """Count the cheats that are refused, at every node at which they leak or at one of them."""
    nodes: dict[str, list[bool]] = {}
    for judgement in judge_cheats():
        if judgement.part in parts and choose(judgement):
            nodes.setdefault(judgement.case.name, []).append(bool(judgement.refusals[k]))
    test = all if everywhere else any
    return Count(sum(test(verdicts) for verdicts in nodes.values()), len(nodes))


def count_honest(k: int, parts: Sequence[str] = PARTS) -> Count:
    """Count the honest runs that are refused, without those whose refusal is right."""
    runs = [judgement for judgement in judge_honest() if judgement.part in parts and not is_right(judgement)]
    return Count(sum(bool(run.refusals[k]) for run in runs), len(runs))


def in_result(judgement: Judgement) -> bool:
    return isinstance(judgement.case, Cheat) and judgement.case.leak == "result"


def count_rule(rule: str, k: int, part: str) -> tuple[int, int, int]:
    """Count the cheats that a rule refuses, those that no other rule refuses at some node, and honest runs."""
    caught = {j.case.name for j in judge_cheats() if j.part == part and rule in j.list_rules(k)}
    alone = {j.case.name for j in judge_cheats() if j.part == part and j.list_rules(k) == {rule}}
    honest = sum(rule in j.list_rules(k) for j in judge_honest() if j.part == part and not is_right(j))
    return len(caught), len(alone), honest


def format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def format_totals() -> str:
    rows: list[list[object]] = []
    for title, count in {
        "cheats in a result, refused at every node": lambda k, part: count_cheats(k, [part], in_result),
        "cheats in a result, refused at one node": lambda k, part: count_cheats(k, [part], in_result, everywhere=False),
        "cheats with several tasks, refused at every node": lambda k, part: count_cheats(
            k, [part], lambda judgement: not in_result(judgement)
        ),
        "honest runs refused": lambda k, part: count_honest(k, [part]),
    }.items():
        rows.extend([f"{title}, {part}", *(count(k, part) for k in MINIMA)] for part in PARTS)
    return format_table(["", *(f"k = {k}" for k in MINIMA)], rows)


def format_rules(k: int) -> str:
    rows = []
    for rule in WAYS_OUT:
        (caught, alone, honest), kept = (count_rule(rule, k, part) for part in PARTS)
        rows.append([f"`{rule}`", caught, alone, honest, *kept])
    head = ["caught", "alone", "honest"]
    return format_table([f"rule, k = {k}", *head, *(f"{name}, kept back" for name in head)], rows)


def format_groups() -> str:
    rows = []
    for group in MODULES:
        chosen = [count_cheats(k, PARTS, lambda j, group=group: j.case.group == group) for k in MINIMA]
        if chosen[0].total:
            rows.append([group, chosen[0].total, *(count.count for count in chosen)])
    return format_table(["group", "cheats", *(f"k = {k}" for k in MINIMA)], rows)


def list_misses(k: int = 3) -> dict[str, list[str]]:
    """Return the cheats of the tuning part that are not refused at some node, with these nodes."""
    misses: dict[str, list[str]] = {}
    for judgement in judge_cheats():
        if judgement.part == "tuning" and not judgement.refusals[k]:
            misses.setdefault(judgement.case.name, []).append(judgement.table)
    return misses


def format_misses() -> str:
    counts = {name: sum(j.case.name == name for j in judge_cheats()) for name in list_misses()}
    missed = {name: len(tables) for name, tables in list_misses().items()}
    everywhere = [f"`{name}`" for name in missed if missed[name] == counts[name]]
    partly = [f"`{name}` ({missed[name]} of {counts[name]})" for name in missed if missed[name] < counts[name]]
    return f"Passed at every node: {', '.join(everywhere)}.\n\nPassed at some nodes: {', '.join(partly)}."


def format_honest() -> str:
    """List the refused honest runs of the tuning part, and the right refusals."""
    lines = {}
    for judgement in judge_honest():
        for refusal in judgement.refusals[3] if judgement.part == "tuning" else ():
            name = "right refusal: " * is_right(judgement) + f"`{judgement.case.name}`"
            lines.setdefault((name, refusal.rule, refusal.way_out), []).append(f"`{judgement.table}`")
    rows = [[name, f"`{rule}`", ", ".join(tables), way] for (name, rule, way), tables in sorted(lines.items())]
    return format_table(["honest function", "rule", "tables", "way out"], rows)


def format_matrix() -> str:
    """Return all tables in Markdown."""
    parts = [
        format_totals(),
        format_rules(3),
        format_groups(),
        format_misses(),
        format_honest(),
    ]
    return "\n\n".join(parts)


def write_page() -> None:
    """Replace the matrix in docs/trust.md."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(MARKERS[0])
    _, _, tail = rest.partition(MARKERS[1])
    PAGE.write_text(f"{head}{MARKERS[0]}\n{format_matrix()}\n{MARKERS[1]}{tail}", encoding="utf-8")
