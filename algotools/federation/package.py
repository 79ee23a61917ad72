"""An algorithm that is a package for an interpreter of its own: its name, its place, and how its image starts it."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

from algotools import locate
from algotools.errors import AlgorithmNotFound

NO_ALGORITHM = frozenset({"tests", "test", "docs", "examples", "build", "dist"})
"""Folders beside the package of a project."""


class Package(NamedTuple):
    """What is imported, and from where."""

    module: str
    root: Path | None = None
    """The folder to import from; None for what is installed."""
    code: str = ""
    """The Python code that the image starts, where the project's Dockerfile says; else empty."""


def package_of(what: str | Path) -> Package:
    """An algorithm by its folder (a package's own, or its project's), or by the name of an installed module.

    Raises:
        AlgorithmNotFound: there is no such folder, it has no package, or it has several and nothing tells which.
    """
    path = Path(what)
    if path.is_dir():
        return _in_folder(path.resolve())
    if re.fullmatch(r"[\w.\-]+", str(what)):  # nothing stops a package from having a hyphen in its name
        return Package(str(what))
    raise AlgorithmNotFound(f"no algorithm {str(what)!r}: it is neither an existing folder nor the name of a module")


def _in_folder(folder: Path) -> Package:
    started = _started(folder / "Dockerfile")
    project = folder / "pyproject.toml"
    if project.is_file() and locate.GROUP in locate.table(locate.read_toml(project), "project", "entry-points"):
        place = locate.locate(folder)
        return Package(place.module, place.root, started.code)
    if (folder / "__init__.py").is_file():
        return Package(folder.name, folder.parent, started.code)
    for root in (folder / "src", folder):
        found = _packages(root)
        if len(found) == 1 or started.package in found:
            module = started.package if started.package in found else found[0]
            return Package(module, root, started.code)
        if found:
            raise AlgorithmNotFound(
                f"{folder} has several packages ({', '.join(found)}), and no Dockerfile that names one in PKG_NAME; "
                f"name the folder of the one to run: {root / found[0]}"
            )
    there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise AlgorithmNotFound(f"{folder} has no Python package, itself or in src/ (it has: {there})")


def _packages(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(file.parent.name for file in root.glob("*/__init__.py") if file.parent.name not in NO_ALGORITHM)


class _Started(NamedTuple):
    """What a Dockerfile says of how its image starts."""

    package: str = ""
    code: str = ""


def _started(file: Path) -> _Started:
    try:
        content = file.read_bytes()
    except OSError:
        return _Started()
    variables: dict[str, str] = {}
    words: list[str] = []
    for instruction in DockerfileParser(fileobj=io.BytesIO(content)).structure:
        name, value = instruction["instruction"], instruction["value"]
        if name in ("ENV", "ARG"):
            variables.update(_assigned(value, variables))
        elif name == "CMD":
            words = _words(value)
    is_code = len(words) == 3 and PurePosixPath(words[0]).name.startswith("python") and words[1] == "-c"
    return _Started(variables.get("PKG_NAME", ""), _substituted(words[2], variables) if is_code else "")


def _assigned(value: str, known: Mapping[str, str]) -> dict[str, str]:
    words = _words(value)
    if words and "=" not in words[0]:  # ENV NAME VALUE, or ARG NAME
        words = [f"{words[0]}={' '.join(words[1:])}"] if len(words) > 1 else []
    pairs = (word.partition("=") for word in words if "=" in word)
    return {name: _substituted(text, known) for name, _, text in pairs}


def _words(value: str) -> list[str]:
    """The words of an instruction, in the form of a list or as a shell reads them; none if it is neither."""
    try:
        texts = json.loads(value)
    except ValueError:
        texts = None
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return texts
    try:
        return shlex.split(value)
    except ValueError:
        return []


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables.get(found[1] or found[2], found[0]), text)
