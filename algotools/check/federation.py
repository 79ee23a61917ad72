"""The rules about ``federation.yaml``, which a project may have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from algotools.check.finding import Finding, found, line_of, relative
from algotools.check.project import Project
from algotools.errors import FederationError
from algotools.federation.configuration import read_file

FILE = "federation.yaml"


def check(project: Project) -> Iterator[Finding]:
    """Whether the description can be read, and its files are there."""
    path = project.root / FILE
    if not path.exists():
        return
    try:
        configuration = read_file(path)
    except FederationError as error:
        where = re.search(r"line (\d+)", error.message)
        reason = " ".join(error.message.replace(f"{path}: ", "").replace(str(path), "it").split())
        yield found("federation-file", FILE, int(where[1]) if where else None, reason)
        return
    text = project.read(FILE) or ""
    for member in configuration.members:
        for database in member.databases.values():
            scheme, separator, rest = database.uri.partition("://")
            if separator and scheme != "file":
                continue
            file = Path(rest) if separator else Path(database.uri)
            if not file.exists():
                shown = relative(file, project.root)
                line = line_of(text, shown) or line_of(text, file.name)
                yield found("missing-data", FILE, line, f"{member.name} has its database {database.label!r} at {shown}")
