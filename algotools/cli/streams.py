"""Standard output and error of this process, while a table is drawn on its terminal.

The functions of runner inline run in this very process, and print as they like; that must come above the table. Where
they ask something at the terminal, as a debugger does at a breakpoint, the table must go.
"""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Callable
from typing import Any, TextIO


class Streams:
    """Takes what is printed, line by line, until ``restore``.

    Args:
        take: is given each line; from the thread that prints.
        asked: is called before somebody asks something at the terminal.
    """

    def __init__(self, take: Callable[[str], object], asked: Callable[[], object]) -> None:
        self._before: tuple[Any, ...] = (sys.stdout, sys.stderr, builtins.input)
        self._taken = (_Taken(sys.stdout, take), _Taken(sys.stderr, take))
        sys.stdout, sys.stderr = self._taken
        builtins.input = _after(asked, builtins.input)  # a debugger's prompt, too; at its hook it would stop in ours

    def restore(self) -> None:
        """Leave all streams to themselves again; whoever holds one of ours prints through it."""
        sys.stdout, sys.stderr, builtins.input = self._before
        for taken in self._taken:
            taken.let_through()


class _Taken(io.TextIOBase):
    """A stream whose lines are taken."""

    def __init__(self, stream: TextIO, take: Callable[[str], object]) -> None:
        self._stream = stream
        self._take = take
        self._line = ""
        self._through = False

    def let_through(self) -> None:
        """From now on it is that stream."""
        self._through = True
        if self._line:
            self._take(self._line)

    def write(self, text: str) -> int:
        if self._through:
            return self._stream.write(text)
        *lines, last = f"{self._line}{text}".split("\n")
        self._line = last.rpartition("\r")[2]  # what would be written over is as good as never written
        for line in lines:
            self._take(line)
        return len(text)

    def flush(self) -> None:
        if self._through:
            self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def buffer(self) -> Any:
        return self._stream.buffer


def _after(first: Callable[[], object], function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        first()
        return function(*arguments, **keywords)

    return call
