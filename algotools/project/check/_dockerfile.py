"""Read a Dockerfile without a build: its instructions, its syntax errors, and the content of its last stage.

The syntax is that of the classic builder, which every engine has and which ``algotools build`` uses. The content of a
stage is simulated: COPY, ADD, ENV, ARG and WORKDIR are followed exactly. A RUN can do anything, so commands that may
create or move files give the stage *unknown files*; the rules about missing files then report nothing.
"""

from __future__ import annotations

import copy
import fnmatch
import io
import json
import posixpath
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

from algotools.image import base
from algotools.project.check._rules import Finding

FILE = "Dockerfile"

_INSTRUCTIONS = frozenset(
    {
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
        "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    }
)  # fmt: skip
_BUILDKIT = {
    "RUN": ("--mount", "--network", "--security", "--device"),
    "COPY": ("--chmod", "--link", "--parents", "--exclude"),
    "ADD": ("--chmod", "--link", "--checksum", "--keep-git-dir", "--exclude", "--unpack"),
}
"""Options that only BuildKit has."""

_EXPECTED_PARTS = {
    "ADD": "a source and a target",
    "COPY": "a source and a target",
    "ENV": "a name and a value",
    "FROM": "an image, optionally followed by AS and a name",
}
"""Instruction -> its parts, for the message about an incomplete instruction."""

_HEREDOC = re.compile(r"(?<![<(\d])<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"(?<!\\)\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")

_TOOL = r"\b(?:pip[\d.]*|uv|conda|mamba|micromamba|poetry|pdm|pipenv)\b[^&|;]*"
INSTALLS = re.compile(rf"algotools\.packaging\s+install|{_TOOL}\b(?:install|sync)\b")
"""Matches a command that installs packages."""
_INSTALLS_PROJECT = re.compile(
    rf"""{_TOOL}\binstall\b(?:[^&|;]*\s)["']?(?!\S+\.txt\b)(?:\.{{1,2}}|\./|/[\w./-]+)(?:\[[\w,\s]+\])?["']?\s*(?:$|[&|;-])
        |{_TOOL}\binstall\b[^&|;]*\.whl\b
        |\b(?:poetry|pdm)\s+install\b
        |\buv\s+sync\b""",
    re.VERBOSE,
)
_INSTALLS_DEPENDENCIES = re.compile(r"algotools\.packaging\s+install\s*(?:$|[&|;])")
_MOVES = re.compile(r"(?:^|[\s;&|])(?:cp|mv|ln|git|curl|wget|tar|unzip|rsync|rm)\s")


class Instruction(NamedTuple):
    """One instruction of a Dockerfile."""

    name: str
    """In upper case."""
    options: dict[str, str]
    """The options before the value, for example ``--from``."""
    value: str
    line: int

    @property
    def parts(self) -> list[str]:
        """The parts of the value, split like a shell does it, or the items of a JSON list."""
        if (items := self.items) is not None:
            return items
        try:
            return shlex.split(self.value)
        except ValueError:  # a quotation mark is not closed
            return self.value.split()

    @property
    def items(self) -> list[str] | None:
        """The items of the exec form, a JSON list of strings; None for any other value."""
        try:
            value = json.loads(self.value)
        except ValueError:
            return None
        return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else None

    @property
    def assignments(self) -> dict[str, str]:
        """The variables that an ENV or ARG sets: ``NAME=value …``, or ENV's old form ``NAME value``."""
        first, *remainder = self.value.split(None, 1) or [""]
        if "=" not in first and self.name == "ENV":
            return {first.strip("\"'"): "".join(remainder).strip()}
        pairs = (part.partition("=") for part in self.parts)
        return {name: value for name, _, value in pairs}

    @property
    def trigger(self) -> Instruction | None:
        """The instruction that an ONBUILD runs in a later build; None for any other instruction."""
        name, *value = self.value.split(None, 1) if self.name == "ONBUILD" else [""]
        return Instruction(name.upper(), {}, "".join(value), self.line) if name else None

    @property
    def sources(self) -> list[str]:
        """The paths in the project that a COPY or ADD copies; empty if it copies from another stage or image."""
        if self.name not in ("COPY", "ADD") or "--from" in self.options:
            return []
        paths = [path for path in self.parts[:-1] if "://" not in path and "$" not in path]
        return [posixpath.normpath(path).lstrip("/") or "." for path in paths if not path.startswith("git@")]

    @property
    def is_complete(self) -> bool:
        """Whether the instruction has all required parts."""
        if self.name in ("COPY", "ADD"):
            return len(self.parts) >= 2
        if self.name == "FROM":
            return len(self.parts) == 1 or (len(self.parts) == 3 and self.parts[1].lower() == "as")
        if self.name == "ENV":
            return len(self.parts) >= 2 or "=" in self.value
        return bool(self.value)


def parse_dockerfile(text: str) -> tuple[list[Instruction], list[Finding]]:
    """Return the instructions of a Dockerfile, and the findings about lines that the classic builder refuses."""
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()), env_replace=False)
    instructions: list[Instruction] = []
    findings: list[Finding] = []
    findings_before_from: list[Finding] = []  # without any FROM, only the missing FROM is reported
    heredoc_end, has_from = "", False
    for item in parser.structure:
        line = item["startline"] + 1
        if heredoc_end:  # the lines of a heredoc are not instructions
            heredoc_end = "" if item["content"].strip() == heredoc_end else heredoc_end
            continue
        if item["instruction"] == "COMMENT":
            continue
        options, value = _split_options(item["value"].strip())
        instruction = Instruction(item["instruction"], options, value, line)
        if refusal := _explain_refusal(instruction):
            findings.append(Finding.of("dockerfile-syntax", FILE, line, *refusal))
        if instruction.name in ("RUN", "COPY", "ADD") and (heredoc := _HEREDOC.search(value)):
            heredoc_end = heredoc[2]
        has_from = has_from or instruction.name == "FROM"
        if instruction.name in _INSTRUCTIONS and instruction.is_complete:
            instructions.append(instruction)
            if instruction.name != "ARG" and not has_from:
                reason = f"{instruction.name} is before the first FROM"
                findings_before_from.append(Finding.of("dockerfile-syntax", FILE, line, reason))
    if has_from:
        return instructions, findings + findings_before_from
    way_out = "Begin with the lines ARG BASE_IMAGE and FROM ${BASE_IMAGE}."
    return instructions, [*findings, Finding.of("dockerfile-syntax", FILE, None, "the Dockerfile has no FROM", way_out)]


