"""The rules about a function's result: its annotation and its ``return`` statements.

Whether a result can be encoded is not decided by a list of types: the encoders get a sample of each type. The result
of an rpc may go to a researcher or to the algorithm's own master, so both encodings must accept it. The nodes send the
result of a pooled function to its master.
"""

from __future__ import annotations

import ast
import builtins
import collections
import inspect
import types
import typing
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Annotated, Any, Union

from algotools import data
from algotools.declare.federated import PooledFunction
from algotools.declare.functions import RegisteredFunction
from algotools.declare.results import may_be_none, read_return_hint
from algotools.errors import NotSerializable
from algotools.federation.imports import SourceFile
from algotools.payload import encode_plain, encode_rich
from algotools.project.check._rules import Finding
from algotools.project.check._source import (
    FunctionNode,
    find_clients,
    find_function,
    locate_definition,
    read_bindings,
    walk_body,
)
from algotools.runtime.client import Results
from algotools.task import Role

_SAMPLES: dict[Any, object] = {
    set: set(),
    frozenset: frozenset(),
    collections.abc.Set: frozenset(),
    collections.abc.MutableSet: set(),
    collections.abc.KeysView: {}.keys(),
    collections.abc.ValuesView: {}.values(),
    collections.abc.ItemsView: {}.items(),
    collections.deque: collections.deque(),
    complex: 1j,
    bytes: b"",
    bytearray: bytearray(),
    memoryview: memoryview(b""),
    range: range(0),
    slice: slice(0),
    object: object(),
    map: map(str, ()),
    filter: filter(None, ()),
    zip: zip((), strict=False),
    enumerate: enumerate(()),
    reversed: reversed(()),
    iter: iter(()),
    Iterator: iter(()),
    Generator: (_ for _ in ()),
    collections.abc.Callable: len,
    types.FunctionType: len,
    Results: Results.__new__(Results),
}
"""Type or builtin, as annotations and calls name it -> a sample value."""

_ANYTHING = frozenset({object, collections.abc.Callable})
"""Annotations that are too general to be checked."""


def check_result(function: RegisteredFunction, files: Sequence[SourceFile]) -> list[Finding]:
    """Check the ``return`` statements of a function, and its annotation if they have no fault."""
    wrapped = function.__wrapped__
    location = locate_definition(function)
    is_changed = inspect.unwrap(wrapped) is not wrapped  # another decorator may change the result
    if location is None or is_changed or function.derived_from is not None:
        return []
    path, line = location
    hint = read_return_hint(wrapped)
    if function.step != "compute":
        if hint in (None, Any, object) or data.find_form(hint) not in (None, *data.UNREAD):
            return []
        kind = _add_article(getattr(hint, "__name__", str(hint)))
        return [Finding.of("table-result", path, line, f"{function.method}: the annotation of its result is {kind}")]
    file = next((file for file in files if str(file.path) == path), None)
    node = find_function(file, line) if file else None
    role: Role = "rpc" if isinstance(function, PooledFunction) else function.role
    faults = _ReturnReader(role, node, wrapped.__globals__).read() if node else []
    if not faults and (unencodable := _find_unencodable_type(hint, role)):
        faults = [(line, f"the annotation of its result is {unencodable}")]
    missing = [] if node is None or may_be_none(hint) else _find_missing_returns(node)
    rules = {"result-not-serializable": faults, "result-annotation": missing}
    return [Finding.of(rule, path, line, f"{function.method}: {text}") for rule in rules for line, text in rules[rule]]


def _find_missing_returns(function: FunctionNode) -> list[tuple[int, str]]:
    """Return the line and the reason of each ``return`` without a value, or of a function without any ``return``."""
    returns = [node for node in walk_body(function) if isinstance(node, ast.Return)]
    if not returns and not _always_leaves(function.body):
        return [(function.lineno, "it has no `return`, and its annotation does not allow None")]
    empty = [r for r in returns if r.value is None or (isinstance(r.value, ast.Constant) and r.value.value is None)]
    return [(node.lineno, "it returns None, which its annotation does not allow") for node in empty]


def _always_leaves(body: Sequence[ast.stmt]) -> bool:
    """Return whether statements may always raise or never finish, so that no ``return`` is missing after them."""
    return any(map(_leaves, body))


def _leaves(node: ast.stmt) -> bool:
    if isinstance(node, ast.While):
        return isinstance(node.test, ast.Constant) and bool(node.test.value)
    if isinstance(node, ast.If):
        return _always_leaves(node.body) and _always_leaves(node.orelse)
    if isinstance(node, (ast.With, ast.Try)):
        return _always_leaves(node.body)
    return isinstance(node, (ast.Raise, ast.Match))


def _can_encode(value: object, role: Role) -> bool:
    """Whether all encodings for the result of a function accept a value."""
    try:
        encode_plain(value)
        if role == "rpc":
            encode_rich(value)
    except NotSerializable:
        return False
    return True


