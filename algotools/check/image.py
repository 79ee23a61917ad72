"""The rules about the project's image: its Dockerfile, and what a build is given."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from algotools import packaging
from algotools.check import dockerfile, stages
from algotools.check.dockerfile import FILE, Instruction
from algotools.check.finding import Finding, found
from algotools.check.project import Project
from algotools.check.stages import Stage
from algotools.errors import AlgotoolsError, ImageError
from algotools.image import base
from algotools.image.context import Context, of_project

_INITS = frozenset({"tini", "dumb-init", "catatonit"})
"""What may start another program as a container's first process."""


class Image(NamedTuple):
    """What is known of a project's image."""

    findings: list[Finding]
    installs_project: bool
    """Whether the Dockerfile has pip install the project itself."""


def check(project: Project) -> Image:
    """The rules about the Dockerfile and the files that it copies."""
    text = project.read(FILE)
    if text is None:
        there = (project.root / FILE).exists()
        reason = "the Dockerfile cannot be read as text" if there else "there is no Dockerfile in this folder"
        return Image([found("no-dockerfile", FILE, None, reason)], installs_project=False)
    instructions, findings = dockerfile.read(text)
    try:
        context = of_project(project.root)
    except ImageError as error:
        reason = error.message.replace(str(project.root / ".dockerignore"), "it")
        return Image([*findings, found("copies-nothing", ".dockerignore", None, reason)], installs_project=False)
    directories = [name for name in context.files if (project.root / name).is_dir()]
    files = [name for name in context.files if not (project.root / name).is_dir()]
    findings += _copies(project, context, instructions)
    stage = stages.final(instructions, files, directories)
    if stage is None:
        return Image(findings, installs_project=False)
    findings += [*_base(stage), *_start(stage), *_user(stage)]
    # A file that the build does not get is missing in the image for that reason, which is told already.
    stage.uncertain |= any(finding.rule == "copies-nothing" for finding in findings)
    findings += [*_algorithm(project, stage), *_installed(project, stage)]
    return Image(findings, stage.installs_project)


def _copies(project: Project, context: Context, instructions: list[Instruction]) -> Iterator[Finding]:
    told = set()
    for instruction in instructions:
        for source in stages.sources(instruction):
            for name in context.data:
                if stages.takes(source, name) and name not in told:
                    told.add(name)
                    yield found(
                        "data-in-image",
                        name,
                        None,
                        f"it looks like data, and line {instruction.line} of the Dockerfile copies it",
                        f"Write a line {name} in .dockerignore; if it is meant to be in the image, a line !{name}.",
                    )
            if any(True for _ in stages.matching(source, context.files)) or any(
                stages.takes(source, name) for name in context.data
            ):
                continue
            if source == "pyproject.toml" and project.refused:  # that it is missing is said already
                continue
            there = any(True for _ in stages.matching(source, _names(project.root, source)))
            yield found(
                "copies-nothing",
                FILE,
                instruction.line,
                f"{source} is left out by .dockerignore" if there else f"there is no {source}",
                f"Let it in with a line !{source} in .dockerignore, or do not copy it." if there else "",
            )


def _names(root: Path, source: str) -> set[str]:
    """The paths in the project that are as deep as a source of a COPY."""
    depth = source.count("/") + 1
    return {path.relative_to(root).as_posix() for path in root.glob("/".join(["*"] * depth))}


def _base(stage: Stage) -> Iterator[Finding]:
    root = stage.root
    name = root.image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if name == base.NAME:
        return
    if "BASE_IMAGE" in root.written:
        yield found(
            "other-base",
            FILE,
            root.line,
            f"FROM {root.written} stands without a line ARG BASE_IMAGE before the first FROM, so it means nothing",
            "Write ARG BASE_IMAGE above the first FROM.",
        )
    else:
        yield found("other-base", FILE, root.line, f"the image is built on {root.image or root.written!r}")


