"""Find the package of an algorithm that runs in another interpreter, and imitate how its image starts the package."""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

from algotools.declare import locate
from algotools.declare.projects import is_project
from algotools.errors import AlgorithmNotFound
from algotools.task import is_image_variable

NO_ALGORITHM = frozenset({"tests", "test", "docs", "examples", "build", "dist"})
"""Folders of a project that have Python files but are not its package."""


class Package(NamedTuple):
    """The module of an algorithm, and the folder to import it from."""

    module: str
    root: Path | None = None
    """The folder to import from; None for an installed module."""
    code: str = ""
    """The Python code in the ``CMD`` of the project's Dockerfile; empty if there is none."""


def find_package(source: str | Path) -> Package:
    """Return the package in a folder (the package's own folder, or its project's), or the installed module of a name.

    Raises:
        AlgorithmNotFound: the folder does not exist, has no package, or has several packages without a choice.
    """
    path = Path(source)
    if path.is_dir():
        return _find_in_folder(path.resolve())
    if path.suffix == ".py" and path.is_file():
        return Package(path.stem, path.resolve().parent)
    if re.fullmatch(r"[\w.\-]+", str(source)):  # some packages have a hyphen in their name
        return Package(str(source))
    raise AlgorithmNotFound(f"no algorithm {str(source)!r}: it is neither an existing folder nor the name of a module")


def _find_in_folder(folder: Path) -> Package:
    command = _read_dockerfile(folder / "Dockerfile")
    if is_project(folder):
        entry_point = locate.locate(folder)
        return Package(entry_point.module, entry_point.root, command.code)
    if (folder / "__init__.py").is_file():
        return Package(folder.name, folder.parent, command.code)
    for root in (folder / "src", folder):
        packages = _list_packages(root)
        if len(packages) == 1 or command.package in packages:
            module = command.package if command.package in packages else packages[0]
            return Package(module, root, command.code)
        if packages:
            raise AlgorithmNotFound(
                f"{folder} has several packages ({', '.join(packages)}), and no Dockerfile that names one of them in "
                f"PKG_NAME; name the folder of the package to run: {root / packages[0]}"
            )
    content = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise AlgorithmNotFound(f"{folder} has no Python package, itself or in src/ (it has: {content})")


def _list_packages(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    return sorted(file.parent.name for file in root.glob("*/__init__.py") if file.parent.name not in NO_ALGORITHM)


class _ImageCommand(NamedTuple):
    """The package and the Python code that an image starts, according to its Dockerfile."""

    package: str = ""
    code: str = ""


def _read_dockerfile(file: Path) -> _ImageCommand:
    try:
        content = file.read_bytes()
    except OSError:
        return _ImageCommand()
    variables: dict[str, str] = {}
    command: list[str] = []
    for instruction in DockerfileParser(fileobj=io.BytesIO(content)).structure:
        name, value = instruction["instruction"], instruction["value"]
        if name in ("ENV", "ARG"):
            variables.update(_parse_assignments(value, variables))
        elif name == "CMD":
            command = _split_value(value)
    is_code = len(command) == 3 and PurePosixPath(command[0]).name.startswith("python") and command[1] == "-c"
    return _ImageCommand(variables.get("PKG_NAME", ""), _substitute(command[2], variables) if is_code else "")


def _parse_assignments(value: str, variables: Mapping[str, str]) -> dict[str, str]:
    items = _split_value(value)
    if items and "=" not in items[0]:  # ENV NAME VALUE, or ARG NAME
        items = [f"{items[0]}={' '.join(items[1:])}"] if len(items) > 1 else []
    pairs = (item.partition("=") for item in items if "=" in item)
    return {name: _substitute(text, variables) for name, _, text in pairs}


def _split_value(value: str) -> list[str]:
    """Split the value of an instruction: a JSON list, or words as in a shell; empty if the value is invalid."""
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


def _substitute(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: variables.get(match[1] or match[2], match[0]), text)


def make_image_variables(python: Path, package: Package) -> dict[str, str]:
    """Return the environment variables that an image with this interpreter and package would have.

    Variables of this process are included, because the interpreter may need them. Excluded are variables that belong
    to this interpreter, and values that a wrapper would take for base32 and decode.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if is_image_variable(name)
        and not name.startswith(("PYTHON", "ALGOTOOLS_", "VIRTUAL_ENV"))
        and not _is_base32(value)
    }
    variables["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    variables |= {"PKG_NAME": package.module, "PYTHONUNBUFFERED": "1"}
    return {**variables, **({"PYTHONPATH": str(package.root)} if package.root else {})}


def _is_base32(value: str) -> bool:
    """Whether a wrapper would decode a value, to text or to other bytes."""
    try:
        base64.b32decode(value.replace("!", "="))
    except (binascii.Error, ValueError):
        return False
    return True
