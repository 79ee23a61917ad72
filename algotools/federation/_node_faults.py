"""The faults of nodes that a check finds before any run: variables, files that do not exist, and kinds of columns.

A fault is certain: the run at the node would fail for the same reason. A call is refused only if every node of the task
has a fault, so the check of a correct call ends at its first node.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from algotools import data
from algotools.data import FRAMES_IN_MEMORY, detect_type
from algotools.data.reading import find_path, is_path
from algotools.declare.columns import RequiredKind, check_kinds
from algotools.errors import AlgotoolsError, DatabaseUnreadable, NodeVariableError, WrongColumnKind
from algotools.federation._results import format_organization
from algotools.runtime.dispatch.checking import CallTable
from algotools.task import Database

_LARGEST_FILE = 20_000_000
"""Bytes of a file whose columns the check reads. The columns of a larger file are left to the runs."""

_FILES = frozenset({"csv", "parquet", "excel"})
"""The types of databases that are a file, or a folder of files."""

_MOST_REASONS = 3
"""Number of different reasons that a message lists."""


class CheckedNode(NamedTuple):
    """A node of a task: the facts on which its run depends."""

    organization: int
    variable_fault: str
    """The missing and malformed variables; empty without a fault."""
    tables: Sequence[tuple[CallTable, Database | None]]
    """The tables that the function receives, and their databases; None for a table of a session."""

    def find_fault(self) -> AlgotoolsError | None:
        """Return the first fault that is found without reading data; None without such a fault."""
        if self.variable_fault:
            return NodeVariableError(self.variable_fault)
        for table, database in self.tables:
            if table.form != "database" and database is not None and (path := find_missing_file(database)):
                return DatabaseUnreadable(f"the file of database {table.label!r} does not exist: {path}")
        return None

    def find_wrong_kind(self, kinds: Sequence[RequiredKind]) -> WrongColumnKind | None:
        """Return the error that the run would raise for a column; None if there is none, or if it is not certain."""
        names = [kind.name for kind in kinds]
        for table, database in self.tables:
            if table.form in data.UNREAD or database is None or not _is_quick(database):
                continue
            try:
                with ExitStack() as stack:
                    loaded = data.load(database, table.form, names, stack)
                    check_kinds(kinds, table.label, table.form, loaded.value, loaded.columns)
            except WrongColumnKind as error:
                return error
            except Exception:  # noqa: S112 - the run reports the error
                continue
        return None


def find_missing_file(database: Database) -> str:
    """Return the path of a database whose file does not exist; empty if it may exist."""
    path = find_path(database.uri) if detect_type(database) in _FILES else None
    if not path or not os.path.isabs(path) or Path(path) in FRAMES_IN_MEMORY:
        return ""
    if not is_path(path):  # a connection string, which may contain a password
        return ""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError):  # the run reports it
        return ""
    return ""


def refuse_if_all_fail(
    method: str,
    nodes: Sequence[CheckedNode],
    names: Mapping[int, str],
    find: Callable[[CheckedNode], AlgotoolsError | None],
) -> None:
    """Refuse a call if every node of its task has a fault.

    Args:
        method: the method that the task calls.
        nodes: the nodes of the task.
        names: id and name of each organization.
        find: returns the fault of a node.

    Raises:
        AlgotoolsError: the fault of the first node; the message has the reasons of all nodes in one line.
    """
    __tracebackhide__ = True
    faults: dict[int, AlgotoolsError] = {}
    for node in nodes:
        if (fault := find(node)) is None:
            return
        faults[node.organization] = fault
    if not faults:
        return
    reasons: dict[str, list[str]] = {}
    for organization, fault in faults.items():
        reasons.setdefault(fault.message, []).append(format_organization(organization, names))
    lines = [reason if len(reasons) == 1 else f"{', '.join(members)}: {reason}" for reason, members in reasons.items()][
        :_MOST_REASONS
    ]
    more = len(reasons) - len(lines)
    text = "; ".join([*lines, *([f"and {more} more"] if more else [])])
    first = next(iter(faults.values()))
    advice = _ADVICE.get(type(first), "")
    raise type(first)(f"{method} would fail at every node: {text}{advice}")


_ADVICE: dict[type[AlgotoolsError], str] = {
    NodeVariableError: (
        ". On this machine, --variable NAME=VALUE sets a variable (in Python variables={…}), or `algorithm_env` of the "
        "federation.yaml"
    ),
}


def _is_quick(database: Database) -> bool:
    """Whether the columns of a database can be read without a noticeable delay."""
    path = find_path(database.uri)
    if path is None or database.query or database.preprocessing:
        return False
    if Path(path) in FRAMES_IN_MEMORY:
        return True
    try:
        is_small = os.path.isfile(path) and os.path.getsize(path) <= _LARGEST_FILE
    except (OSError, ValueError):
        return False
    return is_small and detect_type(database) in ("csv", "frame", "parquet")
