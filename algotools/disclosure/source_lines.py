"""Lines of the author's source that a message may name.

The number of a line can be a value from data: ``compile`` and ``CodeType.replace`` accept any file and any first line.
So a message names a line only if the source of the file has a function of this name that contains the line.
"""

from __future__ import annotations

import ast
import functools
import linecache
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import NamedTuple

parse_lock = threading.Lock()
"""Runs of the inline runner are threads. Python 3.11 raises SystemError if two threads parse at the same time."""

WITHOUT_SOURCE = "generated code"
"""The place of a frame whose source is not available, for a message."""


class _Lines(NamedTuple):
    """The lines of a source."""

    by_code: dict[tuple[str, int], frozenset[int]]
    """Name and first line of each code object -> its lines."""
    by_name: dict[str, frozenset[int]]
    """Name of code objects, without characters that are not ASCII -> their lines."""
    syntax_error: int | None = None
    """The line of the syntax error, if the source has one."""


def describe_place(line: int, module: str) -> str:
    """Return a place for a message: ``line 9``, or ``line 9 of tools.py``; *line* is 0 without a source."""
    return f"line {line}{f' of {module}' if module else ''}" if line else WITHOUT_SOURCE


def describe_line(frame: FrameType) -> str:
    """Return the line that a frame executes, for a message."""
    return describe_place(find_line(frame), "")


def find_line(frame: FrameType) -> int:
    """Return the line that a frame executes; 0 if the source of its file does not have the line."""
    code, line = frame.f_code, frame.f_lineno
    return line if has_line(code.co_filename, line, code.co_name, code.co_firstlineno) else 0


def has_line(file: str, line: object, name: str, first_line: int | None = None) -> bool:
    """Return whether the source of a file has a function of this name that contains a line.

    Args:
        file: the name of the file.
        line: the number of the line.
        name: the name of the code object; that of a stack from ``faulthandler`` contains only ASCII characters.
        first_line: the first line of the code object; None if it is unknown.
    """
    lines = _read_lines(file)
    if first_line is None:
        return line in lines.by_name.get(name, ())
    return line in lines.by_code.get((name, first_line), ())


def has_syntax_error(file: str, line: int) -> bool:
    """Return whether the source of a file has a syntax error in this line."""
    return _read_lines(file).syntax_error == line


def _read_lines(file: str) -> _Lines:
    try:
        status = os.stat(file)
    except (OSError, ValueError):  # the cell of a notebook, whose source is in memory
        return _collect_lines("".join(linecache.getlines(file)))
    return _read_file(file, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _read_file(file: str, *_state: int) -> _Lines:
    try:
        with open(file, "rb") as source:
            return _collect_lines(source.read())
    except OSError:
        return _collect_lines("")


@functools.lru_cache(maxsize=64)
def _collect_lines(source: str | bytes) -> _Lines:
    """Compile a source as the import does, and return the lines of its code objects."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if isinstance(source, str) else 0  # a cell of a notebook can have `await`
    by_code: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    by_name: defaultdict[str, set[int]] = defaultdict(set)
    syntax_error = None
    try:
        with parse_lock:
            module = compile(source, "<source>", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        syntax_error = error.lineno
    except (ArithmeticError, MemoryError, RecursionError, SystemError, ValueError):
        pass  # the source cannot be compiled, so the message names no line
    else:
        for code in _walk(module):
            lines = {line for _, _, line in code.co_lines() if line is not None}
            by_code[code.co_name, code.co_firstlineno] |= lines
            by_name[code.co_name.encode("ascii", "backslashreplace").decode()] |= lines
    return _Lines(
        {key: frozenset(lines) for key, lines in by_code.items()},
        {name: frozenset(lines) for name, lines in by_name.items()},
        syntax_error,
    )


def _walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _walk(constant)
