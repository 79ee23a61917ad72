"""A Dockerfile as the classic builder reads it: its instructions, and what it would stumble over."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

from algotools.check.finding import Finding, found

FILE = "Dockerfile"

_KNOWN = frozenset(
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
"""Options that only BuildKit knows."""

_HEREDOC = re.compile(r"(?<![<(\d])<<-?\s*([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"(?<!\\)\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")


class Instruction(NamedTuple):
    """One instruction of a Dockerfile."""

    name: str
    """In capitals."""
    options: dict[str, str]
    """What stands before its value, for instance ``--from``."""
    value: str
    line: int

    @property
    def words(self) -> list[str]:
        """The words of its value, or the texts of the list that it is."""
        if (texts := self.texts) is not None:
            return texts
        try:
            return shlex.split(self.value)
        except ValueError:  # a quotation mark that nothing closes
            return self.value.split()

    @property
    def texts(self) -> list[str] | None:
        """Its value as a JSON list of texts, the exec form; None if it is something else."""
        try:
            value = json.loads(self.value)
        except ValueError:
            return None
        return value if isinstance(value, list) and all(isinstance(text, str) for text in value) else None


def read(text: str) -> tuple[list[Instruction], list[Finding]]:
    """The instructions of a Dockerfile, and what the classic builder does not take."""
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()), env_replace=False)
    instructions: list[Instruction] = []
    findings: list[Finding] = []
    until, begun = "", False
    for item in parser.structure:
        line = item["startline"] + 1
        if until:  # the lines of a heredoc are no instructions
            until = "" if item["content"].strip() == until else until
            continue
        if item["instruction"] == "COMMENT":
            continue
        options, value = _options(item["value"].strip())
        instruction = Instruction(item["instruction"], options, value, line)
        if why := _refusal(instruction):
            findings.append(found("dockerfile-syntax", FILE, line, *why))
        if instruction.name in ("RUN", "COPY", "ADD") and (heredoc := _HEREDOC.search(value)):
            until = heredoc[2]
        begun = begun or instruction.name == "FROM"
        if instruction.name in _KNOWN and _is_whole(instruction):
            if instruction.name != "ARG" and not begun:
                findings.append(found("dockerfile-syntax", FILE, line, f"{instruction.name} stands before any FROM"))
            instructions.append(instruction)
    if not begun:
        findings = [f for f in findings if not f.reason.endswith("before any FROM")]
        findings.append(
            found(
                "dockerfile-syntax",
                FILE,
                None,
                "it has no FROM",
                "Begin with the lines ARG BASE_IMAGE and FROM ${BASE_IMAGE}.",
            )
        )
    return instructions, findings


def _options(value: str) -> tuple[dict[str, str], str]:
    options: dict[str, str] = {}
    while match := re.match(r"(--[a-z-]+)(?:=(\S*))?(?:\s+|$)", value):
        options[match[1]] = match[2] or ""
        value = value[match.end() :]
    return options, value


def _refusal(instruction: Instruction) -> tuple[str, str] | None:
    """Why the classic builder refuses an instruction, and the way out if there is one of its own."""
    name = instruction.name
    if name not in _KNOWN:
        return f"{name} is no instruction", "Mend its name; a line that goes on ends with a backslash."
    if not instruction.value:
        return f"{name} has nothing behind it", "Complete the line, or remove it."
    for option in _BUILDKIT.get(name, ()):
        if option in instruction.options:
            return f"{name} {option} is known to BuildKit alone", f"Do without {option}."
    if name in ("RUN", "COPY", "ADD") and _HEREDOC.search(instruction.value):
        return "a heredoc (<<) is known to BuildKit alone", "Write the commands in one RUN with && between them."
    if not _is_whole(instruction):
        return f"{name} takes {_TAKES[name]}", "Complete the line."
    return None


_TAKES = {
    "ADD": "what to copy, and where to",
    "COPY": "what to copy, and where to",
    "ENV": "a name and a value",
    "FROM": "an image, and AS with a name if need be",
}
"""What instructions need that have more than one part."""


def _is_whole(instruction: Instruction) -> bool:
    """Whether an instruction has as many words as it needs."""
    words = instruction.words
    if instruction.name in ("COPY", "ADD"):
        return len(words) >= 2
    if instruction.name == "FROM":
        return len(words) == 1 or (len(words) == 3 and words[1].lower() == "as")
    if instruction.name == "ENV":
        return len(words) >= 2 or "=" in instruction.value
    return bool(instruction.value)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """A text with the values of variables in it; one that has none is empty, as in the build."""

    def value(match: re.Match[str]) -> str:
        known = values.get(match[1] or match[2], "")
        if match[3] == "-":
            return known or match[4]
        return match[4] if match[3] == "+" and known else "" if match[3] == "+" else known

    return _VARIABLE.sub(value, text)


def assignments(instruction: Instruction) -> dict[str, str]:
    """What an ENV or ARG sets: ``NAME=value …``, or ENV's old form ``NAME value``."""
    first, _, rest = instruction.value.partition(" ")
    if "=" not in first and instruction.name == "ENV":
        return {first: rest.strip()}
    pairs = (word.partition("=") for word in instruction.words)
    return {name: value for name, _, value in pairs}
