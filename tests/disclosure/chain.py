"""Run the tasks of a case with the real worker and the real gate, at a node with one table and one policy."""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from algotools.disclosure.facts import Intent, Matches, Permission, TableFacts
from algotools.disclosure.gate import Gate
from algotools.disclosure.policy import Policy
from algotools.errors import AlgotoolsError, Withheld
from algotools.runtime.dispatch.messages import Declaration
from algotools.runtime.dispatch.perform import NodeAccess, perform
from algotools.task import Database, Task

from .cases import Arguments, Case, Cheat, load
from .claims import Claim
from .nodes import read_other_table, read_table

_RULE = re.compile(r"^rule (\w+) at ", re.MULTILINE)


@functools.cache
def _make_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def write_table(name: str, suffix: str) -> Path:
    """Return the file of a node's database, as the owner stores it."""
    path = Path(_make_folder().name) / f"{name}.{suffix}"
    frame = read_table(name)
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


class Report(NodeAccess):
    """What the worker reports to the supervisor, which has one policy."""

    def __init__(self, task: Task, policy: Policy) -> None:
        self._gate = Gate(policy, task)
        self._task = task
        self._intent = Intent()
        self._tables: tuple[TableFacts, ...] = ()
        self._matches = Matches()

    def declare(self, declaration: Declaration) -> Permission:
        self._intent = declaration.intent
        return self._gate.permit(declaration.intent)

    def report_tables(self, tables: tuple[TableFacts, ...]) -> None:
        self._tables = tables

    def report_matches(self, matches: Matches) -> None:
        self._matches = matches

    def judge(self, data: bytes, policy: Policy) -> frozenset[str]:
        """Return the rules that refuse an encoded result; with another policy than that of the run, too."""
        gate = Gate(policy, self._task)
        gate.permit(self._intent)
        gate.add_tables(self._tables)
        gate.add_matches(self._matches)
        try:
            gate.review(data)
        except Withheld as error:
            return frozenset(_RULE.findall(error.detail)) or frozenset({gate.decision.rule if gate.decision else "?"})
        return frozenset()


class Outcome(NamedTuple):
    """One task at one node."""

    rules: Mapping[Any, frozenset[str]]
    """Key of a policy -> the rules that refuse the result; empty if the result leaves."""
    result: bytes
    """The encoded result; empty if the function failed."""
    failure: str = ""


def run_task(case: Case, table: str, arguments: Arguments, policies: Mapping[Any, Policy]) -> Outcome:
    """Run one task, and judge its result with each policy. The worker has the permissions of the first policy."""
    function = case.function
    suffix = "csv" if function.specification.data[0].form == "path" else "parquet"
    task = Task(
        method=function.method,
        role="rpc",
        kwargs=dict(arguments),
        databases=(Database("default", str(write_table(table, suffix)), suffix),),
        input_file=Path("input"),
        output_file=Path("output"),
    )
    report = Report(task, next(iter(policies.values())))
    try:
        data = perform(task, lambda: load(case.algorithm), report)
    except AlgotoolsError as error:
        return Outcome(dict.fromkeys(policies, frozenset({"failed"})), b"", str(error))
    return Outcome({k: report.judge(data, policy) for k, policy in policies.items()}, data)


def find_claims(cheat: Cheat, results: Sequence[object], tasks: Sequence[Arguments]) -> list[Claim]:
    """Return the claims of a reader of results in which numbers may be missing."""
    try:
        several = cheat.leak == "several tasks"
        return list(cheat.reveals(results, tasks) if several else cheat.reveals(results[0], tasks[0]))
    except (TypeError, KeyError, IndexError, ValueError, ZeroDivisionError, AttributeError):
        return []  # the reader computes with a number that is hidden


def has_leak(claims: Sequence[Claim], table: str) -> bool:
    """Whether one of the claims is true, about fewer than 3 persons, and not true of other persons."""
    frame, other = read_table(table), read_other_table(table)
    return any(_is_true(claim, frame) and claim.is_about_few(frame) and not _is_true(claim, other) for claim in claims)


def _is_true(claim: Claim, frame: pd.DataFrame) -> bool:
    try:
        return claim.is_true(frame)
    except (TypeError, KeyError, ValueError):
        return False  # a value of the claim is hidden, or the table does not have it