def _start(stage: Stage) -> Iterator[Finding]:
    for name, told in (("ENTRYPOINT", stage.entry_point), ("CMD", stage.command)):
        if told is not None and told[0] is None:
            yield found(
                "other-entry-point",
                FILE,
                told[1],
                f"{name} is started by a shell, not by itself; only a JSON list with double quotes starts a program",
                'Leave it out, or write CMD ["python", "-m", "algotools"].',
            )
            return
    if stage.entry_point is None and stage.command is None:
        return
    # An entry point of one's own takes the place of the base's command.
    started = [*((stage.entry_point or ([], 0))[0] or []), *((stage.command or ([], 0))[0] or [])]
    program = started[1:] if started and posixpath.basename(started[0]) in _INITS else started
    program = program[1:] if program[:1] == ["--"] else program
    if len(program) == 3 and posixpath.basename(program[0]).startswith("python") and program[1:] == ["-m", "algotools"]:
        return
    line = max(told[1] for told in (stage.entry_point, stage.command) if told is not None)
    yield found("other-entry-point", FILE, line, f"the image starts {' '.join(started) or 'nothing'}")


def _user(stage: Stage) -> Iterator[Finding]:
    if stage.user is not None and stage.user[0].partition(":")[0] not in ("root", "0"):
        yield found("user", FILE, stage.user[1], f"the image is started as {stage.user[0]}")


def _algorithm(project: Project, stage: Stage) -> Iterator[Finding]:
    """Where the image says its algorithm is, and whether it is there."""
    told = next(
        (
            (name, *stage.environment[name])
            for name in ("ALGOTOOLS_ALGORITHM", "PKG_NAME")
            if stage.environment.get(name, ("", 0))[0]
        ),
        None,
    )
    early = stage.installs_too_early
    places = {posixpath.dirname(path) for path, own in stage.files.items() if own == "pyproject.toml"}
    if early is not None and places:
        reason = "pyproject.toml is not there when its dependencies are installed"
        yield found("not-copied", FILE, early, reason, "Copy pyproject.toml to that folder before this line.")
    if told is None:
        if not stage.installs_project and not stage.uncertain:
            yield found("no-algorithm", FILE, None, "neither ALGOTOOLS_ALGORITHM nor PKG_NAME is set")
        return
    name, value, line = told
    if not posixpath.isabs(value):
        if project.module is None:
            return
        if value not in (project.module, project.package):
            reason = f"{name} is {value!r}, and this project's module is {project.module!r}"
            yield found("no-algorithm", FILE, line, reason)
        elif not (stage.installs_project or stage.uncertain or _is_on_the_path(project, stage)):
            reason = f"{name} names a module, and nothing installs the project, so it cannot be imported"
            yield found("no-algorithm", FILE, line, reason)
        return
    if not stage.uncertain and not stage.installs_project and project.refused is None:
        yield from _at(project, stage, name, posixpath.normpath(value), line)


def _is_on_the_path(project: Project, stage: Stage) -> bool:
    """Whether the package can be imported by its name: from the folder that the image starts in, or by a variable."""
    here = posixpath.join(stage.folder, str(project.package))
    return "PYTHONPATH" in stage.environment or f"{here}.py" in stage.files or f"{here}/__init__.py" in stage.files


def _at(project: Project, stage: Stage, name: str, folder: str, line: int) -> Iterator[Finding]:
    below = "src/" if project.source != project.root else ""
    needed = {"pyproject.toml": f"{folder}/pyproject.toml"}
    if project.package is not None:
        package = f"{below}{project.package}"
        single = (project.root / f"{package}.py").is_file()
        needed[package] = f"{folder}/{package}.py" if single else f"{folder}/{package}/__init__.py"
        if not single and not (project.root / package / "__init__.py").is_file():
            del needed[package]
    missing = [own for own, path in needed.items() if posixpath.normpath(path) not in stage.files]
    elsewhere = any(own == "pyproject.toml" for own in stage.files.values())
    if len(missing) == len(needed) and elsewhere:
        yield found("no-algorithm", FILE, line, f"{name} is {folder}, and this project is not copied there")
        return
    for own in missing:
        yield found("not-copied", FILE, line, f"{name} is {folder}, and {own} is not copied there")


def _installed(project: Project, stage: Stage) -> Iterator[Finding]:
    try:
        depends = packaging.dependencies(project.root) if project.refused is None else []
    except AlgotoolsError:
        return
    if depends and not stage.installs and not stage.installs_project:
        reason = f"pyproject.toml depends on {', '.join(depends)}, and no step installs it"
        yield found("dependencies-not-installed", FILE, None, reason)
