"""The algorithm that a command is about: the option ``--algorithm``, or an argument with a folder."""

from __future__ import annotations

from pathlib import Path

from algotools.cli._console import show_note
from algotools.declare.projects import find_project


def find_target(text: str) -> str:
    """Return the name or folder of an algorithm. A folder inside a project means the project, as for git and pytest."""
    folder = Path(text)
    if not folder.is_dir() or (folder / "pyproject.toml").is_file():
        return text
    project = find_project(folder)
    if project is None:
        return text  # the command reports it
    show_note(f"project: {project}")
    return str(project)
