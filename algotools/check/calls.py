"""What masters ask of other nodes: the calls of an AlgorithmClient, read from the source.

Names are looked up where Python would, in the function's module, which has been imported. What cannot be told so
(a variable, ``**options``) is left alone: a guess would be wrong too often.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from algotools.arguments import Specification, describe
from algotools.check import source
from algotools.check.source import Function
from algotools.client import AlgorithmClient
from algotools.client.subclients import Collaboration, Organizations, Runs, TaskResults, Tasks
from algotools.errors import AlgotoolsError
from algotools.functions import RegisteredFunction
from algotools.payload import encode_arguments

CONTROLS = frozenset({"organizations", "timeout", "quorum", "arguments"})
"""The keywords of ``client.run`` that are no argument of the function."""

SUBCLIENTS: dict[str, type] = {
    "run": Runs,
    "task": Tasks,
    "result": TaskResults,
    "organization": Organizations,
    "collaboration": Collaboration,
}
"""What a client has under a name."""

UNKNOWN, MISSING = object(), object()
"""What a name stands for that nobody can tell, and one that is nowhere."""


class Problem(NamedTuple):
    """Something wrong with a call."""

    rule: str
    line: int
    reason: str
    way_out: str = ""


class Known(NamedTuple):
    """What the algorithm has."""

    functions: Mapping[str, RegisteredFunction]
    refused: frozenset[str]
    """The names of functions that were refused when they were declared: they have their own finding."""


class _Given(NamedTuple):
    """The arguments that a call gives, as they stand in the source."""

    by_name: Mapping[str, ast.expr]
    complete: bool
    """Whether these are all of them."""
    by_position: Sequence[ast.expr] = ()


def check(tree: ast.Module, names: Mapping[str, object], known: Known) -> Iterator[Problem]:
    """The calls of clients in one module, whose names are ``names``."""
    yield from _functions(tree, {}, names, known)


def _functions(
    node: ast.AST, outer: dict[str, list[ast.expr | None]], names: Mapping[str, object], known: Known
) -> Iterator[Problem]:
    for child in ast.iter_child_nodes(node):
        inner = outer
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner = {**{name: [None] for name in outer}, **source.bindings(child)}
            clients = source.clients(child, inner)
            if clients:
                yield from _Calls(clients, inner, names, known).within(child)
        yield from _functions(child, inner, names, known)


class _Calls:
    """Reads the calls in one function."""

    def __init__(
        self,
        clients: set[str],
        bound: Mapping[str, list[ast.expr | None]],
        names: Mapping[str, object],
        known: Known,
    ) -> None:
        self._clients = clients
        self._bound = bound
        self._names = names
        self._known = known

    def within(self, function: Function) -> Iterator[Problem]:
        """The problems of all its calls."""
        nodes = list(ast.walk(function))
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield from self._attribute(node)
        for node in nodes:
            if isinstance(node, ast.Call) and self._is_run(node.func):
                yield from self._run(node)
        creations = [node for node in nodes if isinstance(node, ast.Call) and self._is_create(node.func)]
        used = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
        for node in creations:
            yield from self._create(node, creations, used)

    def _is_client(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._clients

    def _is_run(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "run" and self._is_client(node.value)

    def _is_create(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "create" and self._subclient(node.value) is Tasks

    def _subclient(self, node: ast.expr) -> type | None:
        """Which of ``SUBCLIENTS`` an expression is."""
        named = isinstance(node, ast.Attribute) and self._is_client(node.value)
        return SUBCLIENTS.get(node.attr) if named and isinstance(node, ast.Attribute) else None

    def _attribute(self, node: ast.Attribute) -> Iterator[Problem]:
        owner = AlgorithmClient if self._is_client(node.value) else self._subclient(node.value)
        if owner is not None and not hasattr(owner, node.attr) and not node.attr.startswith("_"):
            whose = "an AlgorithmClient" if owner is AlgorithmClient else ast.unparse(node.value)
            yield Problem("unknown-client-call", node.lineno, f"{whose} has no {node.attr!r}")

    def _run(self, node: ast.Call) -> Iterator[Problem]:
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        if not node.args:
            yield Problem(
                "wrong-arguments",
                node.lineno,
                "client.run is called without a function; it comes first, and without a name",
                "Write client.run(function, argument=…).",
            )
            return
        if len(node.args) > 1:
            reason = "client.run takes nothing by position behind the function; give its arguments by name"
            yield Problem("wrong-arguments", node.lineno, reason)
            return
        given: dict[str, ast.expr] = {k.arg: k.value for k in node.keywords if k.arg and k.arg not in CONTROLS}
        complete = all(keyword.arg for keyword in node.keywords)
        for keyword in node.keywords:
            if keyword.arg == "arguments":
                more = _by_name(keyword.value)
                complete = complete and more is not None
                given |= more or {}
        yield from self._called(node, node.args[0], _Given(given, complete))

    def _create(self, node: ast.Call, creations: list[ast.Call], used: list[str]) -> Iterator[Problem]:
        """A call in v4's or v5's manner; ``used`` are the names that the function uses."""
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return
        keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        try:
            bound = _CREATE.bind_partial(*node.args, **keywords).arguments
        except TypeError as error:
            takes = f"client.task.create takes {', '.join(_CREATE.parameters)}."
            yield Problem("wrong-arguments", node.lineno, f"client.task.create: {error}", takes)
            return
        if "method" in bound:
            more = _by_name(bound["arguments"]) if "arguments" in bound else {}
            complete = more is not None and len(keywords) == len(node.keywords)
            yield from self._called(node, bound["method"], _Given(more or {}, complete))
        if "input_" not in bound:
            return
        names = [argument.id for call in creations for argument in _values(call) if isinstance(argument, ast.Name)]
        display = self._display(bound["input_"], lambda name: names.count(name) == used.count(name))
        if display is None:
            return
        unknown = sorted(display.keys() - {"method", "args", "kwargs", "master"})
        if unknown or "method" not in display:
            reason = f"`input_` has {'no method' if 'method' not in display else ', '.join(unknown)}"
            yield Problem("wrong-arguments", node.lineno, reason, "`input_` takes method, args and kwargs.")
            return
        more = _by_name(display["kwargs"]) if "kwargs" in display else {}
        args = display.get("args", ast.List([]))
        by_position = args.elts if isinstance(args, (ast.List, ast.Tuple)) else []
        known = isinstance(args, (ast.List, ast.Tuple)) and not any(isinstance(a, ast.Starred) for a in by_position)
        yield from self._called(
            node, display["method"], _Given(more or {}, known and more is not None, by_position if known else ())
        )

    def _display(self, node: ast.expr, is_whole: Callable[[str], bool]) -> dict[str, ast.expr] | None:
        """The entries of a dict display, in the call or under a name of which ``is_whole`` says that it stays so."""
        if isinstance(node, ast.Name) and is_whole(node.id):
            values = self._bound.get(node.id, [])
            node = values[0] or node if len(values) == 1 else node
        return _by_name(node)

    def _called(self, node: ast.Call, named: ast.expr, given: _Given) -> Iterator[Problem]:
        """What is wrong with a call of what ``named`` stands for."""
        target = self._value(named)
        if target is UNKNOWN:
            return
        if (problem := self._no_rpc(node, target, ast.unparse(named))) is not None:
            yield problem
            return
        function = self._known.functions.get(target) if isinstance(target, str) else target
        if isinstance(function, RegisteredFunction):
            yield from _arguments(node, function, given)

    def _value(self, node: ast.expr) -> Any:
        """What an expression stands for, as far as that is certain."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else UNKNOWN
        if isinstance(node, ast.Lambda):
            return MISSING
        if isinstance(node, ast.Name):
            if node.id in self._bound:
                values = self._bound[node.id]
                once = values[0] if len(values) == 1 else None
                fixed = isinstance(once, ast.Constant) or (isinstance(once, ast.Name) and once.id not in self._bound)
                return self._value(once) if once is not None and fixed else UNKNOWN
            return self._names.get(node.id, getattr(builtins, node.id, MISSING))
        if isinstance(node, ast.Attribute):
            module = self._value(node.value)
            return getattr(module, node.attr, MISSING) if isinstance(module, ModuleType) else UNKNOWN
        return UNKNOWN

    def _no_rpc(self, node: ast.Call, target: object, shown: str) -> Problem | None:
        rpcs = [name for name, function in self._known.functions.items() if function.role == "rpc"]
        listed = f"The rpcs of this algorithm: {', '.join(sorted(rpcs)) or 'none'}."
        if isinstance(target, RegisteredFunction):
            if target.role == "master":
                return Problem("unknown-function", node.lineno, f"{shown} is a master, and a master runs rpcs", listed)
            if self._known.functions.get(target.method) is None:
                reason = f"{shown} is not a function of this algorithm, but of another package"
                return Problem("unknown-function", node.lineno, reason, listed)
            return None
        if isinstance(target, str):
            function = self._known.functions.get(target)
            if function is not None and function.role == "rpc":
                return None
            if target in self._known.refused:
                return None
            if function is not None:
                reason = f"{target!r} is a master, and a master runs rpcs"
                return Problem("unknown-function", node.lineno, reason, listed)
            close = difflib.get_close_matches(target, rpcs, n=1)
            way_out = f"Did you mean {close[0]!r}?" if close else listed
            return Problem("unknown-function", node.lineno, f"no rpc is called {target!r}", way_out)
        if target is MISSING:
            reason = f"{shown} is no decorated function" if "lambda" in shown else f"there is no {shown} here"
            return Problem("unknown-function", node.lineno, reason, listed)
        if not callable(target) or getattr(target, "__name__", None) in self._known.refused:
            return None
        return Problem("unknown-function", node.lineno, f"{shown} is not decorated with @rpc, so no node can run it")