def _split_options(value: str) -> tuple[dict[str, str], str]:
    options: dict[str, str] = {}
    while match := re.match(r"(--[a-z-]+)(?:=(\S*))?(?:\s+|$)", value):
        options[match[1]] = match[2] or ""
        value = value[match.end() :]
    return options, value


def _explain_refusal(instruction: Instruction) -> tuple[str, str] | None:
    """Return the reason why the classic builder refuses an instruction, and the advice; None if it accepts it."""
    name = instruction.name
    if name not in _INSTRUCTIONS:
        return f"{name} is not an instruction", "Correct the name; end a line that continues with a backslash."
    if not instruction.value:
        return f"{name} has no value", "Complete the line, or remove it."
    for option in _BUILDKIT.get(name, ()):
        if option in instruction.options:
            return f"only BuildKit supports {name} {option}", f"Remove {option}."
    if name in ("RUN", "COPY", "ADD") and _HEREDOC.search(instruction.value):
        return "only BuildKit supports a heredoc (<<)", "Write the commands in one RUN, separated by &&."
    if not instruction.is_complete:
        return f"{name} requires {_EXPECTED_PARTS[name]}", "Complete the line."
    return None


def _substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables in a text; an unknown variable is empty, as in the build."""

    def expand(match: re.Match[str]) -> str:
        value = values.get(match[1] or match[2], "")
        if match[3] == "-":  # ${NAME:-default}
            return value or match[4]
        if match[3] == "+":  # ${NAME:+replacement}
            return match[4] if value else ""
        return value

    return _VARIABLE.sub(expand, text)


@dataclass
class Stage:
    """One stage of a build, after its last instruction."""

    image: str
    """The base image with its variables replaced; empty if the variables have no value."""
    image_text: str
    """The base image as written in the Dockerfile, with its variables."""
    line: int
    parent: Stage | None = None
    """The earlier stage from which this stage is built."""
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name -> value, and the line that sets it."""
    files: dict[str, str] = field(default_factory=dict)
    """Path in the image -> the file of the project that is copied there."""
    folders: set[str] = field(default_factory=lambda: {"/"})
    folder: str = "/"
    has_unknown_files: bool = False
    """Whether the image may contain unknown files: from another image, or from a command."""
    command: tuple[list[str] | None, int] | None = None
    """The items and the line of CMD; the items are None for the shell form."""
    entry_point: tuple[list[str] | None, int] | None = None
    user: tuple[str, int] | None = None
    installs: bool = False
    """Whether an instruction installs dependencies."""
    installs_project: bool = False
    early_install_line: int | None = None
    """The line that installs the dependencies of ``pyproject.toml`` before ``pyproject.toml`` is copied."""

    @property
    def root(self) -> Stage:
        """The first stage in the chain of parents: the stage that is built from an image."""
        return self.parent.root if self.parent else self


