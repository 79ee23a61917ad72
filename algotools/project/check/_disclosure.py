"""Warnings about results and messages that may reveal single records.

These findings are warnings, and do not fail the check. The source shows only what a function computes: the maximum of
a column may be the value of a thousand rows. At a node, and in a trial, the gate decides by the values.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from algotools import data
from algotools.declare.annotations import COLUMN, get_marker
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import RegisteredFunction
from algotools.errors import AlgotoolsError
from algotools.federation.imports import SourceFile
from algotools.project.check._data_values import DataValue, join
from algotools.project.check._rules import Finding
from algotools.project.check._source import find_function, locate_definition
from algotools.project.check._values import ExpressionReader
from algotools.runtime.logs import log, progress

_RULES = {"element": "returns-records", "few": "returns-records", "extreme": "returns-extremes"}
"""Kind of a value -> rule; all other kinds are rows."""

_DESCRIPTIONS = {
    "returns-rows": "rows of the table",
    "returns-records": "values of few records",
    "returns-extremes": "the value of one record",
}

_MOST_CHARACTERS = 60
"""Longest expression in a finding."""


def check_disclosure(function: RegisteredFunction, files: Sequence[SourceFile]) -> list[Finding]:
    """Find results and messages of a function that contain rows, few records, or extremes of a table."""
    wrapped = function.__wrapped__
    path, line = locate_definition(function) or ("", None)
    file = next((file for file in files if str(file.path) == path), None)
    node = find_function(file, line) if file and line else None
    if node is None or function.step != "compute" or inspect.unwrap(wrapped) is not wrapped:
        return []
    parameters = (function.declared if isinstance(function, PooledFunction) else function.specification).parameters
    reader = _FlowReader(
        tables=[p.name for p in parameters if p.kind == "data" and p.form not in data.UNREAD and not p.is_group],
        lists=[p.name for p in parameters if p.kind == "argument" and not _is_text(p.annotation)],
        totals=[p.name for p in parameters if p.kind == "total"],
        is_message=lambda call: _is_message(call, wrapped.__globals__),
        is_record=lambda call: _is_record(call, wrapped.__globals__),
    )
    if not any(p.kind == "data" for p in parameters):
        return []
    with contextlib.suppress(RecursionError):  # an expression with a thousand operators
        reader.execute(node.body)
    findings = [
        *_make_findings(function, path, "it returns", reader.returned),
        *_make_findings(function, path, "it adds to a total", reader.added),
    ]
    for value in reader.sent:
        reason = f"{function.method}: a message contains data: {_show(value.node)}"
        findings.append(Finding.of("data-in-message", path, value.node.lineno, reason))
    return findings


def _is_text(annotation: Any) -> bool:
    return annotation is str or COLUMN.covers(get_marker(annotation))


def _make_findings(
    function: RegisteredFunction, path: str, verb: str, values: Sequence[DataValue]
) -> Iterator[Finding]:
    for value in values:
        rule = _RULES.get(value.kind, "returns-rows")
        reason = f"{function.method}: {verb} {_DESCRIPTIONS[rule]}: {_show(value.node)}"
        yield Finding.of(rule, path, value.node.lineno, reason)


def _show(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


def _find_called(call: ast.Call, names: Mapping[str, object]) -> object:
    """Return the object that a call names: ``log`` or ``algotools.log``; None if it is not global."""
    if isinstance(call.func, ast.Name):
        return names.get(call.func.id)
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
        return getattr(names.get(call.func.value.id), call.func.attr, None)
    return None


def _is_message(call: ast.Call, names: Mapping[str, object]) -> bool:
    called = _find_called(call, names)
    return called in (log, progress) or (isinstance(called, type) and issubclass(called, AlgotoolsError))


def _is_record(call: ast.Call, names: Mapping[str, object]) -> bool:
    called = _find_called(call, names)
    if not isinstance(called, type):
        return False
    return dataclasses.is_dataclass(called) or issubclass(called, (dict, msgspec.Struct)) or hasattr(called, "_fields")


class _FlowReader(ExpressionReader):
    """Reads the statements of a function in their order, each branch once.

    Args:
        is_record: whether a call creates a dataclass or a similar object, whose fields are the arguments.
        options: see ``ExpressionReader``.
    """

    def __init__(self, *, is_record: Callable[[ast.Call], bool], **options: Any) -> None:
        super().__init__(**options)
        self._is_record = is_record
        self.returned: list[DataValue] = []
        """The data in results."""

    def execute(self, body: Sequence[ast.stmt]) -> None:
        """Execute statements."""
        for statement in body:
            self._execute_one(statement)

    def _execute_one(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Return(value=ast.expr() as value):
                self.returned += self._list_data(value)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._assign(target, value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                addend = self.evaluate(value)
                if addend is not None and addend.kind != "element":  # a loop that adds up the values of rows has a sum
                    self._values[name] = join([self._values.get(name), addend])
            case ast.Expr(value=value) | ast.Raise(exc=ast.expr() as value):
                self.evaluate(value)
            case ast.For(target=target, iter=iterated, body=body, orelse=orelse):
                was_in_loop = self._is_in_loop_over_rows
                self._is_in_loop_over_rows |= self._bind_loop(target, iterated)
                self._execute_branches(body, [])
                self._is_in_loop_over_rows = was_in_loop
                self.execute(orelse)
            case ast.If(test=test, body=body, orelse=orelse) | ast.While(test=test, body=body, orelse=orelse):
                self.evaluate(test)
                self._execute_branches(body, orelse)
            case ast.With(body=body):
                self.execute(body)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                self.execute([*body, *orelse])
                for handler in handlers:
                    self.execute(handler.body)
                self.execute(final)
            case ast.Match(cases=cases):
                self._execute_branches(*(case.body for case in cases), [])
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                self._values[name] = None

    def _execute_branches(self, *branches: Sequence[ast.stmt]) -> None:
        """Execute alternatives. A name that is data after one of them is data."""
        before, after = dict(self._values), []
        for branch in branches:
            self._values = dict(before)
            self.execute(branch)
            after.append(self._values)
        names = {name for values in after for name in values}
        self._values = {name: join([values.get(name) for values in after]) for name in names}

    def _assign(self, target: ast.expr, node: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(node, (ast.Tuple, ast.List)):
            parts = [*target.elts, *node.elts]
            if len(target.elts) == len(node.elts) and not any(isinstance(part, ast.Starred) for part in parts):
                for item, value in zip(target.elts, self._evaluate_all(node.elts), strict=True):
                    self._bind(item, value)
                return
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            name = target.value.id
            # Not for a loop that counts the values of rows: counts[value] = counts.get(value, 0) + 1
            if not any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node)):
                self._put(name, node, join([self.evaluate(target.slice), self.evaluate(node)]))
            return
        self._bind(target, self.evaluate(node))

    def _list_data(self, node: ast.expr) -> Iterator[DataValue]:
        """Yield the data in a result, from each part of a dict, list or object that the source shows."""
        match node:
            case ast.Dict(keys=keys, values=values):
                parts = [part for part in [*keys, *values] if part is not None]
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                pass
            case ast.IfExp(body=body, orelse=orelse):
                parts = [body, orelse]
            case ast.Starred(value=part):
                parts = [part]
            case ast.Call(args=args, keywords=keywords) if self._creates_object(node):
                parts = [*args, *(keyword.value for keyword in keywords)]
            case _:
                value = self.evaluate(node)
                if value is not None and value.is_data:
                    yield value.content
                return
        for part in parts:
            yield from self._list_data(part)

    def _creates_object(self, node: ast.Call) -> bool:
        is_dict = isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args
        return is_dict or self._is_record(node)
