"""The rules about ``pyproject.toml``, the dependencies and ``federation.yaml``.

This module reads the project's files. It never imports the project's code.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from algotools import __version__
from algotools.declare.projects import GROUP, find_project_below, get_table, read_toml
from algotools.errors import PACKAGE, AlgorithmNotFound, FederationError, ImageNotFound, PackagingError, PolicyError
from algotools.federation.imports import SourceFile, list_files, read_imports
from algotools.federation.yaml_file import read_file
from algotools.image.base import PYTHON_IMAGE
from algotools.image.names import parse_reference
from algotools.project.check._rules import Finding, relative_path
from algotools.runtime.packaging import DISTRIBUTION, dependencies

PYPROJECT = "pyproject.toml"
_FEDERATION = "federation.yaml"

_BASE_MODULES = frozenset({"algotools", "numpy", "pandas"})
"""The modules of the base image that an algorithm may import without declaring them."""


class ProjectFiles:
    """The folder of an algorithm's project, with the content of ``pyproject.toml``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        source = self.root / "src"
        self.source = source if source.is_dir() else self.root
        """The folder from which the packages are imported, as in ``locate``."""
        self.text = self.read(PYPROJECT) or ""
        """The text of ``pyproject.toml``, to search for lines."""
        self.toml: dict[str, Any] = {}
        self.refusal: Finding | None = None
        """The finding for a ``pyproject.toml`` that cannot be read."""
        try:
            self.toml = read_toml(self.root / PYPROJECT)
        except AlgorithmNotFound as error:
            line = re.search(r"at line (\d+)", error.message)
            reason, way_out = error.message.replace(str(self.root / PYPROJECT), "the file"), ""
            if not (self.root / PYPROJECT).exists():
                reason = "this is not the folder of a project: it has no pyproject.toml"
                below = find_project_below(self.root)
                nearest = f" (the nearest is {below})" if below else ""
                way_out = f"Change to the folder of a project{nearest}, or create one with `algotools new`."
            self.refusal = Finding.of("no-pyproject", PYPROJECT, int(line[1]) if line else None, reason, way_out)

    @property
    def table(self) -> dict[str, Any]:
        """The table ``[project]``; empty if it is missing or not a table."""
        return get_table(self.toml, "project")

    @property
    def entry_points(self) -> object:
        """The value of the entry point group of algotools. It may have any type, because it is not validated."""
        points = self.table.get("entry-points")
        return points.get(GROUP, {}) if isinstance(points, dict) else {}

    @property
    def module(self) -> str | None:
        """The module in the entry point; None if there is not exactly one entry point."""
        points = self.entry_points
        if isinstance(points, dict) and len(points) == 1 and isinstance(value := next(iter(points.values())), str):
            return value
        return None

    @property
    def package(self) -> str | None:
        """The top-level package of the entry point's module; otherwise the only package in the source folder."""
        if self.module:
            return self.module.partition(".")[0]
        project_name = re.sub(r"[^a-z0-9]+", "_", str(self.table.get("name", "")).lower())
        if (self.source / project_name / "__init__.py").is_file():
            return project_name
        candidates = [path.parent.name for path in self.source.glob("*/__init__.py")]
        return candidates[0] if len(candidates) == 1 and self.source != self.root else None

    def read(self, name: str) -> str | None:
        """Return the text of a file; None if the file cannot be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None


def check_metadata(project: ProjectFiles) -> Iterator[Finding]:
    """Check the algorithm's module, package name, Python version and image name in ``pyproject.toml``."""
    if project.refusal:
        yield project.refusal
        return
    yield from _check_entry_point(project)
    yield from _check_package_name(project)
    yield from _check_python(project)
    yield from _check_image_name(project)
    yield from _check_tables(project)


def _check_entry_point(project: ProjectFiles) -> Iterator[Finding]:
    points = project.entry_points
    way_out = ""
    if not isinstance(points, dict):
        reason = f'[project.entry-points."{GROUP}"] is not a table'
    elif not points:
        reason = f'[project.entry-points."{GROUP}"] has no entry point'
    elif len(points) > 1:
        reason = f"the project has {len(points)} entry points: {', '.join(map(str, points))}"
        way_out = "Keep only the entry point that names this project's module."
    elif project.module is None:
        reason = "the value of the entry point is not a string"
    else:
        return
    yield Finding.of("no-entry-point", PYPROJECT, find_line(project.text, GROUP), reason, way_out)


def _check_package_name(project: ProjectFiles) -> Iterator[Finding]:
    package = project.module and project.package
    if not package:
        return
    if package in sys.stdlib_module_names:
        owner = "Python's standard library"
    elif package == "algotools" or package in _list_own_modules():
        owner = "algotools or one of its dependencies"
    else:
        return
    line = find_line(project.text, f'"{project.module}"')
    yield Finding.of("shadows-module", PYPROJECT, line, f"the package {package!r} has the name of a module of {owner}")


