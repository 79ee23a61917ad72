"""The folder of a project: its ``pyproject.toml``, and the search for the project that a user means."""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from algotools.errors import AlgorithmNotFound

GROUP = "algotools.algorithms"
"""The group of entry points: ``[project.entry-points."algotools.algorithms"]``, name = module."""

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "",
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, because it begins with the same bytes
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order mark -> the encoding's name in a message. Some editors write these bytes, and no editor shows them."""


_NOT_SEARCHED = frozenset({"node_modules", "site-packages", "build", "dist", "__pycache__", "venv"})
"""Folders in which no user has a project."""

_MOST_FOLDERS = 500
"""Folders that the search for a project below a folder lists."""


def is_project(folder: Path) -> bool:
    """Whether the ``pyproject.toml`` of a folder names an algorithm.

    Raises:
        AlgorithmNotFound: the file cannot be read.
    """
    file = folder / "pyproject.toml"
    return file.is_file() and GROUP in get_table(read_toml(file), "project", "entry-points")


def find_project(folder: Path) -> Path | None:
    """Return the nearest project in the folders above a folder, itself included; None if there is none.

    Raises:
        AlgorithmNotFound: the file of a nearer folder cannot be read.
    """
    folder = folder.resolve()
    return next((parent for parent in (folder, *folder.parents) if is_project(parent)), None)


def find_project_below(folder: Path) -> Path | None:
    """Return the first project one or two levels below a folder; None if there is none."""
    children = list(_list_folders([folder]))
    for child in (*children, *_list_folders(children)):
        with contextlib.suppress(AlgorithmNotFound):
            if is_project(child):
                return child
    return None


def _list_folders(parents: list[Path]) -> Iterator[Path]:
    count = 0
    for parent in parents:
        try:
            children = sorted(parent.iterdir())
        except OSError:
            continue
        for child in children:
            if child.name.startswith(".") or child.name in _NOT_SEARCHED or not child.is_dir():
                continue
            if (count := count + 1) > _MOST_FOLDERS:
                return
            yield child


def make_no_project_error(folder: Path) -> AlgorithmNotFound:
    """Return the error for a folder without a ``pyproject.toml``; the message names the nearest project."""
    nearest = None
    with contextlib.suppress(AlgorithmNotFound):
        nearest = find_project(folder) or find_project_below(folder)
    if nearest is not None:
        return AlgorithmNotFound(f"{folder} has no pyproject.toml, so no project is here; the nearest is {nearest}")
    return AlgorithmNotFound(
        f"{folder} has no pyproject.toml; name the folder of a project, or create the file with the module of the "
        f'algorithm under [project.entry-points."{GROUP}"]'
    )


def read_toml(file: Path) -> dict[str, Any]:
    """Read the ``pyproject.toml`` of a project.

    Raises:
        AlgorithmNotFound: the file does not exist, cannot be read, or is not valid TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        text = decode_utf8(file.read_bytes())
    except FileNotFoundError:
        raise make_no_project_error(file.parent.resolve()) from None
    except OSError as error:
        raise AlgorithmNotFound(f"{file} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise AlgorithmNotFound(f"{file} is not valid TOML: the file {error}") from None
    try:
        return tomllib.loads(text.replace("\r\n", "\n").replace("\r", "\n"))
    except ValueError as error:  # TOMLDecodeError, or an integer with thousands of digits
        raise AlgorithmNotFound(f"{file} is not valid TOML: {error}") from None
    except RecursionError:
        raise AlgorithmNotFound(f"{file} is not valid TOML: the values are nested too deeply") from None


def decode_utf8(content: bytes) -> str:
    """Decode a file that a person has written.

    Raises:
        ValueError: the content has another encoding or a byte order mark. The message continues "the file …".
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            name = f" of {encoding}" if encoding else ""
            raise ValueError(f"begins with a byte order mark{name}; save it as UTF-8 without a byte order mark")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not encoded as UTF-8 (at line {line}); save it as UTF-8") from None


def get_table(content: object, *keys: str) -> dict[str, Any]:
    """Return a nested table of a TOML document; empty if the table is absent or has another type."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}
