"""The arguments of trial calls: ``[tool.algotools.trial]`` in a project's ``pyproject.toml``.

``algotools check`` calls functions with these arguments, and ``algotools describe`` shows them as an example.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from algotools.declare.federated import ORGANIZATIONS
from algotools.declare.functions import RegisteredFunction
from algotools.declare.projects import get_table, read_toml
from algotools.errors import ArgumentsError
from algotools.payload import encode_arguments

FILE = "pyproject.toml"
HEADER = "[tool.algotools.trial]"


class TrialTable:
    """The arguments of each method, as the author wrote them, so they can be wrong.

    Args:
        content: the content of ``pyproject.toml``.
        text: its text, in which lines are searched.
    """

    def __init__(self, content: Mapping[str, Any], text: str = "") -> None:
        table = get_table(content, "tool", "algotools").get("trial", {})
        self.is_table = isinstance(table, dict)
        self.entries: dict[str, Any] = msgspec.to_builtins(table) if self.is_table else {}  # dates become texts
        self._lines = text.splitlines()

    @classmethod
    def read(cls, project: Path | None) -> TrialTable:
        """Read the table of a project; it is empty without a project, or without a readable ``pyproject.toml``."""
        file = project / FILE if project else None
        try:
            return cls(read_toml(file), file.read_text(encoding="utf-8")) if file else cls({})
        except (OSError, ValueError):  # another rule reports it
            return cls({})

    def find(self, function: RegisteredFunction) -> dict[str, Any] | None:
        """Return the arguments of a function; None if the table has none. A derived rpc has those of its master."""
        entry = self.entries.get(function.derived_from or function.method)
        if not isinstance(entry, dict):
            return None
        if function.derived_from is None:
            return dict(entry)
        return {name: value for name, value in entry.items() if name != ORGANIZATIONS}

    def find_line(self, method: str = "", argument: str = "") -> int | None:
        """Return the line of a method or of one of its arguments, counted from 1; None if no line matches."""
        line = self._search(r"algotools\.trial|\btrial\b", 1)
        for name in filter(None, (method, argument)):
            line = self._search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", line or 1) or line
        return line

    def _search(self, pattern: str, first: int) -> int | None:
        lines = enumerate(self._lines[first - 1 :], start=first)
        return next((number for number, text in lines if re.search(pattern, text)), None)


def validate_trial(function: RegisteredFunction, arguments: Mapping[str, object]) -> dict[str, Any]:
    """Return arguments as a task contains them.

    Raises:
        ArgumentsError: they do not fit the function.
    """
    encoded: dict[str, Any] = json.loads(encode_arguments(arguments, function.method))
    function.specification.validate((), encoded)
    return encoded


def describe_trial(function: RegisteredFunction, table: TrialTable) -> dict[str, Any] | None:
    """Return the arguments of a function's trial call; None if the table has none that fit the function."""
    arguments = table.find(function)
    try:
        return None if arguments is None else validate_trial(function, arguments)
    except ArgumentsError:
        return None


def format_command(method: str, role: str, arguments: Mapping[str, Any]) -> str:
    """Return the command that runs a method with arguments: ``algotools ask fit column=age tolerance:=0.1``."""
    texts = [
        f"{name}={value}" if isinstance(value, str) else f"{name}:={json.dumps(value, ensure_ascii=False)}"
        for name, value in arguments.items()
    ]
    return shlex.join(["algotools", "ask" if role == "master" else "run", method, *texts])