@cache
def _map_modules() -> Mapping[str, list[str]]:
    """Return module -> names of the installed distributions that provide it, which takes most of a second."""
    return packages_distributions()


@cache
def _list_own_modules() -> frozenset[str]:
    """Return the top-level modules that algotools needs at a node."""
    lines = (PACKAGE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    required = _resolve_distributions(filter(None, map(_parse_requirement, lines)))  # comments are not requirements
    return frozenset(module for name in required if _is_installed(name) for module in _list_modules(name))


def _list_modules(name: str) -> set[str]:
    """Return the top-level modules of an installed distribution, from the list of its files."""
    read = distribution(name).read_text
    files = re.findall(r"^(\w+)[/.]", read("RECORD") or "", re.MULTILINE)
    return {*files, *(read("top_level.txt") or "").split()}


def _check_python(project: ProjectFiles) -> Iterator[Finding]:
    limit = project.table.get("requires-python")
    if limit is None:
        return
    line = find_line(project.text, "requires-python")
    try:
        allowed = SpecifierSet(limit) if isinstance(limit, str) else None
    except InvalidSpecifier:
        allowed = None
    if allowed is None:
        reason, way_out = f"pip cannot parse {limit!r}", 'Write a version limit such as ">=3.10".'
        yield Finding.of("requires-python", PYPROJECT, line, reason, way_out)
        return
    python = re.search(r"\d+\.\d+", PYTHON_IMAGE)
    if python and not any(allowed.contains(f"{python[0]}.{patch}") for patch in range(1, 100)):
        reason = f"{limit!r} excludes Python {python[0]}, the version of the base image ({PYTHON_IMAGE})"
        yield Finding.of("requires-python", PYPROJECT, line, reason)


def _check_image_name(project: ProjectFiles) -> Iterator[Finding]:
    options = get_table(project.toml, "tool", "algotools")
    if "image" not in options:
        return
    image, way_out = options["image"], ""
    try:
        reference = parse_reference(image) if isinstance(image, str) else None
    except ImageNotFound as error:
        reason = error.message
    else:
        if reference is None:
            reason = "the name of the image is not a string"
        elif reference.tag or reference.digest:
            reason = f"{image!r} has a tag or digest; the tag is the project's version"
            way_out = f"Write {reference.name!r}."
        else:
            return
    line = find_line(project.text, "image =") or find_line(project.text, "image", "=")
    yield Finding.of("image-name", PYPROJECT, line, reason, way_out)


_TABLES = ("trial",)
"""The tables under ``[tool.algotools]``."""


def _check_tables(project: ProjectFiles) -> Iterator[Finding]:
    """Report misspelt names of the tables of algotools, which no command reads."""
    package_name = "algotools"
    tools = {name: value for name, value in get_table(project.toml, "tool").items() if isinstance(value, dict)}
    for name in tools:
        if name != package_name and difflib.get_close_matches(
            name.lower(), [package_name, DISTRIBUTION], n=1, cutoff=0.85
        ):
            yield _make_table_finding(project, f"tool.{name}", f" (did you mean {package_name}?)")
    for name, value in tools.get(package_name, {}).items():
        if isinstance(value, dict) and name not in _TABLES:
            close = difflib.get_close_matches(name, _TABLES, n=1)
            hint = f" (did you mean {close[0]}?)" if close else f" (tables: {', '.join(_TABLES)})"
            yield _make_table_finding(project, f"tool.{package_name}.{name}", hint)


def _make_table_finding(project: ProjectFiles, path: str, hint: str) -> Finding:
    lines = (find_line(project.text, text) for text in (f"[{path}]", f"[{path}.", path.rpartition(".")[2]))
    line = next(filter(None, lines), None)
    return Finding.of(
        "trial-arguments",
        PYPROJECT,
        line,
        f"unknown table [{path}]{hint}",
        "Correct the name of the table, or remove the table.",
    )


def check_dependencies(project: ProjectFiles, *, is_installed: bool) -> Iterator[Finding]:
    """Check the dependencies, and compare them with the imports.

    *is_installed*: the Dockerfile installs the project itself with pip, which resolves dynamic dependencies.
    """
    try:
        texts = dependencies(project.root)
    except PackagingError as error:
        if "dependencies" not in project.table.get("dynamic", ()):
            line = find_line(project.text, "dependencies")
            yield Finding.of("bad-requirement", PYPROJECT, line, error.message.removeprefix("pyproject.toml: "))
        elif not is_installed:
            line = find_line(project.text, "dynamic", "dependencies")
            yield Finding.of("dynamic-dependencies", PYPROJECT, line, "the project's dependencies are dynamic")
        return
    declared = []
    for text in texts:
        line = find_line(project.text, text)
        requirement = _parse_requirement(text)
        if requirement is None:
            way_out = 'Write the name before the URL: "name @ https://…".' if "://" in text and "@ " not in text else ""
            yield Finding.of("bad-requirement", PYPROJECT, line, f"pip cannot parse the requirement {text!r}", way_out)
            continue
        declared.append(requirement)
        name = _normalize_name(requirement)
        if name == "algotools":
            reason = "the project 'algotools' on the package index is unrelated to this one"
            yield Finding.of("foreign-algotools", PYPROJECT, line, reason)
        elif name == DISTRIBUTION and not requirement.specifier.contains(__version__, True):
            reason = f"{text!r} excludes the installed version {__version__}"
            yield Finding.of("other-algotools", PYPROJECT, line, reason)
    yield from _check_imports(project, declared)


def _check_imports(project: ProjectFiles, declared: list[Requirement]) -> Iterator[Finding]:
    if project.package is None:
        return
    are_all_installed = all(_is_installed(name) for name in map(_normalize_name, declared) if name != DISTRIBUTION)
    # The base image contains algotools without the dependencies of its laptop tools. An algorithm that imports such a
    # dependency must declare it, even if the import works here.
    covered = _resolve_distributions(declared, without_dependencies=DISTRIBUTION)
    for file in _list_loaded_files(project.source, project.module or project.package):
        imports = [imported for imported in read_imports(file) if not imported.is_optional]
        for top, line in sorted({(imported.module.partition(".")[0], imported.line) for imported in imports}):
            if not top or top in _BASE_MODULES or top in sys.stdlib_module_names:
                continue
            if (project.source / top).is_dir() or (project.source / f"{top}.py").is_file():
                continue
            if canonicalize_name(top) in covered:
                continue
            distributions = {canonicalize_name(name) for name in _map_modules().get(top, ())}
            if distributions & covered:
                continue
            if not distributions and not are_all_installed:  # the missing dependency may provide the module
                continue
            yield Finding.of(
                "undeclared-dependency",
                relative_path(file.path, project.root),
                line,
                f"{top!r} is imported, but no dependency in pyproject.toml provides it",
                f"Add {min(distributions, default=f'the distribution that provides {top!r}')} to dependencies in "
                "pyproject.toml.",
            )


def _list_loaded_files(root: Path, module: str) -> list[SourceFile]:
    """Return the files below *root* that the import of a module runs, or that its functions may import later."""
    files_by_package: dict[str, dict[str, SourceFile]] = {}
    loaded: dict[str, SourceFile] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if top not in files_by_package:
            files_by_package[top] = {file.module: file for file in list_files(root, top)} if top else {}
        for ancestor in [name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)]:
            if ancestor in files_by_package[top] and ancestor not in loaded:
                loaded[ancestor] = files_by_package[top][ancestor]
                waiting += [imported.module for imported in read_imports(loaded[ancestor])]
    return sorted(loaded.values(), key=lambda file: file.path)


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _parse_requirement(text: str) -> Requirement | None:
    """Parse one dependency; return None if pip cannot parse it."""
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _normalize_name(requirement: Requirement) -> str:
    """Return the distribution's name, normalized as the package index does it (PEP 503)."""
    return canonicalize_name(requirement.name)