def _arguments(node: ast.Call, function: RegisteredFunction, given: _Given) -> Iterator[Problem]:
    try:
        specification = function.specification
    except AlgotoolsError:  # it has its own finding
        return
    takes = ", ".join(f"{p.name}: {describe(p.annotation)}" for p in specification.arguments) or "no arguments"
    way_out = f"{function.method} takes {takes}."

    def problem(reason: str) -> Problem:
        return Problem("wrong-arguments", node.lineno, reason, way_out)

    if (number := len(given.by_position)) > len(specification.positional):
        yield problem(f"{function.method} takes {len(specification.positional)} arguments by position, not {number}")
        return
    values = {**dict(zip(specification.positional, given.by_position, strict=False)), **given.by_name}
    expected = {p.name: p for p in specification.arguments}
    unknown = [name for name in values if name not in expected]
    missing = [p.name for p in expected.values() if p.required and p.name not in values] if given.complete else []
    whats = [f"takes no {', '.join(unknown)}"] * bool(unknown) + [f"needs {', '.join(missing)}"] * bool(missing)
    if whats:
        yield problem(f"{function.method} {' and '.join(whats)}")
    for name, value in values.items():
        if name in expected and (why := _refused(specification, name, value)):
            yield problem(why)


_CREATE = inspect.signature(Tasks.create).replace(
    parameters=list(inspect.signature(Tasks.create).parameters.values())[1:]  # without self
)


def _values(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _by_name(node: ast.expr) -> dict[str, ast.expr] | None:
    """The entries of a dict display with texts as keys; None for anything else."""
    if not isinstance(node, ast.Dict):
        return None
    keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
    if not all(isinstance(key, str) for key in keys):
        return None
    return {str(key): value for key, value in zip(keys, node.values, strict=True)}


def _refused(specification: Specification, name: str, node: ast.expr) -> str:
    """Why an argument that stands in the source as a constant is refused; empty if it is not."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return ""
    try:
        sent = json.loads(encode_arguments(value))
        only = Specification(tuple(p for p in specification.arguments if p.name == name))
        only.validate((), {name: sent})
    except AlgotoolsError as error:
        return error.message.partition(" (it takes ")[0]
    return ""
