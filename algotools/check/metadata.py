"""What ``pyproject.toml`` says of the algorithm itself: its module, its Python, its image."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

import algotools as ours
from algotools.check import requirements
from algotools.check.finding import Finding, found, line_of
from algotools.check.project import Project
from algotools.errors import ImageNotFound
from algotools.image.base import PYTHON_IMAGE
from algotools.image.reference import parse
from algotools.locate import GROUP, table

FILE = "pyproject.toml"


def check(project: Project) -> Iterator[Finding]:
    """The rules about ``pyproject.toml`` that need none of the author's code."""
    if project.refused:
        yield project.refused
        return
    yield from _entry_point(project)
    yield from _name(project)
    yield from _python(project)
    yield from _image(project)


def _entry_point(project: Project) -> Iterator[Finding]:
    points = project.entry_points
    line = line_of(project.text, GROUP)
    if not isinstance(points, dict):
        yield found("no-entry-point", FILE, line, f'[project.entry-points."{GROUP}"] is no table')
    elif not points:
        yield found("no-entry-point", FILE, line, f'there is no entry point in [project.entry-points."{GROUP}"]')
    elif len(points) > 1:
        yield found(
            "no-entry-point",
            FILE,
            line,
            f"there are {len(points)} entry points: {', '.join(map(str, points))}",
            "Keep the one that names this project's module.",
        )
    elif project.module is None:
        yield found("no-entry-point", FILE, line, "the entry point's value is no text")


def _name(project: Project) -> Iterator[Finding]:
    package = project.module and project.module.partition(".")[0]
    if not package:
        return
    if package in sys.stdlib_module_names:
        whose = "Python's standard library"
    elif package == "algotools" or package in needed_by_us():
        whose = "algotools, or of what it needs"
    else:
        return
    yield found(
        "shadows-module", FILE, line_of(project.text, f'"{project.module}"'), f"{package!r} is also a module of {whose}"
    )


@cache
def needed_by_us() -> frozenset[str]:
    """The top-level modules that algotools needs at a node."""
    lines = (Path(ours.__file__).parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [requirement for line in lines if (requirement := requirements.read(line))]  # and no comments
    needed = requirements.with_what_they_need(asked)
    return frozenset(
        module
        for module, distributions in packages_distributions().items()
        if needed & set(map(canonicalize_name, distributions))
    )


def _python(project: Project) -> Iterator[Finding]:
    asked = project.table.get("requires-python")
    if asked is None:
        return
    line = line_of(project.text, "requires-python")
    try:
        allowed = SpecifierSet(asked) if isinstance(asked, str) else None
    except InvalidSpecifier:
        allowed = None
    if allowed is None:
        yield found(
            "requires-python", FILE, line, f"{asked!r} is no limit that pip can read", 'Write one like ">=3.10".'
        )
        return
    version = re.search(r"\d+\.\d+", PYTHON_IMAGE)
    if version and not any(allowed.contains(f"{version[0]}.{patch}") for patch in range(1, 100)):
        yield found(
            "requires-python",
            FILE,
            line,
            f"{asked!r} excludes Python {version[0]}, which the base image has ({PYTHON_IMAGE})",
        )


def _image(project: Project) -> Iterator[Finding]:
    told = table(project.toml, "tool", "algotools")
    if "image" not in told:
        return
    image = told["image"]
    line = line_of(project.text, "image =") or line_of(project.text, "image", "=")
    if not isinstance(image, str):
        yield found("image-name", FILE, line, "the image's name is no text")
        return
    try:
        reference = parse(image)
    except ImageNotFound as error:
        yield found("image-name", FILE, line, error.message)
        return
    if reference.tag or reference.digest:
        yield found(
            "image-name",
            FILE,
            line,
            f"{image!r} names a version of the image, and that comes from the project's own",
            f"Write {reference.name!r}.",
        )
