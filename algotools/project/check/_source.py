"""Read a function's source: decorators, bindings, clients, and the nodes of the function's own body."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator, Mapping
from typing import Any, Union

from algotools.federation.imports import SourceFile

FunctionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef]

Bindings = Mapping[str, list[Union[ast.expr, None]]]
"""Name -> the expressions assigned to the name in a function; None for a binding of another kind (import, loop, …)."""


_DECORATORS = frozenset({"federated", "master", "rpc"})
_MODULES = frozenset({"algotools", "algotools.declare.federated", "algotools.declare.functions"})


def find_decorated(file: SourceFile) -> list[FunctionNode]:
    """Return the functions at the top level of a file that have a decorator of algotools."""
    names: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom) and node.module in _MODULES:
            names |= {alias.asname or alias.name for alias in node.names if alias.name in _DECORATORS}
        elif isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "algotools"}

    def registers(decorator: ast.expr) -> bool:
        bare = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(bare, ast.Attribute):
            return isinstance(bare.value, ast.Name) and bare.value.id in modules and bare.attr in _DECORATORS
        return isinstance(bare, ast.Name) and bare.id in names

    functions = (node for node in file.tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return [node for node in functions if any(map(registers, node.decorator_list))]


def find_function(file: SourceFile, line: int) -> FunctionNode | None:
    """Return the function whose ``def`` is in this line."""
    functions = (node for node in ast.walk(file.tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return next((node for node in functions if node.lineno == line), None)


def locate_definition(function: Any) -> tuple[str, int] | None:
    """Return the file and line of a function's ``def``. The line that Python records is that of the first decorator."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    line = code.co_firstlineno
    while (text := linecache.getline(code.co_filename, line)) and not text.lstrip().startswith(("def ", "async def ")):
        line += 1
    return code.co_filename, line if text else code.co_firstlineno


def walk_body(function: FunctionNode) -> Iterator[ast.AST]:
    """Yield the nodes of a function's body, except the nodes of nested functions and classes."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _list_parameters(function: FunctionNode) -> list[ast.arg]:
    a = function.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]


_BINDING_NODES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
"""Nodes whose ``name`` attribute is a binding."""


def read_bindings(function: FunctionNode) -> dict[str, list[ast.expr | None]]:
    """Return every binding in a function and in the functions inside it.

    If a name has a single binding and that is an expression, the name always has the value of the expression.
    """
    bound: dict[str, list[ast.expr | None]] = {}
    assigned: dict[int, ast.expr] = {}  # target's id() -> value; the walk visits an assignment before its target
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            assigned[id(node.targets[0])] = node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            assigned[id(node.target)] = node.value
        elif isinstance(node, ast.arg):
            bound.setdefault(node.arg, []).append(None)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.setdefault(node.id, []).append(assigned.get(id(node)))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            # Other functions can assign these names, too. Two bindings mark their values as unknown.
            for name in node.names:
                bound.setdefault(name, []).extend([None, None])
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bound.setdefault((alias.asname or alias.name).partition(".")[0], []).append(None)
        elif isinstance(node, _BINDING_NODES) and node is not function and node.name:
            bound.setdefault(node.name, []).append(None)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.setdefault(node.rest, []).append(None)
    return bound


def find_clients(function: FunctionNode, bound: Bindings) -> set[str]:
    """Return the names that always refer to the function's AlgorithmClient: its parameter, and copies of it."""
    names = {
        p.arg for p in _list_parameters(function) if _is_client_annotation(p.annotation) and bound[p.arg] == [None]
    }
    return names | {
        name
        for name, values in bound.items()
        if len(values) == 1 and isinstance(value := values[0], ast.Name) and value.id in names
    }


def _is_client_annotation(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.rpartition(".")[2] == "AlgorithmClient"
    if isinstance(annotation, ast.BinOp):
        return _is_client_annotation(annotation.left) or _is_client_annotation(annotation.right)
    name = annotation.attr if isinstance(annotation, ast.Attribute) else getattr(annotation, "id", "")
    return name == "AlgorithmClient"
