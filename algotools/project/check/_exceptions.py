"""The cause of an exception in a trial call: a missing name, an unread column, or a refusal by algotools."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from algotools import data
from algotools.declare.annotations import COLUMN
from algotools.declare.arguments import Parameter
from algotools.declare.functions import RegisteredFunction
from algotools.declare.tables import assign_databases
from algotools.errors import AlgotoolsError, NodesDisagree, ProofFailed, RoundsDisagree, TotalRefused
from algotools.project.check._rules import Finding
from algotools.runtime.dispatch.unread import UnreadColumns, describe_unread
from algotools.runtime.pooled.aggregator import Aggregator, find_similar_verb, list_verbs
from algotools.task import Database

# --- Names that do not exist. ---


def describe_unknown_total(total: str, name: str) -> tuple[str, str]:
    """Return the reason and the advice for an attribute that the parameter *total* for the totals does not have."""
    similar = find_similar_verb(name)
    advice = f"Did you mean {total}.{similar}?" if similar else f"The totals: {', '.join(list_verbs())}."
    return f"{total} has no method {name!r}", advice


def find_missing_name(error: BaseException | None, folder: str | None, prefix: str, total: str) -> Finding | None:
    """Return a finding if a line of the author's code uses a name, a module or a total that does not exist."""
    location = find_author_line(error, folder)
    if isinstance(error, AttributeError) and isinstance(error.obj, Aggregator) and error.name and location:
        reason, advice = describe_unknown_total(total or "the Aggregator", error.name)
        return Finding.of("function-fails", *location, f"{prefix}{reason} (AttributeError)", advice)
    if not isinstance(error, (NameError, ImportError)) or folder is None:
        return None
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    if not Path(innermost.filename).is_relative_to(folder):
        return None
    name = repr(error.name) if error.name else "something"
    if isinstance(error, UnboundLocalError):
        reason = "it uses a variable before the variable has a value"
    elif isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
        reason = f"it imports a name that {name} does not have"
    else:
        reason = f"it uses {name}, which does not exist"
    reason = f"{prefix}{reason} ({type(error).__name__})"
    return Finding.of("function-fails", innermost.filename, innermost.lineno, reason)


def find_author_line(error: BaseException | None, folder: str | None) -> tuple[str, int | None] | None:
    """Return the innermost line of the author's code in a traceback."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None and folder is not None else []
    author_lines = [
        (frame.filename, frame.lineno) for frame in frames if Path(frame.filename).is_relative_to(folder or "")
    ]
    return author_lines[-1] if author_lines else None


# --- Columns that are in the table, but are not read. ---


class UnreadColumn(NamedTuple):
    """A column that a function uses, and that is in its table, but that no argument requests."""

    reason: str
    advice: str


def find_unread_column(
    error: BaseException | None,
    function: RegisteredFunction,
    databases: Sequence[Database],
    arguments: Mapping[str, object],
) -> UnreadColumn | None:
    """Return the unread column that an exception of the author's code is about.

    Only the tables without a label are searched: their databases are in the order of the parameters.
    """
    if error is None:
        return None
    specification = function.specification
    requested = specification.find_marked(arguments, COLUMN)
    parameters = [p for p in specification.data if p.label is None]
    tables = UnreadColumns()
    for parameter, database in assign_databases(parameters, databases).tables:
        tables.add(parameter, read_columns(database), requested)
    match = tables.find(error)
    return None if match is None else make_unread_column(*match, f" ({type(error).__name__})")


def make_unread_column(parameter: Parameter, names: Sequence[str], suffix: str = "") -> UnreadColumn:
    """Return the reason and the advice for columns that a function uses and does not request."""
    fault = describe_unread(names)
    is_one = len(names) == 1
    return UnreadColumn(
        f"it uses {fault.columns}, which no argument names, so {'it is' if is_one else 'they are'} not read{suffix}",
        f"Request {'it' if is_one else 'them'}: {fault.format(parameter)}.",
    )


def read_table(database: Database) -> Any:
    """Return a node's table as a DataFrame of pandas; None if the table cannot be read."""
    try:
        return data.load(database, "pandas", None).value
    except AlgotoolsError:
        return None


def read_columns(database: Database) -> list[str]:
    """Return the names of a table's columns."""
    frame = read_table(database)
    return [] if frame is None else [column for column in frame.columns if isinstance(column, str)]


# --- Refusals of a pooled function. ---


class RefusalMessage(NamedTuple):
    """The parts of the message of an error that algotools raises for a pooled function."""

    reason: str
    advice: str
    """Empty if the advice of the rule applies."""


_SUFFIX = re.compile(r"(?: \(at [^()]*\))?(?: \(with .*\))?$", re.DOTALL)
"""The end of a message: the node, and the split."""

_SENTENCES = re.compile(r"(.*?)(?:\. (?=[A-Z])|; )(.*)", re.DOTALL)
"""A reason, and the advice after it."""

_ADVICE: dict[type[AlgotoolsError], str] = {
    NodesDisagree: "Let totals decide what the function requests and returns.",
    RoundsDisagree: "Take the same path in every round, with the same values.",
    TotalRefused: "Change the value, or request another total.",
}


def split_message(error: AlgotoolsError, function: RegisteredFunction) -> RefusalMessage:
    """Separate the advice in the message of an error from its reason, without the name of the function."""
    name = re.escape(function.__name__)
    if isinstance(error, ProofFailed):
        if error.__cause__ is None:  # a difference
            return RefusalMessage(re.sub(rf" of {name} differs ", " differs ", error.message, count=1), "")
        reason = re.sub(rf"^{name} raises ", "it raises ", error.message)
        return RefusalMessage(reason, "Compute with any rows: a node can have few of them, or none. Let totals decide.")
    text = _SUFFIX.sub("", error.message)
    parts = _SENTENCES.fullmatch(text)
    if parts is None:
        return RefusalMessage(error.message, _ADVICE.get(type(error), ""))
    reason, advice = parts.groups()
    if advice.partition(" ")[0].isalpha() and len(advice.partition(" ")[0]) > 1:  # not `total.add`, and not `x`
        advice = f"{advice[:1].upper()}{advice[1:]}"
    suffix = error.message[len(text) :]
    return RefusalMessage(f"{reason}{suffix}", advice if advice.endswith((".", ":")) else f"{advice}.")


def find_message_line(error: AlgotoolsError, function: RegisteredFunction) -> int | None:
    """Return the first line of the function that a message names; None if the message names no line of it."""
    match = re.search(r"\bline (\d+)\b(?! of \S+\.py)", error.message)
    code = getattr(inspect.unwrap(function), "__code__", None)
    if match is None or code is None:
        return None
    line = int(match[1])
    return line if code.co_firstlineno <= line <= _find_last_line(code) else None


def _find_last_line(code: CodeType) -> int:
    lines = [line for _, _, line in code.co_lines() if line is not None]
    return max([*lines, *(_find_last_line(part) for part in code.co_consts if isinstance(part, CodeType))])
