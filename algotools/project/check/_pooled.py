"""The rules about pooled functions: three faults in the source, a call on one table, and the split test.

The call on one table executes the whole function: at a node, its first round ends at the first use of a total. The
split test (``Federation.prove``) uses the rows of all organizations. It finds faults that no run can detect, such as
the mean of one node that is used as the mean of all.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from algotools import data
from algotools.declare.annotations import COLUMN
from algotools.declare.federated import PooledFunction
from algotools.declare.tables import AssignedTable, assign_databases, collect_values
from algotools.declare.variables import read_variables
from algotools.errors import AlgotoolsError, NotSerializable
from algotools.federation import Federation
from algotools.federation.configuration import Member
from algotools.federation.imports import SourceFile
from algotools.payload import encode_plain, encode_rich
from algotools.project.check._choice import DatabasesRefused, choose_databases
from algotools.project.check._exceptions import describe_unknown_total
from algotools.project.check._messages import TrialCall
from algotools.project.check._rules import Finding, NotTried
from algotools.project.check._source import FunctionNode, find_function, locate_definition, read_bindings, walk_body
from algotools.project.check._trial import IDENTITY, Outcome, Trial
from algotools.project.trial import TrialTable
from algotools.runtime.pooled import Aggregator
from algotools.task import RunInfo

_MOST_ROWS = 2_000
"""Rows of a table in the split test, which calls the function about a hundred times."""

_ROW_SELECTIONS = frozenset({"dropna", "copy", "query", "head", "sort_values", "reset_index", "drop_duplicates"})
"""Methods of a table that return rows of the table."""


def check_source(function: PooledFunction, files: Sequence[SourceFile]) -> list[Finding]:
    """Find a function without totals, a total that does not exist, and a ``return`` of a number of rows."""
    path, line = locate_definition(function) or ("", None)
    file = next((file for file in files if str(file.path) == path), None)
    node = find_function(file, line) if file and line else None
    parameters = function.declared.parameters
    totals = [p.name for p in parameters if p.kind == "total"]
    if node is None or not totals:
        return []
    if not any(isinstance(part, ast.Name) and part.id == totals[0] for part in ast.walk(node)):
        return [Finding.of("no-totals", path, line, f"{function.method}: it does not use {totals[0]}")]
    if unknown := list(_find_unknown_totals(node, totals[0])):
        return [
            Finding.of("function-fails", path, part.lineno, f"{function.method}: {reason}", advice)
            for part in unknown
            for reason, advice in [describe_unknown_total(totals[0], part.attr)]
        ]
    finder = _RowCountFinder(node, [p.name for p in parameters if p.kind == "data" and not p.is_group])
    return [
        Finding.of("local-result", path, part.lineno, f"{function.method}: it returns {ast.unparse(part)}")
        for part in finder.find()
    ]


def _find_unknown_totals(function: FunctionNode, total: str) -> Iterator[ast.Attribute]:
    """Yield the uses of an attribute that the parameter for the totals does not have."""
    if read_bindings(function).get(total) != [None]:  # the function, or one inside it, binds the name again
        return
    for node in ast.walk(function):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
            continue
        is_total = isinstance(node.value, ast.Name) and node.value.id == total
        if is_total and not hasattr(Aggregator, node.attr) and not node.attr.startswith("_"):
            yield node


class _RowCountFinder:
    """Finds ``len(rows)`` in the values that a function returns; *tables* are its parameters for rows."""

    def __init__(self, function: FunctionNode, tables: Sequence[str]) -> None:
        self._function = function
        self._bound = read_bindings(function)
        self._followed: set[str] = set()
        self._tables = {name for name in tables if self._bound.get(name) == [None]}

    def find(self) -> Iterator[ast.expr]:
        """Yield the faulty expressions."""
        for node in walk_body(self._function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from self._find_in(node.value)

    def _find_in(self, node: ast.expr | None) -> Iterator[ast.expr]:
        if isinstance(node, ast.Dict):
            for part in node.values:
                yield from self._find_in(part)
        elif isinstance(node, (ast.List, ast.Tuple)):
            for item in node.elts:
                yield from self._find_in(item)
        elif isinstance(node, ast.Name):
            if node.id not in self._followed and (value := self._get_value(node.id)) is not None:
                self._followed.add(node.id)
                yield from self._find_in(value)
        elif isinstance(node, ast.Call) and _is_len(node) and self._is_rows(node.args[0]):
            yield node

    def _is_rows(self, node: ast.expr, depth: int = 0) -> bool:
        """Return whether an expression is a table of the node, or rows or a column of one."""
        if isinstance(node, ast.Name):
            value = self._get_value(node.id)
            return node.id in self._tables or (value is not None and depth < 20 and self._is_rows(value, depth + 1))
        if isinstance(node, ast.Subscript):
            source = node.value
            if isinstance(source, ast.Attribute) and source.attr in {"loc", "iloc"}:
                source = source.value
            return self._is_rows(source, depth)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return node.func.attr in _ROW_SELECTIONS and self._is_rows(node.func.value, depth)
        return False

    def _get_value(self, name: str) -> ast.expr | None:
        values = self._bound.get(name, [])
        return values[0] if len(values) == 1 else None


def _is_len(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1


def _assign(trial: Trial, member: Member) -> list[AssignedTable]:
    """Return the databases of a member for the parameters; see ``choose_databases``."""
    requested = choose_databases(trial.function, member)
    return assign_databases(trial.function.specification.data, requested, member.databases.values()).tables


def call_on_one_table(
    function: PooledFunction, trial: Trial, member: Member, folder: str | None, table: TrialTable
) -> Outcome:
    """Call a pooled function once on a node's rows, as if they were all rows, and encode its result."""
    from algotools.runtime.pooled import Pooled
    from algotools.runtime.pooled.rounds import find_total, run_author

    def call() -> None:
        specification = function.partial.specification
        with ExitStack() as stack:
            temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="algotools-")))
            values: dict[str, Any] = specification.validate((), trial.arguments)
            values |= read_variables(specification.variables, member.variables)
            names = specification.find_marked(values, COLUMN)
            tables = [
                (table.parameter.name, table.key, table.parameter.load(table.database, names, stack).value)
                for table in _assign(trial, member)
            ]
            values |= collect_values(specification.data, tables)
            info = RunInfo(
                task_id=IDENTITY.task_id,
                node_id=IDENTITY.node_id,
                organization_id=IDENTITY.organization_id,
                collaboration_id=IDENTITY.collaboration_id,
                temporary_folder=temporary,
                variables=dict(member.variables),
            )
            values |= {p.name: info for p in function.declared.parameters if p.kind == "run_info"}
            result = run_author(function, {**values, find_total(function): Pooled()})
            encode_plain(result, function.collect_literals())
            encode_rich(result, function.collect_literals())

    return _explain(call, trial, member.name, folder, table)