def build_last_stage(instructions: list[Instruction], files: Collection[str], folders: Collection[str]) -> Stage | None:
    """Simulate the build, with the files and folders of its context; return the last stage, or None without a FROM."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in instructions:
        if instruction.name == "FROM":
            stage = _begin_stage(instruction, arguments, stages)
        elif stage is None:
            arguments |= instruction.assignments
        else:
            values = stage.arguments | {name: value for name, (value, _) in stage.environment.items()}
            expanded = instruction._replace(value=_substitute(instruction.value, values))
            if instruction.name in ("COPY", "ADD"):
                _apply_copy(expanded, stage, stages, files, folders)
            else:
                _apply(instruction, expanded, stage, arguments)
    return stage


def _begin_stage(instruction: Instruction, arguments: Mapping[str, str], stages: dict[str, Stage]) -> Stage:
    parts = instruction.parts or [""]
    # `algotools build` always sets BASE_IMAGE, so the default in the Dockerfile does not matter.
    values = {name: base.NAME if name == "BASE_IMAGE" else value for name, value in arguments.items()}
    image = _substitute(parts[0], values)
    stage = Stage(image, parts[0], instruction.line)
    if (parent := stages.get(image.lower())) is not None:
        stage = copy.deepcopy(parent)
        stage.image, stage.image_text, stage.line, stage.parent = image, parts[0], instruction.line, parent
        stage.arguments = {}
    stages[str(sum(key.isdigit() for key in stages))] = stage  # COPY --from also accepts the number of a stage
    if len(parts) == 3 and parts[1].lower() == "as":
        stages[parts[2].lower()] = stage
    return stage


def _apply(instruction: Instruction, expanded: Instruction, stage: Stage, arguments: Mapping[str, str]) -> None:
    """Apply an instruction other than COPY and ADD to a stage. *arguments* are the ARGs before the first FROM."""
    line = instruction.line
    if instruction.name == "ARG":
        defaults = instruction.assignments
        stage.arguments |= {name: value or arguments.get(name, "") for name, value in defaults.items()}
    elif instruction.name == "ENV":
        stage.environment |= {name: (value, line) for name, value in expanded.assignments.items()}
    elif instruction.name == "WORKDIR":
        stage.folder = posixpath.normpath(posixpath.join(stage.folder, expanded.value.strip("\"'")))
        stage.folders.add(stage.folder)
    elif instruction.name == "USER":
        stage.user = (expanded.value, line)
    elif instruction.name == "CMD":
        stage.command = (instruction.items, line)
    elif instruction.name == "ENTRYPOINT":
        stage.entry_point = (instruction.items, line)
    elif instruction.name == "RUN":
        command = " ".join(instruction.parts) if instruction.items is not None else instruction.value
        stage.installs |= bool(INSTALLS.search(command))
        stage.installs_project |= bool(_INSTALLS_PROJECT.search(command))
        stage.has_unknown_files |= bool(_MOVES.search(command))
        if _INSTALLS_DEPENDENCIES.search(command) and not stage.has_unknown_files:
            is_copied = posixpath.join(stage.folder, "pyproject.toml") in stage.files
            if not is_copied and not re.search(r"\bcd\s", command) and stage.early_install_line is None:
                stage.early_install_line = line


def _apply_copy(
    instruction: Instruction,
    stage: Stage,
    stages: Mapping[str, Stage],
    context_files: Collection[str],
    context_folders: Collection[str],
) -> None:
    *sources, target = instruction.parts
    is_folder = target.endswith("/") or len(sources) > 1 or target in (".", "..")
    target = posixpath.normpath(posixpath.join(stage.folder, target))
    if (origin := instruction.options.get("--from")) is not None:
        source_stage = stages.get(origin.lower())
        if source_stage is None:
            stage.has_unknown_files = True
            return
        stage.installs |= source_stage.installs
        stage.installs_project |= source_stage.installs_project
        stage.has_unknown_files |= source_stage.has_unknown_files
        files = {path.lstrip("/"): name for path, name in source_stage.files.items()}
        folders = source_stage.folders
    else:
        files, folders = {name: name for name in context_files}, set(context_folders)
    for path_or_url in sources:
        if instruction.name == "ADD" and (
            "://" in path_or_url or path_or_url.endswith((".tar", ".gz", ".tgz", ".xz", ".bz2"))
        ):
            stage.has_unknown_files = True
            continue
        source = posixpath.normpath(path_or_url).lstrip("/")
        for match in match_paths(source, {*files, *(folder.lstrip("/") for folder in folders)}):
            if match in files:
                keeps_name = is_folder or target in stage.folders
                stage.files[posixpath.join(target, posixpath.basename(match)) if keeps_name else target] = files[match]
                stage.folders.add(target if keeps_name else posixpath.dirname(target))
                continue
            # COPY of a folder copies the content of the folder, not the folder itself.
            stage.folders.add(target)
            for path, name in files.items():
                if match == "." or path.startswith(f"{match}/"):
                    below = path if match == "." else path[len(match) + 1 :]
                    stage.files[posixpath.join(target, below)] = name
                    stage.folders.add(posixpath.dirname(posixpath.join(target, below)))


def match_paths(source: str, paths: Collection[str]) -> Iterator[str]:
    """Yield the paths that a source of a COPY matches; ``*`` and ``?`` do not match a slash."""
    if source in ("", "."):
        yield "."
        return
    patterns = source.split("/")
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns)):
            yield path


def copies_file(source: str, path: str) -> bool:
    """Whether a source of a COPY matches a file, or a folder above the file."""
    parts = path.split("/")
    above = {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return any(match == "." or match in above for match in match_paths(source, above))
