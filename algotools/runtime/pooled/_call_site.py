"""Where a function requests a total: the operation, the lines, and the values of the enclosing loops.

The sums of a loop over ``data["sex"].unique()`` agree in operation, shape and line at two nodes that have the levels in
another order. Without the values of the loops, the sums of men and of women would be mixed without a message.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import opcode
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import msgspec

from algotools.disclosure.source_lines import WITHOUT_SOURCE, describe_place, find_line
from algotools.runtime.pooled._ghost import Ghost
from algotools.runtime.pooled._source import is_of_this_package, parse, read_source

_MISSING = object()

_LIBRARIES = frozenset({"numpy", "pandas", "scipy", "sklearn", "statsmodels"})
"""Packages whose own loops do not run over levels. Their modules take long to parse."""

_TEXTS: tuple[type, ...] = (str, bytes)
_LABELS = (*_TEXTS, int, bool)


class CallSite(msgspec.Struct, frozen=True):
    """A request for a total. It contains no value from the rows: the loop's values are a digest of 16 bits."""

    operation: str
    line: int
    """0 if no source has the line; see ``source_lines``."""
    module: str
    """The file's name if it is not the file of the pooled function; otherwise empty."""
    path: str
    """Digest of all frames between the function and the request, with the instruction in each of them."""
    loop: str
    """Digest of the values of the loops around the request, keyed with the task."""
    loop_names: tuple[str, ...] = ()
    loop_variable: str = ""
    """The first of these names that is not only a parameter of a helper."""

    @property
    def place(self) -> str:
        """The line, for a message."""
        return describe_place(self.line, self.module)

    @property
    def name(self) -> str:
        """The operation, for a message."""
        return "sum" if self.operation == "add" else self.operation.replace("_", " ")

    def describe(self) -> str:
        """Return operation and line, for a message: ``a sum in line 9``."""
        return f"a {self.name} in {self.place}"

    def has_same_path(self, site: CallSite) -> bool:
        """Return whether both requests come from the same operation at the same instruction."""
        return (self.operation, self.path) == (site.operation, site.path)


class AuthorFrames(NamedTuple):
    """The frames between a pooled function and its request for a total, the innermost first."""

    frames: list[FrameType]
    is_complete: bool
    """False in a thread of the author, in which the function's own frame is missing."""


def find_frames(caller: CodeType) -> AuthorFrames:
    """Return the author's frames above this package's own; *caller* is the code that called the pooled function."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only function for this
    while frame is not None and is_of_this_package(frame):
        frame = frame.f_back
    frames: list[FrameType] = []
    while frame is not None and frame.f_code is not caller:
        frames.append(frame)
        frame = frame.f_back
    return AuthorFrames(frames, frame is not None)


def is_library(frame: FrameType) -> bool:
    """Return whether a frame belongs to a library that calls the author's function, such as an optimiser."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _LIBRARIES


def make_call_site(operation: str, frames: list[FrameType], key: str) -> CallSite:
    """Return the call site of a request; *key* is the task's, so that digests of two tasks cannot be compared."""
    inner, outer = frames[0], frames[-1]
    path = hashlib.sha256()
    loop = hashlib.sha256(key.encode())
    names: list[str] = []
    loop_variable = ""
    for frame in frames:
        code = frame.f_code
        instruction = _find_instruction(code, frame.f_lasti)
        position = f"{code.co_name} {code.co_firstlineno} {frame.f_lineno} {instruction}\n".encode()
        if is_library(frame):
            path.update(position)
            continue
        has_source = find_line(frame) > 0
        if has_source:
            path.update(position)
        else:  # the position can be a value from the rows, as the values of loops
            loop.update(position)
            names.append(WITHOUT_SOURCE)
        variables = frame.f_locals
        for name, kinds, is_in_loop in _list_loop_names(code, code.co_filename, frame.f_lineno, frame is not outer):
            value = variables.get(name, _MISSING)
            if kinds and not _has_type(value, kinds):
                continue
            if (text := _describe_loop_value(value)) is not None:
                shown_name = name if has_source else WITHOUT_SOURCE
                names.append(shown_name)
                loop_variable = loop_variable or (shown_name if is_in_loop else "")
                loop.update(f"{name}={text}\n".encode())
    file, own_file = inner.f_code.co_filename, outer.f_code.co_filename
    line = find_line(inner) if file == own_file or _is_near(file, own_file) else 0
    return CallSite(
        operation=operation,
        line=line,
        module="" if file == own_file or not line else Path(file).name,
        path=path.hexdigest()[:16],
        loop=loop.hexdigest()[:4] if names else "",
        loop_names=tuple(dict.fromkeys(names)),
        loop_variable=loop_variable,
    )