def split_rows(
    function: PooledFunction, trial: Trial, members: Sequence[Member], folder: str | None, table: TrialTable
) -> Outcome:
    """Compare the results of a pooled function over splits of the rows of all organizations."""
    if any(p.form in data.UNREAD for p in function.declared.data):
        return trial.skip("the split test needs tables, but the function takes a database")

    def call() -> NotTried | None:
        try:
            tables = _read_all_rows(trial, members)
        except DatabasesRefused as refusal:
            return NotTried(method=trial.name, reason=f"the split test needs the table of each organization: {refusal}")
        Federation.prove(function, tables, arguments=trial.arguments, variables=members[0].variables)
        return None

    return _explain(call, trial, "", folder, table)


def _explain(
    call: Callable[[], NotTried | None], trial: Trial, member: str, folder: str | None, table: TrialTable
) -> Outcome:
    """Perform a call in this process, and return the finding of its error; otherwise what it returns."""
    path, line = locate_definition(trial.function) or ("", None)
    prefix = TrialCall(trial.name, member, path, line).prefix
    try:
        return call()
    except NotSerializable as error:
        return Finding.of("result-not-serializable", path, line, f"{prefix}{error.message}")
    except AlgotoolsError as error:
        return trial.explain_error(error, table, folder)
    except SystemExit:
        return Finding.of("ends-process", path, line, f"{prefix}it ends the process (SystemExit)")
    except Exception as error:
        return trial.explain_exception(error, folder, prefix)


def _read_all_rows(trial: Trial, members: Sequence[Member]) -> dict[str, Any]:
    """Return parameter -> the rows of all organizations in one table; a dict for a group of tables.

    Raises:
        DatabasesRefused: see ``choose_databases``.
    """
    import pandas as pd

    parts: dict[tuple[str, str | None], list[Any]] = {}
    for assigned in [_assign(trial, member) for member in members]:
        for table in assigned:
            frame = data.load(table.database, "pandas", None).value
            parts.setdefault((table.parameter.name, table.key), []).append(frame)
    tables: list[tuple[str, str | None, object]] = []
    for (name, key), frames in parts.items():
        rows: Any = pd.concat(frames, ignore_index=True)
        tables.append((name, key, rows.sample(_MOST_ROWS, random_state=1) if len(rows) > _MOST_ROWS else rows))
    return collect_values(trial.function.specification.data, tables)
