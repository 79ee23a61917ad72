"""Results that have no form in an answer, told from a function's annotation and its ``return`` lines.

Which values have none is not written down here: a sample of each kind is given to the encodings themselves. What an
rpc returns may go to its own master, so it is refused only if neither encoding takes it.
"""

from __future__ import annotations

import ast
import builtins
import collections
import inspect
import types
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Union

from algotools.check import source
from algotools.check.source import Function
from algotools.client import Results
from algotools.data import UNREAD, form_of
from algotools.errors import NotSerializable
from algotools.payload import encode_plain, encode_rich
from algotools.task import Role

SAMPLES: dict[Any, object] = {
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
"""Kinds of values, as annotations and builtin calls name them, with a value of each."""

_ANYTHING = frozenset({object, collections.abc.Callable})
"""Annotations that say too little to judge by."""


class Unfit(NamedTuple):
    """A part of a result that has no form."""

    line: int
    what: str


def in_annotation(function: Callable[..., object], role: Role, line: int) -> Unfit | None:
    """What the return annotation promises, if no answer can hold it."""
    what = _unfit_type(_return_hint(function), role)
    return Unfit(line, f"its annotation says that it returns {what}") if what else None


def no_table(function: Callable[..., object]) -> str:
    """Why what the annotation of a function that makes a table promises is none; empty if it is, or says nothing."""
    hint = _return_hint(function)
    if hint in (None, Any, object) or form_of(hint) not in (None, *UNREAD):
        return ""
    return f"its annotation says that it returns {_named(getattr(hint, '__name__', str(hint)))}"


def _return_hint(function: Callable[..., object]) -> Any:
    try:
        return typing.get_type_hints(function, include_extras=True).get("return")
    except Exception:  # an annotation is any expression, and this one is for readers only
        return None


def in_returns(node: Function, role: Role, names: Mapping[str, object]) -> Iterator[Unfit]:
    """What the ``return`` lines of a function give that no answer can hold; ``names`` are its module's."""
    reader = _Reader(role, node, names)
    for inner in source.own_nodes(node):
        if isinstance(inner, ast.Return) and inner.value is not None and (what := reader.unfit(inner.value)):
            yield Unfit(inner.lineno, f"it returns {what}")


def fits(value: object, role: Role) -> bool:
    """Whether a value has a form in an answer to somebody who may ask this function."""
    encodings: list[Callable[[object], object]] = [encode_plain, encode_rich] if role == "rpc" else [encode_plain]
    for encode in encodings:
        try:
            encode(value)
        except NotSerializable:
            continue
        return True
    return False


def _unfit_type(hint: Any, role: Role) -> str:
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is Annotated:
        return _unfit_type(inner[0], role)
    if origin in (Union, types.UnionType):
        told = [_unfit_type(member, role) for member in inner if member is not type(None)]
        return told[0] if told and all(told) else ""
    try:
        known = origin in SAMPLES and origin not in _ANYTHING
    except TypeError:  # an annotation that cannot be a key
        return ""
    if known and not fits(SAMPLES[origin], role):
        return _named(getattr(origin, "__name__", str(origin)))
    if origin in (dict, collections.abc.Mapping) and len(inner) == 2:
        if typing.get_origin(inner[0]) is tuple or inner[0] is tuple:
            return "" if fits({(): 0}, role) else "a mapping with tuples as keys"
        return _within(_unfit_type(inner[1], role), "a mapping")
    if origin in (list, tuple, collections.abc.Sequence):
        told = [_unfit_type(member, role) for member in inner if member is not ...]
        return _within(next(filter(None, told), ""), f"a {origin.__name__.lower()}")
    return ""


def _named(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def _within(what: str, outer: str) -> str:
    return f"{outer} with {what} in it" if what and " in it" not in what else what


class _Reader:
    """Reads expressions of one function."""

    def __init__(self, role: Role, function: Function, names: Mapping[str, object]) -> None:
        self._role = role
        self._bound = source.bindings(function)
        self._clients = source.clients(function, self._bound)
        self._names = names
        self._followed: set[str] = set()

    def unfit(self, node: ast.expr) -> str:
        """What an expression gives that has no form, in words; empty if it has one, or nobody can tell."""
        if isinstance(node, ast.Constant):
            kind = type(node.value).__name__
            return "" if fits(node.value, self._role) else f"a {kind} that JSON does not have"
        if isinstance(node, (ast.Set, ast.SetComp)):
            return self._sample(set, "a set")
        if isinstance(node, ast.GeneratorExp):
            return self._sample(Generator, "a generator")
        if isinstance(node, ast.Lambda):
            return self._sample(types.FunctionType, "a function")
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Call):
            return self._call(node)
        return next(filter(None, self._parts(node)), "")

    def _parts(self, node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Dict):
            yield from (self._key(key) for key in node.keys if key is not None)
            yield from (_within(self.unfit(value), "a dict") for value in node.values)
        elif isinstance(node, ast.DictComp):
            yield self._key(node.key)
            yield _within(self.unfit(node.value), "a dict")
        elif isinstance(node, (ast.List, ast.Tuple)):
            kind = "a list" if isinstance(node, ast.List) else "a tuple"
            yield from (_within(self.unfit(item), kind) for item in node.elts)
        elif isinstance(node, ast.ListComp):
            yield _within(self.unfit(node.elt), "a list")
        elif isinstance(node, ast.IfExp):
            yield from (self.unfit(part) for part in (node.body, node.orelse))
        elif isinstance(node, ast.Starred):
            return
        elif isinstance(node, ast.NamedExpr):
            yield self.unfit(node.value)

    def _key(self, node: ast.expr) -> str:
        try:
            key = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            if not isinstance(node, ast.Tuple):
                return ""
            key = ()
        try:
            return "" if fits({key: 0}, self._role) else f"a dict with a {type(key).__name__} as a key"
        except TypeError:  # no key at all: the function fails in another way
            return ""

    def _name(self, name: str) -> str:
        bound = self._bound.get(name, [])
        if len(bound) != 1 or bound[0] is None or name in self._followed:
            return ""
        self._followed.add(name)
        try:
            return self.unfit(bound[0])
        finally:
            self._followed.discard(name)

    def _call(self, node: ast.Call) -> str:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            runs = node.func.attr == "run" and node.func.value.id in self._clients
            return self._sample(Results, "what client.run(…) gives, and not list(client.run(…))") if runs else ""
        if not isinstance(node.func, ast.Name) or node.func.id in self._bound:
            return ""
        name = node.func.id
        called = self._names.get(name, getattr(builtins, name, None))
        if called is dict:
            values = (_within(self.unfit(keyword.value), "a dict") for keyword in node.keywords if keyword.arg)
            return next(filter(None, values), "")
        try:
            known = called in SAMPLES
        except TypeError:
            return ""
        return self._sample(called, f"what {name}(…) gives") if known else ""

    def _sample(self, kind: object, words: str) -> str:
        return "" if fits(SAMPLES[kind], self._role) else words


def is_wrapped(function: Callable[..., object]) -> bool:
    """Whether another decorator stands between the author's code and us: then it may turn the result into another."""
    return inspect.unwrap(function) is not function
