"""The author's source: the text of a file, its syntax tree, and the distinction from this package's own frames."""

from __future__ import annotations

import ast
import functools
import linecache
import os
from pathlib import Path
from types import FrameType

from algotools.declare.locate import parse_source

_PACKAGE = str(Path(__file__).parent) + os.sep


def is_of_this_package(frame: FrameType) -> bool:
    """Return whether a frame belongs to this package, and not to the author or a library."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def read_source(file: str) -> str:
    """Return the text of a file, also of a notebook's cell; empty if it is not available."""
    return "".join(linecache.getlines(file))


@functools.lru_cache(maxsize=8)
def parse(source: str) -> ast.Module:
    """Return the syntax tree of a source; without statements if the source is not available."""
    return parse_source(source)
