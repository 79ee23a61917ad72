"""The rule about columns: a function uses a column by its name, but neither an argument nor ``Columns.of`` requests it.

Only certain faults are found: the table is the parameter itself, and nothing in the function could add the column to
it, or expects that the column is missing.
"""

from __future__ import annotations

import ast
import builtins
import inspect
from collections.abc import Iterator, Sequence

from algotools import data
from algotools.declare.annotations import format_annotation
from algotools.declare.arguments import Parameter
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import RegisteredFunction
from algotools.federation.imports import SourceFile
from algotools.project.check._exceptions import make_unread_column
from algotools.project.check._rules import Finding
from algotools.project.check._source import FunctionNode, find_function, locate_definition, read_bindings

_CHANGES = frozenset({"insert", "eval", "update", "rename", "set_axis", "pop", "setdefault"})
"""Methods that may add a column to a table of pandas."""


def check_columns(function: RegisteredFunction, files: Sequence[SourceFile]) -> list[Finding]:
    """Return a finding for each column that a function uses and does not request."""
    location = locate_definition(function)
    file = next((file for file in files if location and str(file.path) == location[0]), None)
    node = find_function(file, location[1]) if file and location else None
    specification = function.declared if isinstance(function, PooledFunction) else function.specification
    is_other = function.derived_from is not None or inspect.unwrap(function.__wrapped__) is not function.__wrapped__
    if node is None or file is None or is_other or function.step != "compute":
        return []
    arguments = specification.arguments
    has_columns = any(p.required and "Column" in format_annotation(p.annotation) for p in arguments)
    defaults = {p.default for p in arguments if isinstance(p.default, str)}
    findings = []
    for parameter in specification.data:
        names = parameter.columns.names
        is_table = parameter.form not in data.UNREAD and not parameter.is_group
        if names is None or not (names or has_columns) or not is_table:
            continue
        requested = {*names, *defaults}
        for line, columns in _find_used_columns(node, parameter):
            if unread := [name for name in columns if name not in requested]:
                requested |= {*unread}
                fault = make_unread_column(parameter, unread)
                reason = f"{function.method}: {fault.reason}"
                findings.append(Finding.of("function-fails", str(file.path), line, reason, fault.advice))
    return findings


def _find_used_columns(function: FunctionNode, parameter: Parameter) -> Iterator[tuple[int, list[str]]]:
    """Yield a line and the columns that it reads from a table, and that the source cannot have added to the table."""
    name = parameter.name
    nodes = list(ast.walk(function))
    if read_bindings(function).get(name) != [None] or any(_may_change(node, name) for node in nodes):
        return
    guarded = {id(part) for node in nodes if isinstance(node, (ast.Try, ast.If, ast.IfExp)) for part in ast.walk(node)}
    for node in nodes:
        if isinstance(node, ast.Subscript) and _is_name(node.value, name) and id(node) not in guarded:
            items = node.slice.elts if isinstance(node.slice, ast.List) else [node.slice]
            yield node.lineno, [i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)]


def _may_change(node: ast.AST, table: str) -> bool:
    """Return whether a node may add a column to a table, or gives the table another name or to another function."""
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        return any(_is_name(part, table) for part in ast.walk(node.value))
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
        return node.value is not None and _is_name(node.value, table)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute) and _is_name(node.func.value, table):
        return node.func.attr in _CHANGES
    is_builtin = isinstance(node.func, ast.Name) and hasattr(builtins, node.func.id)
    is_module_call = isinstance(node.func, ast.Attribute)
    passed = [*node.args, *(keyword.value for keyword in node.keywords)]
    return not is_builtin and not is_module_call and any(_is_name(value, table) for value in passed)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
