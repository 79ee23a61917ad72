"""A project as its files tell, without importing any of its code."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from algotools.check.finding import Finding, found
from algotools.errors import AlgorithmNotFound
from algotools.locate import GROUP, read_toml, table


class Project:
    """The folder of an algorithm's project."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        source = self.root / "src"
        self.source = source if source.is_dir() else self.root
        """Where its packages are imported from, as ``locate`` has it."""
        self.refused: Finding | None = None
        """Why ``pyproject.toml`` cannot be read."""
        self.toml: dict[str, Any] = {}
        try:
            self.toml = read_toml(self.root / "pyproject.toml")
        except AlgorithmNotFound as error:
            self.refused = self._unreadable(error)

    @cached_property
    def text(self) -> str:
        """The text of ``pyproject.toml``, to find lines in; empty if there is none."""
        return self.read("pyproject.toml") or ""

    @property
    def table(self) -> dict[str, Any]:
        """``[project]``; empty where it is absent or something else."""
        return table(self.toml, "project")

    @property
    def entry_points(self) -> object:
        """What stands under our group, whatever it is."""
        points = self.table.get("entry-points")
        return points.get(GROUP, {}) if isinstance(points, dict) else {}

    @property
    def module(self) -> str | None:
        """The module that the only entry point names; None if there is no such."""
        points = self.entry_points
        if isinstance(points, dict) and len(points) == 1 and isinstance(value := next(iter(points.values())), str):
            return value
        return None

    @property
    def package(self) -> str | None:
        """The top-level package: the entry point's, else the only one that can be meant."""
        if self.module:
            return self.module.partition(".")[0]
        named = re.sub(r"[^a-z0-9]+", "_", str(self.table.get("name", "")).lower())
        if (self.source / named / "__init__.py").is_file():
            return named
        candidates = [path.parent.name for path in self.source.glob("*/__init__.py")]
        return candidates[0] if len(candidates) == 1 and self.source != self.root else None

    def read(self, name: str) -> str | None:
        """The text of one of its files; None if it cannot be read."""
        try:
            return (self.root / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return None

    def _unreadable(self, error: AlgorithmNotFound) -> Finding:
        if not (self.root / "pyproject.toml").exists():
            return found("no-pyproject", "pyproject.toml", None, "there is no pyproject.toml in this folder")
        where = re.search(r"at line (\d+)", error.message)
        reason = error.message.replace(str(self.root / "pyproject.toml"), "it")
        return found("no-pyproject", "pyproject.toml", int(where[1]) if where else None, reason)