@functools.lru_cache(maxsize=256)
def _is_near(file: str, own_file: str) -> bool:
    """Return whether a file is in the author's package or installed. The name of another one may come from data."""
    root = Path(own_file).parent
    while (root / "__init__.py").is_file():
        root = root.parent
    return any(Path(file).is_relative_to(folder) for folder in (root, sys.prefix, sys.base_prefix))


_PRECALL = opcode.opmap.get("PRECALL")
_PRECALL_SIZE = 4
"""Bytes of the instruction with its cache."""


def _find_instruction(code: CodeType, offset: int) -> int:
    """Return the offset of the call that a frame executes.

    Python 3.11 calls a function by two instructions. After some calls the interpreter specialises the first one, which
    then makes the whole call. So the offset would change between two rounds of a function.
    """
    if _PRECALL is not None and code.co_code[offset] == _PRECALL:
        return offset + _PRECALL_SIZE
    return offset


def _has_type(value: object, kinds: tuple[type, ...]) -> bool:
    kind = type(value)  # not `isinstance`, which uses a placeholder
    is_integer = kind.__module__ == "numpy" and kind.__name__.lstrip("u").startswith("int")
    return issubclass(kind, kinds) or (is_integer and int in kinds)


def _describe_loop_value(value: object) -> str | None:
    """Return a text for a label or a number; None for other values, such as a batch of rows."""
    if isinstance(value, (tuple, list)):
        texts = [_describe_loop_value(item) for item in value]
        return f"({','.join(text for text in texts if text is not None)})" if any(texts) else None
    if type(value) is Ghost:  # without an operation of the ghost
        return None
    if value is None:
        return "None"
    if isinstance(value, str):
        return repr(str(value))  # a string of numpy has another text, but is the same level
    if isinstance(value, bytes):
        return repr(bytes(value))
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a scalar of numpy
        value = value.item()
    if isinstance(value, float):
        # The last digits depend on the node's processor. 3 and 3.0 are the same level.
        # Near 0 no digit is certain.
        value = 0.0 if abs(value) < 1e-9 else value
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
    if isinstance(value, int):
        return str(value)
    if type(value).__name__ in ("Timestamp", "datetime", "date", "Timedelta", "Period", "Interval", "Decimal"):
        return str(value)
    return None


class _LoopName(NamedTuple):
    name: str
    kinds: tuple[type, ...]
    """The types of values that count; none for all types."""
    is_in_loop: bool
    """False for the parameter of a helper, which no loop may call."""


class _Loop(NamedTuple):
    first_line: int
    last_line: int
    names: tuple[str, ...]
    is_while: bool = False


@functools.lru_cache(maxsize=1024)
def _list_loop_names(code: CodeType, file: str, line: int, is_helper: bool) -> tuple[_LoopName, ...]:
    """Return the names whose values may differ in each pass.

    ``while`` and functions that a loop calls can have local numbers, which differ at two nodes without harm. Only
    texts are labels with certainty. A lambda in ``map`` is a loop. In a lambda for an optimiser, a number is not a
    label, and its last digits depend on the processor.
    """
    # The file is a part of the cache's key, because two code objects of two files can be equal.
    loops = [loop for loop in _find_loops(read_source(file)) if loop.first_line <= line <= loop.last_line]
    names = [_LoopName(name, _TEXTS if loop.is_while else (), True) for loop in loops for name in loop.names]
    if is_helper:
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        is_lambda = code.co_name == "<lambda>"
        kinds = _LABELS if is_lambda else _TEXTS
        names += [_LoopName(name, kinds, is_lambda) for name in parameters if not name.startswith(".")]
    return tuple(names)


@functools.lru_cache(maxsize=64)
def _find_loops(source: str) -> tuple[_Loop, ...]:
    """Return the loops and comprehensions in a source; empty if the source is not available."""
    loops = []
    for node in ast.walk(parse(source)):
        if isinstance(node, (ast.For, ast.AsyncFor)):
            last: Any = node.body[-1]
            loops.append(_Loop(node.body[0].lineno, last.end_lineno, _list_names(node.target)))
        elif isinstance(node, ast.While):
            assigned = [item for statement in node.body for item in ast.walk(statement) if isinstance(item, ast.Name)]
            names = tuple(dict.fromkeys(item.id for item in assigned if isinstance(item.ctx, ast.Store)))
            loops.append(_Loop(node.body[0].lineno, node.body[-1].end_lineno or node.lineno, names, is_while=True))
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            names = tuple(name for generator in node.generators for name in _list_names(generator.target))
            loops.append(_Loop(node.lineno, node.end_lineno or node.lineno, names))
    return tuple(loops)


def _list_names(target: ast.expr) -> tuple[str, ...]:
    return tuple(node.id for node in ast.walk(target) if isinstance(node, ast.Name))
