"""The rules about the project's image: its Dockerfile, and the files of the build context."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from algotools.errors import AlgotoolsError, ImageError
from algotools.image import base
from algotools.image.context import Context, collect_project
from algotools.image.policy import is_policy_variable
from algotools.project.check._dockerfile import (
    FILE,
    Instruction,
    Stage,
    build_last_stage,
    copies_file,
    match_paths,
    parse_dockerfile,
)
from algotools.project.check._project import ProjectFiles
from algotools.project.check._rules import Finding
from algotools.project.check._sources import check_sources
from algotools.runtime.packaging import dependencies

_INITS = frozenset({"tini", "dumb-init", "catatonit"})
"""Init programs: the first process of a container, which starts the actual program."""


def check_image(project: ProjectFiles) -> tuple[list[Finding], bool]:
    """Check the Dockerfile and its files; return the findings, and whether the project itself is installed with pip."""
    text = project.read(FILE)
    if text is None:
        exists = (project.root / FILE).exists()
        reason = "the Dockerfile is not a UTF-8 text file" if exists else "this folder has no Dockerfile"
        return [Finding.of("no-dockerfile", FILE, None, reason)], False
    instructions, findings = parse_dockerfile(text)
    try:
        context = collect_project(project.root)
    except ImageError as error:
        reason = error.message.replace(str(project.root / ".dockerignore"), "the file")
        return [*findings, Finding.of("copies-nothing", ".dockerignore", None, reason)], False
    folders = [name for name in context.files if (project.root / name).is_dir()]
    files = [name for name in context.files if not (project.root / name).is_dir()]
    findings += _check_copies(project, context, instructions)
    stage = build_last_stage(instructions, files, folders)
    if stage is None:
        return findings, False
    findings += [*_check_base(stage), *_check_start(stage), *_check_user(stage)]
    findings += _check_policy(stage, instructions)
    # A file that is missing in the build context is missing in the image, too: one finding is enough.
    stage.has_unknown_files |= any(finding.rule == "copies-nothing" for finding in findings)
    findings += [*_check_algorithm(project, stage), *_check_installation(project, stage)]
    findings += check_sources(project, stage, instructions)
    return findings, stage.installs_project


def _check_copies(project: ProjectFiles, context: Context, instructions: list[Instruction]) -> Iterator[Finding]:
    shipped = set()
    pairs = [(instruction.line, source) for instruction in instructions for source in instruction.sources]
    for line, source in pairs:
        data = [name for name in context.data if copies_file(source, name)]
        for name in data:
            if name not in shipped:
                shipped.add(name)
                yield Finding.of(
                    "data-in-image",
                    name,
                    None,
                    f"the file looks like data, and line {line} of the Dockerfile copies it",
                    f"Add the line {name} to .dockerignore; to keep the file in the image, add the line !{name}.",
                )
        if data or any(True for _ in match_paths(source, context.files)):
            continue
        if source == "pyproject.toml" and project.refusal:  # `check_metadata` reports the missing file
            continue
        reason, way_out = f"{source} does not exist", ""
        if any(True for _ in match_paths(source, _list_paths_of_same_depth(source, project.root))):
            reason = f"{source} is excluded by .dockerignore"
            way_out = f"Add the line !{source} to .dockerignore, or remove {source} from this line."
        yield Finding.of("copies-nothing", FILE, line, reason, way_out)


def _list_paths_of_same_depth(source: str, root: Path) -> set[str]:
    """Return the paths in the project that have the same depth as a source of a COPY."""
    depth = source.count("/") + 1
    return {path.relative_to(root).as_posix() for path in root.glob("/".join(["*"] * depth))}


def _check_base(stage: Stage) -> Iterator[Finding]:
    root = stage.root
    name = root.image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if name == base.NAME:
        return
    reason, way_out = f"the image is built from {root.image or root.image_text!r}", ""
    if "BASE_IMAGE" in root.image_text:
        reason = f"FROM {root.image_text} has no value: the line ARG BASE_IMAGE before the first FROM is missing"
        way_out = "Write ARG BASE_IMAGE before the first FROM."
    yield Finding.of("other-base", FILE, root.line, reason, way_out)


def _check_start(stage: Stage) -> Iterator[Finding]:
    lines, command = [], []
    # An ENTRYPOINT in the Dockerfile resets the CMD of the base image, so only the lines of the Dockerfile count.
    for name, start in (("ENTRYPOINT", stage.entry_point), ("CMD", stage.command)):
        if start is None:
            continue
        items, line = start
        if items is None:
            reason = f"{name} starts a shell; a JSON list with double quotes starts the program itself"
            way_out = 'Remove the line, or write CMD ["python", "-m", "algotools"].'
            yield Finding.of("other-entry-point", FILE, line, reason, way_out)
            return
        lines.append(line)
        command += items
    if not lines:
        return
    program = command[1:] if command and posixpath.basename(command[0]) in _INITS else command
    program = program[1:] if program[:1] == ["--"] else program
    if len(program) == 3 and posixpath.basename(program[0]).startswith("python") and program[1:] == ["-m", "algotools"]:
        return
    yield Finding.of("other-entry-point", FILE, max(lines), f"the image starts {' '.join(command) or 'no program'}")


def _check_user(stage: Stage) -> Iterator[Finding]:
    if stage.user is not None and stage.user[0].partition(":")[0] not in ("root", "0"):
        yield Finding.of("user", FILE, stage.user[1], f"the image starts as the user {stage.user[0]}")


def _check_policy(stage: Stage, instructions: list[Instruction]) -> Iterator[Finding]:
    """Check that the image does not set the policy of a node. ``algotools build`` also checks what the base sets."""
    lines = {name: line for name, (_, line) in stage.environment.items()}
    for instruction in instructions:
        if (trigger := instruction.trigger) is not None and trigger.name == "ENV":
            lines |= dict.fromkeys(trigger.assignments, trigger.line)
    for name, line in lines.items():
        if is_policy_variable(name):
            yield Finding.of("policy-in-image", FILE, line, f"the image sets {name}")


def _check_algorithm(project: ProjectFiles, stage: Stage) -> Iterator[Finding]:
    """Check the variable that names the algorithm, and the files to which it refers."""
    early_line = stage.early_install_line
    if early_line is not None and "pyproject.toml" in stage.files.values():
        reason = "pyproject.toml is not copied before its dependencies are installed"
        yield Finding.of("not-copied", FILE, early_line, reason, "Copy pyproject.toml to this folder before this line.")
    set_variables = [n for n in ("ALGOTOOLS_ALGORITHM", "PKG_NAME") if stage.environment.get(n, ("", 0))[0]]
    is_elsewhere = stage.installs_project or stage.has_unknown_files
    if not set_variables:
        if not is_elsewhere:
            yield Finding.of("no-algorithm", FILE, None, "neither ALGOTOOLS_ALGORITHM nor PKG_NAME is set")
        return
    name = set_variables[0]
    value, line = stage.environment[name]
    if posixpath.isabs(value):
        if not is_elsewhere and project.refusal is None:
            yield from _check_folder(project, stage, name, posixpath.normpath(value), line)
    elif project.module is not None:
        if value not in (project.module, project.package):
            reason = f"{name} is {value!r}, but the module of this project is {project.module!r}"
            yield Finding.of("no-algorithm", FILE, line, reason)
        elif not (is_elsewhere or _is_importable(project, stage)):
            reason = f"{name} names a module that cannot be imported, because the project is not installed"
            yield Finding.of("no-algorithm", FILE, line, reason)


def _is_importable(project: ProjectFiles, stage: Stage) -> bool:
    """Whether Python finds the package in the working directory of the image, or through PYTHONPATH."""
    path = posixpath.join(stage.folder, str(project.package))
    return "PYTHONPATH" in stage.environment or f"{path}.py" in stage.files or f"{path}/__init__.py" in stage.files


def _check_folder(project: ProjectFiles, stage: Stage, name: str, folder: str, line: int) -> Iterator[Finding]:
    """Check that the folder in a variable contains ``pyproject.toml`` and the package."""
    required = {"pyproject.toml": f"{folder}/pyproject.toml"}
    if project.package is not None:
        package = f"{'src/' if project.source != project.root else ''}{project.package}"
        if (project.root / f"{package}.py").is_file():
            required[package] = f"{folder}/{package}.py"
        elif (project.root / package / "__init__.py").is_file():
            required[package] = f"{folder}/{package}/__init__.py"
    missing = [part for part, path in required.items() if posixpath.normpath(path) not in stage.files]
    if len(missing) == len(required) and "pyproject.toml" in stage.files.values():
        yield Finding.of(
            "no-algorithm", FILE, line, f"{name} is {folder}, but this project is not copied to that folder"
        )
        return
    for part in missing:
        reason = f"{name} is {folder}, but {part} is not copied to that folder"
        yield Finding.of("not-copied", FILE, line, reason)


def _check_installation(project: ProjectFiles, stage: Stage) -> Iterator[Finding]:
    try:
        names = dependencies(project.root) if project.refusal is None else []
    except AlgotoolsError:
        return
    if names and not stage.installs and not stage.installs_project:
        reason = f"pyproject.toml depends on {', '.join(names)}, but no line installs the dependencies"
        yield Finding.of("dependencies-not-installed", FILE, None, reason)
