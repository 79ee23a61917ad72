"""The placeholder for rows that the master does not have.

Everything that is computed from a ghost is a ghost. An operation that needs a number from it raises ``Absent``. If the
function returns without one, its result does not depend on rows, and the master needs no further round.

A ghost cannot know which errors the rows would raise, or which attributes they have. So an operation also raises
``Absent`` if the author could handle an error (in a ``try`` or a ``with``), and in ``hasattr`` and ``getattr``.
"""

from __future__ import annotations

import ast
import dis
import functools
import sys
from collections.abc import Callable
from types import CodeType, FrameType, ModuleType
from typing import Any, NoReturn

from algotools.runtime.pooled._questions import is_uncertain
from algotools.runtime.pooled._source import is_of_this_package, parse, read_source

_HARMLESS_CONTEXTS = frozenset({"errstate", "catch_warnings"})
"""Contexts that handle no exception."""

_TRY: tuple[type[Any], ...] = (ast.Try, getattr(ast, "TryStar", ast.Try))  # Python 3.10 has no `except*`

_WRITES_INTO_AN_ARRAY = frozenset({"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"})


class Absent(BaseException):
    """Ends an attempt of the master that needs rows. Not an ``Exception``; see ``Pause``."""


class Ghost:
    """Rows, or anything computed from rows, at the master.

    Args:
        on_need: called before ``Absent`` is raised. A library or the author may swallow the exception, so the attempt
            does not count after any call.
    """

    __slots__ = ("_on_need",)

    def __init__(self, on_need: Callable[[], object]) -> None:
        object.__setattr__(self, "_on_need", on_need)

    def __repr__(self) -> str:
        # A debugger may show a ghost. A function that makes a text of it would make another one of rows.
        object.__getattribute__(self, "_on_need")()
        return "<rows of the nodes>"

    # `isinstance(data, pandas.DataFrame)` has no answer here. It must not be False, or the master would take another
    # branch than the nodes.
    __class__ = property(lambda self: _need(self))  # noqa: PLW0108 - `_need` is defined below

    def __getattr__(self, name: str) -> Ghost:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if not _reads_attribute(sys._getframe(1)):  # noqa: SLF001 - `hasattr` and `getattr` call without a frame
            _need(self)
        return _derive(self)

    def __call__(self, *arguments: object, **keywords: object) -> Ghost:
        if "out" in keywords or _contains_function((arguments, keywords)):
            _need(self)  # for instance `data.apply(f)`: the rows would call the function
        return _derive(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *_: object, **keywords: Any) -> Ghost:
        if method == "at" or keywords.get("out") or ufunc.__name__.endswith("(vectorized)"):
            _need(self)  # the rows would change an array that the function continues to use
        return _derive(self)

    def __array_function__(self, function: Any, _types: object, arguments: object, keywords: Any) -> Ghost:
        if keywords.get("out") is not None or function.__name__ in _WRITES_INTO_AN_ARRAY:
            _need(self)
        if _contains_function((arguments, keywords)):
            _need(self)
        return _derive(self)


def _contains_function(value: Any) -> bool:
    """Return whether arguments contain a function that could change something outside itself."""
    kind = type(value)  # not `isinstance`, which would need rows
    if kind is dict:
        value = [*value.values()]
    if kind in (dict, list, tuple):
        return any(map(_contains_function, value))
    is_builtin = type(getattr(value, "__self__", None)) is ModuleType if kind is not Ghost else True
    return not (is_builtin or issubclass(kind, type) or kind.__module__.startswith("numpy")) and callable(value)


def _need(ghost: Ghost) -> NoReturn:
    object.__getattribute__(ghost, "_on_need")()
    raise Absent("the function needs rows")


def _derive(ghost: Ghost) -> Ghost:
    """Return a new ghost, because two computed values are never the same object."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the only function for this
    while frame is not None and not is_of_this_package(frame):
        code = frame.f_code
        if is_uncertain(frame) or _handles_errors(code, code.co_filename, frame.f_lineno):
            _need(ghost)
        frame = frame.f_back
    return Ghost(object.__getattribute__(ghost, "_on_need"))


def _reads_attribute(frame: FrameType) -> bool:
    code = frame.f_code.co_code
    return dis.opname[code[frame.f_lasti]] in {"LOAD_ATTR", "LOAD_METHOD", "EXTENDED_ARG"}


@functools.lru_cache(maxsize=1024)
def _handles_errors(_code: CodeType, file: str, line: int) -> bool:
    """Return whether a line is in a ``try`` with handlers, or in a ``with``."""
    lines = _find_handled_lines(read_source(file))
    return lines is None or any(first <= line <= last for first, last in lines)


@functools.lru_cache(maxsize=64)
def _find_handled_lines(source: str) -> tuple[tuple[int, int], ...] | None:
    """Return first and last line of each block whose errors are handled; None if the source is not available."""
    tree = parse(source)
    if not tree.body:
        return None
    blocks: list[tuple[int, int]] = []
    for node in ast.walk(tree):
        is_try = isinstance(node, _TRY) and (node.handlers or any(map(_leaves, node.finalbody)))
        is_with = isinstance(node, (ast.With, ast.AsyncWith)) and not all(map(_is_harmless, node.items))
        if is_try or is_with:
            body: list[Any] = node.body  # type: ignore[attr-defined]  # both kinds of block have a body
            blocks.append((body[0].lineno, body[-1].end_lineno))
    return tuple(blocks)


def _leaves(statement: ast.stmt) -> bool:
    """Return whether a statement of a ``finally`` can replace an exception: ``return``, ``break`` or ``continue``."""
    return any(isinstance(node, (ast.Return, ast.Break, ast.Continue)) for node in ast.walk(statement))


def _is_harmless(item: ast.withitem) -> bool:
    call = item.context_expr
    function = call.func if isinstance(call, ast.Call) else call
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in _HARMLESS_CONTEXTS


_DERIVED = (
    "abs add and eq floordiv ge getitem gt invert le lshift lt matmul mod mul ne neg or pos pow round rshift sub "
    "truediv xor"
)
_REFLECTED = "add and floordiv lshift matmul mod mul or pow rshift sub truediv xor"
_NEEDED = (
    "array bool bytes ceil complex contains copy deepcopy delattr delitem divmod enter exit float floor format fspath "
    "hash index int iter len next rdivmod reduce reduce_ex reversed setattr str trunc"
)


def _make_derived(name: str) -> Any:
    def method(self: Ghost, *_: object, **__: object) -> Ghost:
        return _derive(self)

    method.__name__ = method.__qualname__ = name
    return method


def _make_needed(name: str) -> Any:
    def method(self: Ghost, *_: object, **__: object) -> NoReturn:
        _need(self)

    method.__name__ = method.__qualname__ = name
    return method


def _set_item(self: Ghost, *_: object) -> None:
    """Accept ``frame["new"] = frame["old"] * 2``: the rows remain rows."""
    _derive(self)


def _add_methods() -> None:
    derived = [*_DERIVED.split(), *(prefix + name for name in _REFLECTED.split() for prefix in "ri")]
    methods = dict.fromkeys(derived, _make_derived) | dict.fromkeys(_NEEDED.split(), _make_needed)
    for name, make in methods.items():
        setattr(Ghost, f"__{name}__", make(f"__{name}__"))
    setattr(Ghost, "__setitem__", _set_item)  # noqa: B010 - mypy refuses an assignment


_add_methods()
