"""The rule about dependencies that pip cannot fetch in the base image: repositories and local paths.

The base image contains no version control programs, and a build has only the files that the Dockerfile copies. A
program that the Dockerfile installs or copies is recognized by its name in an instruction before the installation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from algotools.declare.projects import get_table
from algotools.errors import AlgotoolsError
from algotools.image import base
from algotools.project.check._dockerfile import FILE, INSTALLS, Instruction, Stage
from algotools.project.check._project import PYPROJECT, ProjectFiles, find_line
from algotools.project.check._rules import Finding
from algotools.runtime.packaging import dependencies

_RULE = "requirement-source"


class _Program(NamedTuple):
    """A version control program."""

    name: str
    package: str
    """The package of the base image's Linux distribution."""
    mentions: re.Pattern[str]
    """Matches an instruction that may provide the program, but not a URL that requires it."""


def _make_program(name: str, package: str, *alternatives: str) -> _Program:
    names = "|".join({name, package, *alternatives})
    return _Program(name, package, re.compile(rf"(?<![\w+.:@-])(?:{names})(?![\w+.:@-])"))


_PROGRAMS = {
    "git": _make_program("git", "git", "git-core", "git-all"),
    "hg": _make_program("hg", "mercurial"),
    "svn": _make_program("svn", "subversion"),
    "bzr": _make_program("bzr", "brz", "breezy"),
}
"""First part of the scheme of a URL -> the program that pip calls."""

_REPOSITORY = re.compile(r"(?<![\w+.-])(git|hg|svn|bzr)\+(\w+):", re.IGNORECASE)
_REQUIREMENTS_FILE = re.compile(r"(?:^|\s)(?:-r|--requirement)[\s=]*([^\s&|;]+)")

_IMAGE_ENVIRONMENT = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
"""The values of environment markers in an image, which differ from those on the author's machine."""


def check_sources(project: ProjectFiles, stage: Stage, instructions: list[Instruction]) -> Iterator[Finding]:
    """Check that the base image can fetch the dependencies in ``pyproject.toml`` and in the Dockerfile's commands.

    Nothing is reported if the Dockerfile uses another image, which may contain the program or build the dependency.
    """
    installations = [i for i in instructions if i.name == "RUN" and INSTALLS.search(i.value)]
    if not installations or _uses_other_images(instructions):
        return
    earlier = [i.value for i in instructions if i.line <= installations[-1].line]
    missing = {name: p for name, p in _PROGRAMS.items() if not any(p.mentions.search(value) for value in earlier)}
    if not all("--no-deps" in installation.value for installation in installations):
        yield from _check_project(project, stage, missing)
    for installation in installations:
        yield from _check_command(project, stage, installation, missing)


def _uses_other_images(instructions: list[Instruction]) -> bool:
    names: set[str] = set()
    for instruction in instructions:
        parts = instruction.parts
        if instruction.name == "FROM":
            image = parts[0].lower()
            repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
            if "base_image" not in image and repository != base.NAME and image not in names:
                return True
            names |= {str(sum(name.isdigit() for name in names)), parts[-1].lower()}
        elif (origin := instruction.options.get("--from")) is not None and origin.lower() not in names:
            return True
    return False


def _check_project(project: ProjectFiles, stage: Stage, missing: dict[str, _Program]) -> Iterator[Finding]:
    try:
        texts = list(dependencies(project.root)) if project.refusal is None else []
    except AlgotoolsError:  # another rule reports them
        texts = []
    if stage.installs_project:  # pip also installs the build backend, and the backend knows further dependencies
        texts += _list_texts(get_table(project.toml, "build-system").get("requires"))
        yield from _check_backend(project, missing)
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if not requirement.url or not _is_for_image(requirement):
            continue
        line = find_line(project.text, text) or find_line(project.text, requirement.url)
        if match := _REPOSITORY.match(requirement.url):
            yield from _check_repository(match, PYPROJECT, line, requirement.name, missing)
        else:
            yield from _check_path(requirement, line, stage)


def _list_texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _check_backend(project: ProjectFiles, missing: dict[str, _Program]) -> Iterator[Finding]:
    """Check the dependencies that only Poetry or setuptools reads."""
    for name, source in get_table(project.toml, "tool", "poetry", "dependencies").items():
        if isinstance(source, dict) and (match := _REPOSITORY.match(f"git+{source.get('git')}")):
            line = find_line(project.text, name, "git")
            yield from _check_repository(match, PYPROJECT, line, name, missing)
    dynamic = get_table(project.toml, "tool", "setuptools", "dynamic", "dependencies").get("file")
    for file in _list_texts([dynamic] if isinstance(dynamic, str) else dynamic):
        yield from _check_requirements_file(project, file, missing)


def _is_for_image(requirement: Requirement) -> bool:
    """Whether the environment marker of a requirement applies in an image, as far as it is known."""
    try:
        return requirement.marker is None or requirement.marker.evaluate(_IMAGE_ENVIRONMENT)
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _check_repository(
    match: re.Match[str], file: str, line: int | None, name: str, missing: dict[str, _Program]
) -> Iterator[Finding]:
    program = missing.get(match[1].lower())
    if program is None:
        return
    yield Finding.of(
        _RULE,
        file,
        line,
        f"the base image has no {program.name}, so that pip cannot install {name} from a repository ({match[0]}…)",
        "Name a version on a package index, or a wheel or archive by https; or install the program in the Dockerfile "
        f"before this dependency: RUN apt-get update && apt-get install -y --no-install-recommends {program.package}."
        + (" The image has no SSH key, either." if match[2].lower() == "ssh" else ""),
    )


def _check_path(requirement: Requirement, line: int | None, stage: Stage) -> Iterator[Finding]:
    """Check that the file or folder of a requirement is copied to the image."""
    url = requirement.url or ""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or "{" in url:  # a build backend replaces {root:uri}
        return
    path = unquote(parts.path)
    is_local = parts.netloc in ("", "localhost") and path.startswith("/")
    files = stage.files.keys()
    if is_local and (stage.has_unknown_files or any(f == path or f.startswith(path.rstrip("/") + "/") for f in files)):
        return
    reason = f"{requirement.name} is a local path, which the Dockerfile does not copy to the image"
    if not is_local:
        reason = f"the path of {requirement.name} is not an absolute path in the image"
    yield Finding.of(_RULE, PYPROJECT, line, reason)


def _check_command(
    project: ProjectFiles, stage: Stage, installation: Instruction, missing: dict[str, _Program]
) -> Iterator[Finding]:
    """Check the requirements in a command, and in the requirements files that it names."""
    if match := _REPOSITORY.search(installation.value):
        yield from _check_repository(match, FILE, installation.line, "the requirement in this line", missing)
    for name in _REQUIREMENTS_FILE.findall(installation.value):
        path = name.strip("\"'")
        source = stage.files.get(path if path.startswith("/") else f"{stage.folder.rstrip('/')}/{path}")
        if source:
            yield from _check_requirements_file(project, source, missing)


def _check_requirements_file(project: ProjectFiles, file: str, missing: dict[str, _Program]) -> Iterator[Finding]:
    for number, line in enumerate((project.read(file) or "").splitlines(), start=1):
        if (match := _REPOSITORY.search(line)) and not line.lstrip().startswith("#"):
            yield from _check_repository(match, file, number, "the requirement in this line", missing)
