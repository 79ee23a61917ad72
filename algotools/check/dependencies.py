"""What the algorithm imports, beside what its project depends on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from algotools import __version__
from algotools.check import requirements, source
from algotools.check.finding import Finding, found, line_of, relative
from algotools.check.project import Project
from algotools.errors import PackagingError
from algotools.packaging import DISTRIBUTION
from algotools.packaging import dependencies as dependencies_of

FILE = "pyproject.toml"
PROMISED = frozenset({"algotools", "numpy", "pandas"})
"""The modules that the base image has, and that an algorithm may count on."""


def check(project: Project, *, installed_whole: bool) -> Iterator[Finding]:
    """The rules about dependencies. ``installed_whole``: the Dockerfile has pip install the project itself."""
    try:
        texts = dependencies_of(project.root)
    except PackagingError as error:
        dynamic = "dynamic" in project.table and "dependencies" in project.table["dynamic"]
        if not dynamic:
            reason = error.message.removeprefix("pyproject.toml: ")
            yield found("bad-requirement", FILE, line_of(project.text, "dependencies"), reason)
        elif not installed_whole:
            line = line_of(project.text, "dynamic", "dependencies")
            yield found("dynamic-dependencies", FILE, line, "its dependencies are dynamic")
        return
    read = {text: requirements.read(text) for text in texts}
    for text, requirement in read.items():
        yield from _requirement(text, requirement, line_of(project.text, text))
    yield from _undeclared(project, [requirement for requirement in read.values() if requirement])


def _requirement(text: str, requirement: Requirement | None, line: int | None) -> Iterator[Finding]:
    if requirement is None:
        yield found("bad-requirement", FILE, line, f"{text!r} is no requirement that pip can read")
    elif requirements.name_of(requirement) == "algotools":
        yield found("foreign-algotools", FILE, line, "on the package index, 'algotools' is another project than this")
    elif requirements.name_of(requirement) == DISTRIBUTION and not requirement.specifier.contains(__version__, True):
        yield found("other-algotools", FILE, line, f"{text!r} excludes {__version__}, which is here")


def _undeclared(project: Project, declared: list[Requirement]) -> Iterator[Finding]:
    package = project.package
    if package is None:
        return
    names = set(map(requirements.name_of, declared))
    all_known = all(map(_is_installed, names - {DISTRIBUTION}))
    # In the image our own distribution comes without what it needs on a laptop.
    covered = requirements.with_what_they_need(declared, alone=DISTRIBUTION)
    told = set()
    for file in source.loaded(project.source, project.module or package):
        for imported in source.imports(file):
            top = imported.module.partition(".")[0]
            if imported.optional or not top or (file.path, imported.line, top) in told:
                continue
            told.add((file.path, imported.line, top))
            if top in PROMISED or top in sys.stdlib_module_names or _is_local(project, top):
                continue
            providers = {canonicalize_name(name) for name in _providers().get(top, ())}
            if providers & covered or canonicalize_name(top) in covered:
                continue
            if not providers and not all_known:  # it may come with a dependency that is not installed here
                continue
            what = min(providers, default=f"the distribution that has {top!r}")
            yield found(
                "undeclared-dependency",
                relative(file.path, project.root),
                imported.line,
                f"{top!r} is imported, and no dependency in pyproject.toml has it",
                f"Add {what} to dependencies in pyproject.toml.",
            )


def _is_local(project: Project, top: str) -> bool:
    return (project.source / top).is_dir() or (project.source / f"{top}.py").is_file()


@cache
def _providers() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _is_installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False
