"""The rules about masters: the calls of an AlgorithmClient, read from the source.

Names are looked up like Python does it: in the function, then in its module, which has been imported. A call with an
uncertain target or uncertain arguments (a variable, ``**options``) has no findings: a guess would be wrong too often.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import json
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

from algotools.declare.annotations import format_annotation
from algotools.declare.arguments import Specification
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import RegisteredFunction
from algotools.errors import AlgotoolsError
from algotools.federation.imports import SourceFile
from algotools.payload import encode_arguments
from algotools.project.check._rules import Finding
from algotools.project.check._source import Bindings, FunctionNode, find_clients, read_bindings
from algotools.runtime.client import AlgorithmClient

_CONTROLS = frozenset(
    {"organizations", "timeout", "quorum", "grace", "wait_for_all", "interval", "minimum_organizations", "arguments"}
)
"""The keywords of ``client.run`` that are not arguments of the function."""

_SUBCLIENTS: dict[str, Any] = {
    name: hint
    for name, attribute in vars(AlgorithmClient).items()
    if isinstance(attribute, cached_property)
    and typing.get_origin(hint := typing.get_type_hints(attribute.func)["return"]) is None
}
"""Attribute of a client -> its class, for example ``task`` -> the class of ``client.task``."""

_TASKS = _SUBCLIENTS["task"]
_CREATE = inspect.signature(_TASKS.__new__(_TASKS).create)

_UNKNOWN, _MISSING = object(), object()
"""Markers: the value of an expression cannot be determined, or a name does not exist."""


class _Arguments(NamedTuple):
    """The arguments of a call, as expressions."""

    by_name: Mapping[str, ast.expr]
    is_complete: bool
    """Whether the source shows all arguments; False for ``**options``."""
    by_position: Sequence[ast.expr] = ()


class CallChecker:
    """Checks the calls of clients in the modules of one algorithm, function by function.

    Args:
        functions: the registered functions of the algorithm.
        refused: the names of functions whose declaration was refused; a call of them is not a second finding.
    """

    def __init__(self, functions: Mapping[str, RegisteredFunction], refused: Collection[str]) -> None:
        self._functions = functions
        self._refused = refused
        self._path = ""
        self._names: Mapping[str, object] = {}
        self._clients: set[str] = set()
        self._bound: Bindings = {}

    def check_module(self, file: SourceFile, names: Mapping[str, object]) -> Iterator[Finding]:
        """Check the calls in one module with the global variables *names*."""
        self._path, self._names = str(file.path), names
        yield from self._check_functions(file.tree, {})

    def _check_functions(self, node: ast.AST, outer: Bindings) -> Iterator[Finding]:
        for child in ast.iter_child_nodes(node):
            inner = outer
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                # A name of an enclosing function hides a global variable, but its value at the call is unknown.
                inner = {**{name: [None] for name in outer}, **read_bindings(child)}
                if clients := find_clients(child, inner):
                    self._clients, self._bound = clients, inner
                    yield from self._check_function(child)
            yield from self._check_functions(child, inner)

    def _check_function(self, function: FunctionNode) -> Iterator[Finding]:
        nodes = list(ast.walk(function))
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield from self._check_attribute(node)
        calls = [
            (node, node.func) for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        ]
        for node, method in calls:
            if method.attr == "run" and self._is_client(method.value):
                yield from self._check_run(node)
        creations = [
            n for n, method in calls if method.attr == "create" and self._find_subclient(method.value) is _TASKS
        ]
        loads = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
        for node in creations:
            yield from self._check_create(node, creations, loads)

    def _make_finding(self, rule: str, node: ast.expr, reason: str, way_out: str = "") -> Finding:
        return Finding.of(rule, self._path, node.lineno, reason, way_out)

    def _is_client(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._clients

    def _find_subclient(self, node: ast.expr) -> Any:
        """Return the class of a client's attribute."""
        return _SUBCLIENTS.get(node.attr) if isinstance(node, ast.Attribute) and self._is_client(node.value) else None

    def _check_attribute(self, node: ast.Attribute) -> Iterator[Finding]:
        owner = AlgorithmClient if self._is_client(node.value) else self._find_subclient(node.value)
        if owner is not None and not hasattr(owner, node.attr) and not node.attr.startswith("_"):
            name = "an AlgorithmClient" if owner is AlgorithmClient else ast.unparse(node.value)
            yield self._make_finding("unknown-client-call", node, f"{name} has no attribute {node.attr!r}")

    def _check_run(self, node: ast.Call) -> Iterator[Finding]:
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        if not node.args:
            reason = "client.run is called without a function; the function is its only positional argument"
            yield self._make_finding("wrong-arguments", node, reason, "Write client.run(function, argument=…).")
            return
        if len(node.args) > 1:
            reason = "client.run takes only the function by position; pass the function's arguments by name"
            yield self._make_finding("wrong-arguments", node, reason)
            return
        by_name = {k.arg: k.value for k in node.keywords if k.arg and k.arg not in _CONTROLS}
        is_complete = all(keyword.arg for keyword in node.keywords)
        for keyword in node.keywords:
            if keyword.arg == "arguments":
                entries = _read_entries(keyword.value)
                is_complete = is_complete and entries is not None
                by_name |= entries or {}
        yield from self._check_target(node, node.args[0], _Arguments(by_name, is_complete))

    def _check_create(self, node: ast.Call, creations: list[ast.Call], loads: list[str]) -> Iterator[Finding]:
        """Check a call of ``client.task.create``; *loads* are the names that the function reads, with repetitions."""
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        try:
            bound = _CREATE.bind_partial(*node.args, **keywords).arguments
        except TypeError as error:
            way_out = f"The arguments of client.task.create: {', '.join(_CREATE.parameters)}."
            yield self._make_finding("wrong-arguments", node, f"client.task.create: {error}", way_out)
            return
        if "method" in bound:
            entries = _read_entries(bound["arguments"]) if "arguments" in bound else {}
            is_complete = entries is not None and len(keywords) == len(node.keywords)
            yield from self._check_target(node, bound["method"], _Arguments(entries or {}, is_complete))
        if "input_" not in bound:
            return
        # A dict under a name is certain only if the function does nothing with it except pass it to `create`.
        values = [value for call in creations for value in (*call.args, *(k.value for k in call.keywords))]
        names = [value.id for value in values if isinstance(value, ast.Name)]
        input_ = self._read_input(bound["input_"], lambda name: names.count(name) == loads.count(name))
        if input_ is None:
            return
        unknown = sorted(input_.keys() - {"method", "args", "kwargs", "master"})
        if unknown or "method" not in input_:
            fault = f"unknown keys: {', '.join(unknown)}" if "method" in input_ else "no method"
            way_out = "The keys of `input_` are method, args and kwargs."
            yield self._make_finding("wrong-arguments", node, f"`input_` has {fault}", way_out)
            return
        by_name = _read_entries(input_["kwargs"]) if "kwargs" in input_ else {}
        args = input_.get("args", ast.List([]))
        by_position = args.elts if isinstance(args, (ast.List, ast.Tuple)) else [ast.Starred(args)]
        if any(isinstance(argument, ast.Starred) for argument in by_position):
            arguments = _Arguments(by_name or {}, is_complete=False)
        else:
            arguments = _Arguments(by_name or {}, by_name is not None, by_position)
        yield from self._check_target(node, input_["method"], arguments)

    def _read_input(self, node: ast.expr, is_unchanged: Callable[[str], bool]) -> dict[str, ast.expr] | None:
        """Return the entries of a task's input: a dict display, or an unchanged variable with a dict display."""
        if isinstance(node, ast.Name) and is_unchanged(node.id):
            values = self._bound.get(node.id, [])
            node = values[0] or node if len(values) == 1 else node
        return _read_entries(node)

    def _check_target(self, node: ast.Call, target_node: ast.expr, arguments: _Arguments) -> Iterator[Finding]:
        """Check that the target of a call is an rpc, and then check the arguments."""
        target = self._evaluate(target_node)
        if target is _UNKNOWN:
            return
        if (refusal := self._refuse_target(target, ast.unparse(target_node))) is not None:
            yield self._make_finding("unknown-function", node, *refusal)
            return
        function = self._functions.get(target) if isinstance(target, str) else target
        if isinstance(function, RegisteredFunction):
            yield from self._check_arguments(node, function, arguments)

    def _evaluate(self, node: ast.expr) -> Any:
        """Return the value of an expression; ``_UNKNOWN`` if it is uncertain, ``_MISSING`` for an undefined name."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else _UNKNOWN
        if isinstance(node, ast.Lambda):
            return _MISSING
        if isinstance(node, ast.Name):
            if node.id in self._bound:
                values = self._bound[node.id]
                value = values[0] if len(values) == 1 else None
                is_global = isinstance(value, ast.Name) and value.id not in self._bound
                is_fixed = is_global or isinstance(value, ast.Constant)
                return self._evaluate(value) if value is not None and is_fixed else _UNKNOWN
            return self._names.get(node.id, getattr(builtins, node.id, _MISSING))
        if isinstance(node, ast.Attribute):
            module = self._evaluate(node.value)
            if isinstance(module, PooledFunction) and node.attr == "partial":
                return module.partial
            return getattr(module, node.attr, _MISSING) if isinstance(module, ModuleType) else _UNKNOWN
        return _UNKNOWN

    def _refuse_target(self, target: object, expression: str) -> tuple[str, str] | None:
        """Return the reason why a master cannot call a target, and the advice; None without a fault to report."""
        rpcs = [name for name, function in self._functions.items() if function.role == "rpc"]
        listed = [name for name in rpcs if self._functions[name].derived_from is None]
        advice = f"The rpcs of this algorithm: {', '.join(sorted(listed)) or 'none'}."
        function = self._functions.get(target) if isinstance(target, str) else target
        if isinstance(function, RegisteredFunction):
            if function.role == "master":
                name = repr(target) if isinstance(target, str) else expression
                return None if target in self._refused else (f"{name} is a master; a master can only call rpcs", advice)
            if function.method not in self._functions:
                return f"{expression} is a function of another package, not of this algorithm", advice
            return None
        if isinstance(target, str):
            if target in self._refused:
                return None
            close = difflib.get_close_matches(target, rpcs, n=1)
            return f"this algorithm has no rpc {target!r}", f"Did you mean {close[0]!r}?" if close else advice
        if target is _MISSING:
            is_lambda = "lambda" in expression
            return f"{expression} is not a decorated function" if is_lambda else f"{expression} is not defined", advice
        if not callable(target) or getattr(target, "__name__", None) in self._refused:
            return None
        return f"{expression} is not decorated with @rpc, so a node cannot run it", ""

    def _check_arguments(
        self, node: ast.Call, function: RegisteredFunction, arguments: _Arguments
    ) -> Iterator[Finding]:
        try:
            specification = function.specification
        except AlgotoolsError:  # `_is_specified` reports it
            return
        visible = [p for p in specification.arguments if not p.is_hidden]
        names = [f"{p.name}: {format_annotation(p.annotation)}" for p in visible]
        way_out = f"The arguments of {function.method}: {', '.join(names) or 'none'}."
        positional = specification.positional
        if (number := len(arguments.by_position)) > len(positional):
            reason = f"{function.method} takes {len(positional)} positional arguments, but the call has {number}"
            yield self._make_finding("wrong-arguments", node, reason, way_out)
            return
        values = {**dict(zip(positional, arguments.by_position, strict=False)), **arguments.by_name}
        expected = {p.name: p for p in visible}
        unknown = [name for name in values if name not in expected]
        missing = [name for name, p in expected.items() if p.required and name not in values]
        faults = [f"has no argument {', '.join(unknown)}"] if unknown else []
        if missing and arguments.is_complete:
            faults.append(f"requires {', '.join(missing)}")
        if faults:
            yield self._make_finding("wrong-arguments", node, f"{function.method} {' and '.join(faults)}", way_out)
        for name, value in values.items():
            if name in expected and (reason := _refuse_constant(function, name, value)):
                yield self._make_finding("wrong-arguments", node, reason, way_out)


def _read_entries(node: ast.expr) -> dict[str, ast.expr] | None:
    """Return the entries of a dict display with string keys; None for any other expression."""
    if not isinstance(node, ast.Dict):
        return None
    keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
    if not all(isinstance(key, str) for key in keys):
        return None
    return {str(key): value for key, value in zip(keys, node.values, strict=True)}


def _refuse_constant(function: RegisteredFunction, name: str, node: ast.expr) -> str:
    """Return the reason why a constant is invalid as an argument; empty for a valid constant or another expression."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    try:
        encoded = json.loads(encode_arguments({name: value}, function.method))
        arguments = function.specification.arguments
        Specification(tuple(p for p in arguments if p.name == name)).validate((), encoded)
    except AlgotoolsError as error:
        return error.message.partition(" (the function takes ")[0]
    return ""