def _resolve_distributions(requirements: Iterable[Requirement], *, without_dependencies: str = "") -> set[str]:
    """Return the names of distributions and of all their installed dependencies.

    The dependencies of the distribution *without_dependencies* are not followed.
    """
    resolved: set[tuple[str, frozenset[str]]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        key = (_normalize_name(requirement), frozenset(requirement.extras))
        if key not in resolved:
            resolved.add(key)
            waiting += _read_requirements(*key) if key[0] != without_dependencies else ()
    return {name for name, _ in resolved}


def _read_requirements(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield the requirements of an installed distribution for this Python and the requested extras."""
    try:
        texts = requires(name) or ()
    except PackageNotFoundError:
        return
    for requirement in filter(None, map(_parse_requirement, texts)):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def check_federation(project: ProjectFiles) -> Iterator[Finding]:
    """Check that an existing ``federation.yaml`` can be read, and that its data files exist."""
    path = project.root / _FEDERATION
    if not path.exists():
        return
    try:
        configuration = read_file(path)
    except (FederationError, PolicyError) as error:
        text = error.message.removeprefix(str(path))
        number = re.search(r"line (\d+)", text)
        reason = re.sub(r"^, line \d+: ", "", text) if text.startswith(",") else f"the file{text}"
        yield Finding.of("federation-file", _FEDERATION, int(number[1]) if number else None, reason)
        return
    text = project.read(_FEDERATION) or ""
    for member in configuration.members:
        for database in member.databases.values():
            scheme, separator, path_of_uri = database.uri.partition("://")
            if separator and scheme != "file":
                continue
            file = Path(path_of_uri) if separator else Path(database.uri)
            if not file.exists():
                name = relative_path(file, project.root)
                line = find_line(text, name) or find_line(text, file.name)
                reason = f"the file {name} of {member.name}'s database {database.label!r} does not exist"
                yield Finding.of("missing-data", _FEDERATION, line, reason)


def find_line(text: str, *needles: str) -> int | None:
    """Return the number of the first line that contains all *needles*, counted from 1; None if no line does."""
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if all(needle in line for needle in needles)), None)
