"""What a Dockerfile's stages have in the end, as far as it can be told without running them."""

from __future__ import annotations

import copy
import fnmatch
import posixpath
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from algotools.check.dockerfile import Instruction, assignments, substitute
from algotools.image import base

_TOOL = r"\b(?:pip[\d.]*|uv|conda|mamba|micromamba|poetry|pdm|pipenv)\b[^&|;]*"
_INSTALLS = re.compile(rf"algotools\.packaging\s+install|{_TOOL}\b(?:install|sync)\b")
_INSTALLS_PROJECT = re.compile(
    rf"""{_TOOL}\binstall\b(?:[^&|;]*\s)["']?(?!\S+\.txt\b)(?:\.{{1,2}}|\./|/[\w./-]+)(?:\[[\w,\s]+\])?["']?\s*(?:$|[&|;-])
        |{_TOOL}\binstall\b[^&|;]*\.whl\b
        |\b(?:poetry|pdm)\s+install\b
        |\buv\s+sync\b""",
    re.VERBOSE,
)
_MOVES = re.compile(r"(?:^|[\s;&|])(?:cp|mv|ln|git|curl|wget|tar|unzip|rsync|rm)\s")


@dataclass
class Stage:
    """One stage of a build, at its end."""

    image: str
    """What it is built on: variables filled in, empty if they have no value."""
    written: str
    """That, as the Dockerfile has it."""
    line: int
    parent: Stage | None = None
    """The earlier stage that it is built on."""
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name -> value, and the line that sets it."""
    files: dict[str, str] = field(default_factory=dict)
    """Path in the image -> the file of the project that is copied there."""
    folders: set[str] = field(default_factory=lambda: {"/"})
    folder: str = "/"
    uncertain: bool = False
    """Whether files may get there in ways that cannot be told: from another image, or by a command."""
    command: tuple[list[str] | None, int] | None = None
    """CMD, None where it has the shell form, and its line."""
    entry_point: tuple[list[str] | None, int] | None = None
    user: tuple[str, int] | None = None
    installs: bool = False
    """Whether a step installs dependencies."""
    installs_project: bool = False
    installs_too_early: int | None = None
    """The line that installs what pyproject.toml says before it is there."""

    @property
    def values(self) -> dict[str, str]:
        """The variables that an instruction may use."""
        return self.arguments | {name: value for name, (value, _) in self.environment.items()}

    @property
    def root(self) -> Stage:
        """The stage at the bottom, which is built on an image."""
        return self.parent.root if self.parent else self


def final(instructions: list[Instruction], files: Collection[str], directories: Collection[str]) -> Stage | None:
    """The last stage; None if there is none. ``files`` and ``directories`` are what the build is given."""
    given: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in instructions:
        if instruction.name == "FROM":
            stage = _begin(instruction, given, stages)
        elif stage is None:
            given |= assignments(instruction)
        else:
            _Step(stage, given, stages, files, directories).take(instruction)
    return stage


def _begin(instruction: Instruction, given: dict[str, str], stages: dict[str, Stage]) -> Stage:
    words = instruction.words or [""]
    # `algotools build` gives BASE_IMAGE, whatever the Dockerfile has for it.
    known = {name: base.NAME if name == "BASE_IMAGE" else value for name, value in given.items()}
    image = substitute(words[0], known)
    stage = Stage(image, words[0], instruction.line)
    if (parent := stages.get(image.lower())) is not None:
        stage = copy.deepcopy(parent)
        stage.image, stage.written, stage.line, stage.parent = image, words[0], instruction.line, parent
        stage.arguments = {}
    stages[str(sum(key.isdigit() for key in stages))] = stage
    if len(words) == 3 and words[1].lower() == "as":
        stages[words[2].lower()] = stage
    return stage


@dataclass
class _Step:
    """One instruction's effect on its stage."""

    stage: Stage
    given: dict[str, str]
    stages: dict[str, Stage]
    files: Collection[str]
    directories: Collection[str]

    def take(self, instruction: Instruction) -> None:
        stage, value = self.stage, substitute(instruction.value, self.stage.values)
        if instruction.name == "ARG":
            told = assignments(instruction)
            stage.arguments |= {name: value or self.given.get(name, "") for name, value in told.items()}
        elif instruction.name == "ENV":
            pairs = assignments(instruction._replace(value=value))
            stage.environment |= {name: (text, instruction.line) for name, text in pairs.items()}
        elif instruction.name == "WORKDIR":
            stage.folder = posixpath.normpath(posixpath.join(stage.folder, value.strip("\"'")))
            stage.folders.add(stage.folder)
        elif instruction.name == "USER":
            stage.user = (value, instruction.line)
        elif instruction.name == "CMD":
            stage.command = (instruction.texts, instruction.line)
        elif instruction.name == "ENTRYPOINT":
            stage.entry_point = (instruction.texts, instruction.line)
        elif instruction.name == "RUN":
            self._run(instruction)
        elif instruction.name in ("COPY", "ADD"):
            self._copy(instruction._replace(value=value))

    def _run(self, instruction: Instruction) -> None:
        stage = self.stage
        command = " ".join(instruction.words) if instruction.texts is not None else instruction.value
        stage.installs |= bool(_INSTALLS.search(command))
        stage.installs_project |= bool(_INSTALLS_PROJECT.search(command))
        stage.uncertain |= bool(_MOVES.search(command))
        if re.search(r"algotools\.packaging\s+install\s*(?:$|[&|;])", command) and not stage.uncertain:
            there = posixpath.join(stage.folder, "pyproject.toml") in stage.files
            moves = re.search(r"\bcd\s", command)
            if not there and not moves and stage.installs_too_early is None:
                stage.installs_too_early = instruction.line

    def _copy(self, instruction: Instruction) -> None:
        stage = self.stage
        *sources, target = instruction.words
        folder = target.endswith("/") or len(sources) > 1 or target in (".", "..")
        target = posixpath.normpath(posixpath.join(stage.folder, target))
        if (origin := instruction.options.get("--from")) is not None:
            other = self.stages.get(origin.lower())
            if other is None:
                stage.uncertain = True
                return
            stage.installs |= other.installs
            stage.installs_project |= other.installs_project
            stage.uncertain |= other.uncertain
            files, directories = {name.lstrip("/"): own for name, own in other.files.items()}, other.folders
        else:
            files, directories = {name: name for name in self.files}, set(self.directories)
        for word in sources:
            if instruction.name == "ADD" and ("://" in word or word.endswith((".tar", ".gz", ".tgz", ".xz", ".bz2"))):
                stage.uncertain = True
                continue
            source = posixpath.normpath(word).lstrip("/")
            for match in matching(source, {*files, *(directory.lstrip("/") for directory in directories)}):
                if match in files:
                    into = folder or target in stage.folders
                    stage.files[posixpath.join(target, posixpath.basename(match)) if into else target] = files[match]
                    stage.folders.add(target if into else posixpath.dirname(target))
                else:
                    stage.folders.add(target)
                    for name, own in files.items():
                        if match == "." or name.startswith(f"{match}/"):
                            below = name if match == "." else name[len(match) + 1 :]
                            stage.files[posixpath.join(target, below)] = own
                            stage.folders.add(posixpath.dirname(posixpath.join(target, below)))


def sources(instruction: Instruction) -> list[str]:
    """What of the project a COPY or ADD takes; nothing if it takes from elsewhere."""
    if instruction.name not in ("COPY", "ADD") or "--from" in instruction.options:
        return []
    words = [word for word in instruction.words[:-1] if "://" not in word and "$" not in word]
    return [posixpath.normpath(word).lstrip("/") or "." for word in words if not word.startswith("git@")]


def matching(source: str, names: Collection[str]) -> Iterator[str]:
    """The paths that a source of a COPY means: ``*`` and ``?`` stay within a folder's name."""
    if source in ("", "."):
        yield "."
        return
    wanted = source.split("/")
    for name in sorted(names):
        parts = name.split("/")
        if len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            yield name


def takes(source: str, name: str) -> bool:
    """Whether a source of a COPY takes a file along: it means the file itself or a folder above it."""
    parts = name.split("/")
    above = {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return any(match == "." or match in above for match in matching(source, above))