def _find_unencodable_type(hint: Any, role: Role) -> str:
    """Describe the first type in an annotation that cannot be encoded; empty if all can be, or if unknown.

    A union is accepted if one of its types except None can be encoded.
    """
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        return _find_unencodable_type(inner[0], role)
    if origin in (Union, types.UnionType):
        parts = [_find_unencodable_type(member, role) for member in inner if member is not type(None)]
        return parts[0] if parts and all(parts) else ""
    try:
        is_known = origin in _SAMPLES and origin not in _ANYTHING
    except TypeError:  # the annotation is not hashable
        return ""
    if is_known and not _can_encode(_SAMPLES[origin], role):
        return _add_article(getattr(origin, "__name__", str(origin)))
    if origin in (dict, collections.abc.Mapping) and len(inner) == 2:
        return _add_container(_find_unencodable_type(inner[1], role), "a mapping")
    if origin in (list, tuple, collections.abc.Sequence):
        parts = [_find_unencodable_type(member, role) for member in inner if member is not ...]
        return _add_container(next(filter(None, parts), ""), f"a {origin.__name__.lower()}")
    return ""


def _add_article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def _add_container(description: str, outer: str) -> str:
    """Add a container to the description of a value, unless the description already has the innermost container."""
    return f"{outer} with {description} in it" if description and " in it" not in description else description


class _ReturnReader:
    """Reads the ``return`` statements of a function; *names* are the global variables of its module."""

    def __init__(self, role: Role, function: FunctionNode, names: Mapping[str, object]) -> None:
        self._role = role
        self._function = function
        self._bound = read_bindings(function)
        self._clients = find_clients(function, self._bound)
        self._names = names
        self._followed: set[str] = set()

    def read(self) -> list[tuple[int, str]]:
        """Return the line and the reason of each ``return`` whose value cannot be encoded."""
        returns = (node for node in walk_body(self._function) if isinstance(node, ast.Return) and node.value)
        return [
            (node.lineno, f"it returns {unencodable}")
            for node in returns
            if node.value and (unencodable := self._find_unencodable(node.value))
        ]

    def _find_unencodable(self, node: ast.expr) -> str:
        """Describe the part of an expression's value that cannot be encoded; empty if all can be, or if unknown."""
        if isinstance(node, ast.Constant):
            kind = type(node.value).__name__
            return "" if _can_encode(node.value, self._role) else f"a {kind}, which JSON does not have"
        if isinstance(node, (ast.Set, ast.SetComp)):
            return self._check_sample(set, "a set")
        if isinstance(node, ast.GeneratorExp):
            return self._check_sample(Generator, "a generator")
        if isinstance(node, ast.Lambda):
            return self._check_sample(types.FunctionType, "a function")
        if isinstance(node, ast.Name):
            return self._check_name(node.id)
        if isinstance(node, ast.Call):
            return self._check_call(node)
        return next(filter(None, self._check_parts(node)), "")

    def _check_parts(self, node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Dict):
            yield from (_add_container(self._find_unencodable(value), "a dict") for value in node.values)
        elif isinstance(node, ast.DictComp):
            yield _add_container(self._find_unencodable(node.value), "a dict")
        elif isinstance(node, (ast.List, ast.Tuple)):
            kind = "a list" if isinstance(node, ast.List) else "a tuple"
            yield from (_add_container(self._find_unencodable(item), kind) for item in node.elts)
        elif isinstance(node, ast.ListComp):
            yield _add_container(self._find_unencodable(node.elt), "a list")
        elif isinstance(node, ast.IfExp):
            yield from (self._find_unencodable(part) for part in (node.body, node.orelse))
        elif isinstance(node, ast.NamedExpr):
            yield self._find_unencodable(node.value)

    def _check_name(self, name: str) -> str:
        bound = self._bound.get(name, [])
        if len(bound) != 1 or bound[0] is None or name in self._followed:
            return ""
        self._followed.add(name)
        try:
            return self._find_unencodable(bound[0])
        finally:
            self._followed.discard(name)

    def _check_call(self, node: ast.Call) -> str:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            runs = node.func.attr == "run" and node.func.value.id in self._clients
            return self._check_sample(Results, "the results of client.run(…) without list(…)") if runs else ""
        if not isinstance(node.func, ast.Name) or node.func.id in self._bound:
            return ""
        name = node.func.id
        called = self._names.get(name, getattr(builtins, name, None))
        if called is dict:
            values = (_add_container(self._find_unencodable(k.value), "a dict") for k in node.keywords if k.arg)
            return next(filter(None, values), "")
        try:
            is_known = called in _SAMPLES
        except TypeError:  # not hashable
            return ""
        return self._check_sample(called, f"the result of {name}(…)") if is_known else ""

    def _check_sample(self, kind: object, description: str) -> str:
        return "" if _can_encode(_SAMPLES[kind], self._role) else description
