"""The matrix of the gate: the cheats and the honest runs that the rules refuse, for each design of a policy."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from algotools.disclosure.policy import Policy
from algotools.disclosure.rules import WAYS_OUT

from ..conftest import ROOT, WHOLE
from .cases import Cheat, Honest
from .chain import Outcome, find_claims, has_leak, run_task
from .claims import PERSON
from .corpus import CHEATS, HONEST, MODULES, port
from .nodes import VISITS

MINIMA = (3, 5, 10)
PARTS = ("tuning", "kept back")
EVIDENCE_RULES = ("threshold", "dominance", "parameters", "difference", "margin", "undeclared")
PROBE_RULES = ("few", "dominance", "order", "pair", "large", "unprobed")
STRUCTURAL_RULES = tuple(rule for rule in WAYS_OUT if rule not in {*EVIDENCE_RULES, *PROBE_RULES, "earlier"})
PAGE = ROOT / "docs" / "trust.md"
MARKERS = ("<!-- {} -->", "<!-- /{} -->")


has_all_nodes = WHOLE
"""Whether the cheats are judged at each node where they leak, as for the page. ``__main__`` sets it."""


class Design(NamedTuple):
    """A setting of the owner, and whether the functions use reductions."""

    undeclared: str = "structure"
    is_ported: bool = False
    minima: Sequence[int] = MINIMA


DESIGNS = {
    "structure": Design(),
    "probing and structure": Design("probe", minima=MINIMA[:1]),  # each run is repeated about 20 times
    "evidence and structure": Design(is_ported=True),
    "evidence, `undeclared=refuse`": Design("refuse", is_ported=True),
}
STRUCTURE, PROBING, EVIDENCE, REFUSE = DESIGNS


class Judgement(NamedTuple):
    """The tasks of a case at one node, for one design."""

    case: Cheat | Honest
    table: str
    rules: Mapping[int, frozenset[str]]
    """Minimum -> the rules that refuse one of the results; empty if all results leave."""
    safe: frozenset[int] = frozenset()
    """The minima with which the results leave, and disclose nobody any more."""
    failures: frozenset[str] = frozenset()
    """Messages of functions that fail."""

    @property
    def part(self) -> str:
        return PARTS[self.case.kept_back]

    @property
    def is_ported(self) -> bool:
        return self.case.algorithm.endswith("_with_evidence")

    def is_stopped(self, k: int) -> bool:
        """Whether the case discloses nobody: it is refused, or its results are safe."""
        return bool(self.rules.get(k)) or k in self.safe


def make_policy(k: int, undeclared: str, table: str) -> Policy:
    """Return the policy of a node. Its owner names the column with the person of a row."""
    persons = (("default", PERSON),) if table in VISITS else ()
    return Policy(minimum_rows=k, minimum_cell=k, undeclared=undeclared, persons=persons)  # type: ignore[arg-type]


@functools.cache
def _run_tasks(name: str, table: str, *, is_ported: bool, undeclared: str, minimum: int) -> list[Outcome]:
    """Run the tasks of a case, and judge each result with all policies that give the worker the same permissions."""
    (case,) = [case for case in [*CHEATS, *HONEST] if case.name == name]
    case = (port(case) or case) if is_ported else case
    settings = ["probe"] if undeclared == "probe" else ["structure", "refuse"]
    minima = [minimum] if minimum else MINIMA
    policies = {(setting, k): make_policy(k, setting, table) for k in minima for setting in settings}
    return [run_task(case, table, arguments, policies) for arguments in case.list_tasks(table)]


def judge_case(case: Cheat | Honest, table: str, design: Design, minima: Sequence[int] = MINIMA) -> Judgement:
    """Run a case at a node. Without reductions and probing, the run does not depend on the minimum."""
    ported = port(case) if design.is_ported else None
    depends_on_minimum = ported is not None or design.undeclared == "probe"
    runs = {
        k: _run_tasks(
            case.name,
            table,
            is_ported=ported is not None,
            undeclared="probe" if design.undeclared == "probe" else "",
            minimum=k * depends_on_minimum,
        )
        for k in minima
        if k in design.minima
    }
    rules = {
        k: frozenset[str]().union(*(run.rules[design.undeclared, k] for run in outcomes))
        for k, outcomes in runs.items()
    }
    safe = {k for k in rules if isinstance(ported, Cheat) and not rules[k] and _is_safe(ported, table, runs[k])}
    failures = frozenset(run.failure for outcomes in runs.values() for run in outcomes if run.failure)
    return Judgement(ported or case, table, rules, frozenset(safe), failures)


def _is_safe(cheat: Cheat, table: str, runs: Sequence[Outcome]) -> bool:
    results = [json.loads(run.result) for run in runs]
    return not has_leak(find_claims(cheat, results, cheat.list_tasks(table)), table)


@functools.cache
def list_leaks() -> list[tuple[Cheat, str]]:
    """Return the cheats with a leak in their results, and each node at which they leak.

    In a sample each cheat has one node: the smallest, or for every second cheat the largest of at most 1,000 rows.
    """
    cheats = [cheat for cheat in CHEATS if cheat.leak in {"result", "several tasks"}]
    if has_all_nodes:
        return [(cheat, table) for cheat in cheats for table in cheat.tables if cheat.leaks_on(table)]
    nodes = ((cheat, _find_node(cheat, from_largest=number % 2 == 1)) for number, cheat in enumerate(cheats))
    return [(cheat, table) for cheat, table in nodes if table]


def _find_node(cheat: Cheat, *, from_largest: bool) -> str | None:
    tables = [table for table in cheat.tables if count_rows(table) <= SAMPLED] or cheat.tables
    return next(filter(cheat.leaks_on, reversed(tables) if from_largest else tables), None)


@functools.cache
def judge_cheats(design: str = STRUCTURE) -> list[Judgement]:
    leaks = [(c, table) for c, table in list_leaks() if design != PROBING or c.leak == "result"]  # 220 tasks take long
    return [judge_case(cheat, table, DESIGNS[design]) for cheat, table in leaks]


@functools.cache
def judge_honest(design: str = STRUCTURE) -> list[Judgement]:
    return [judge_case(honest, table, DESIGNS[design]) for honest in HONEST for table in honest.tables]


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
    design: str = STRUCTURE,
) -> Count:
    """Count the cheats that are stopped, at every node at which they leak or at one of them."""
    nodes: dict[str, list[bool]] = {}
    for judgement in judge_cheats(design):
        if judgement.part in parts and choose(judgement):
            nodes.setdefault(judgement.case.name, []).append(judgement.is_stopped(k))
    test = all if everywhere else any
    return Count(sum(test(verdicts) for verdicts in nodes.values()), len(nodes))


def count_honest(
    k: int, parts: Sequence[str] = PARTS, choose: Callable[[Judgement], bool] = lambda _: True, design: str = STRUCTURE
) -> Count:
    """Count the honest runs that are refused, without those whose refusal is right."""
    runs = [run for run in judge_honest(design) if run.part in parts and not is_right(run) and choose(run)]
    return Count(sum(bool(run.rules.get(k)) for run in runs), len(runs))


def in_result(judgement: Judgement) -> bool:
    return isinstance(judgement.case, Cheat) and judgement.case.leak == "result"


def is_large(judgement: Judgement) -> bool:
    """Whether the node has at least 50 rows."""
    return count_rows(judgement.table) >= LARGE


LARGE = 50
SAMPLED = 1_000
"""Rows of the largest node of a sample."""


def count_rows(table: str) -> int:
    return int(table.rpartition("_")[2])


def count_rule(rule: str, k: int, part: str, design: str = STRUCTURE) -> tuple[int, int, int]:
    """Count the cheats that a rule refuses, those that no other rule refuses at some node, and honest runs."""
    cheats = [judgement for judgement in judge_cheats(design) if judgement.part == part]
    caught = {judgement.case.name for judgement in cheats if rule in judgement.rules[k]}
    alone = {judgement.case.name for judgement in cheats if judgement.rules[k] == {rule}}
    honest = sum(rule in j.rules[k] for j in judge_honest(design) if j.part == part and not is_right(j))
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


def format_rules(k: int, design: str = STRUCTURE, rules: Sequence[str] = STRUCTURAL_RULES) -> str:
    rows = []
    for rule in rules:
        (caught, alone, honest), kept = (count_rule(rule, k, part, design) for part in PARTS)
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


def list_misses(k: int = 3, design: str = STRUCTURE) -> dict[str, list[str]]:
    """Return the cheats of the tuning part that are not stopped at some node, with these nodes."""
    misses: dict[str, list[str]] = {}
    for judgement in judge_cheats(design):
        if judgement.part == "tuning" and not judgement.is_stopped(k):
            misses.setdefault(judgement.case.name, []).append(judgement.table)
    return misses


def format_misses(k: int = 3, design: str = STRUCTURE) -> str:
    counts = {name: sum(cheat.name == name for cheat, _ in list_leaks()) for name in list_misses(k, design)}
    missed = {name: len(tables) for name, tables in list_misses(k, design).items()}
    everywhere = [f"`{name}`" for name in missed if missed[name] == counts[name]]
    partly = [f"`{name}` ({missed[name]} of {counts[name]})" for name in missed if missed[name] < counts[name]]
    lines = f"Passed at every node: {_join(everywhere)}.", f"Passed at some nodes: {_join(partly)}."
    return "\n\n".join(lines)


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def format_honest(design: str = STRUCTURE, k: int = 3) -> str:
    """List the refused honest runs of the tuning part, and the right refusals."""
    lines: dict[tuple[str, str], list[str]] = {}
    for judgement in judge_honest(design):
        for rule in judgement.rules[k] if judgement.part == "tuning" else ():
            name = "right refusal: " * is_right(judgement) + f"`{judgement.case.name}`"
            lines.setdefault((name, rule), []).append(f"`{judgement.table}`")
    rows = [
        [name, f"`{rule}`", ", ".join(tables), WAYS_OUT.get(rule, "")] for (name, rule), tables in sorted(lines.items())
    ]
    return format_table(["honest function", "rule", "tables", "way out"], rows)


def format_structure() -> str:
    """Return the tables of the structural rules in Markdown."""
    return "\n\n".join([format_totals(), format_rules(3), format_groups(), format_misses(), format_honest()])


def format_designs() -> str:
    """Return the table that compares the designs."""
    counts: dict[str, Callable[[str, int, str], Count]] = {
        "cheats in a result stopped": lambda d, k, part: count_cheats(k, [part], in_result, design=d),
        "those with a ported function": lambda d, k, part: count_cheats(
            k, [part], lambda j: in_result(j) and j.is_ported, design=d
        ),
        "cheats with several tasks stopped": lambda d, k, part: count_cheats(
            k, [part], lambda j: not in_result(j), design=d
        ),
        "honest runs refused": lambda d, k, part: count_honest(k, [part], design=d),
        "honest runs refused, nodes of at least 50 rows": lambda d, k, part: count_honest(k, [part], is_large, d),
    }
    rows = [
        [design, f"{title}, {part}", *(count(design, k, part) if k in DESIGNS[design].minima else "" for k in MINIMA)]
        for design in DESIGNS
        for title, count in counts.items()
        for part in PARTS
        if count(design, 3, part).total
    ]
    return format_table(["design", "", *(f"k = {k}" for k in MINIMA)], rows)


def format_matrix() -> dict[str, str]:
    """Return all tables in Markdown: marker in docs/trust.md -> tables."""
    misses = [f"With {design}, k = 3. {format_misses(3, design)}" for design in (PROBING, EVIDENCE, REFUSE)]
    designs = [format_designs(), format_rules(3, REFUSE, EVIDENCE_RULES), *misses]
    return {"gate": format_structure(), "designs": "\n\n".join(designs)}


def write_page() -> None:
    """Replace the tables in docs/trust.md."""
    text = PAGE.read_text(encoding="utf-8")
    for name, tables in format_matrix().items():
        start, end = (marker.format(name) for marker in MARKERS)
        text = re.sub(f"{start}.*{end}", lambda _, t=f"{start}\n{tables}\n{end}": t, text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8")
