"""Columns that a function uses, but that neither an argument nor ``Columns.of`` requests, so they are not read.

pandas, Polars, Arrow, DuckDB and Ibis raise errors of different classes for a missing column. All of them quote its
name, and all of them raise in a file of the library, which a dict with the same key does not.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection, Container, Iterable
from pathlib import PurePath
from typing import NamedTuple

from algotools import data
from algotools.declare.arguments import Parameter

_LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "duckdb", "_duckdb", "ibis"})
_MODULES = {"pandas": "pd", "polars": "pl", "pyarrow": "pa"}
"""Package -> its usual name in a module of the author."""

_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|FieldRef\.Name\(([^)]+)\)")


class UnreadColumns:
    """The columns of a run's tables that the function does not receive."""

    def __init__(self) -> None:
        self._tables: list[tuple[Parameter, Collection[str]]] = []

    def add(self, parameter: Parameter, existing: Iterable[object], requested: Iterable[str]) -> None:
        """Add the columns of a table, of which only the requested ones are read."""
        selection = parameter.columns.select([*requested])
        if selection is not None and parameter.form not in data.UNREAD:
            self._tables.append((parameter, [str(name) for name in existing if str(name) not in selection]))

    def find(self, error: BaseException) -> tuple[Parameter, list[str]] | None:
        """Return the first table with unread columns that an exception is about, and these columns."""
        names = _list_names(error) if self._tables else frozenset()
        for parameter, unread in self._tables:
            if unread_names := [name for name in unread if name in names]:
                return parameter, unread_names
        return None

    def explain(self, error: BaseException, known_texts: Container[str]) -> str:
        """Return the reason and the fix for a researcher, who knows the texts in the source; empty if there is none."""
        match = self.find(error)
        used = [name for name in match[1] if name in known_texts] if match else []
        if match is None or not used:
            return ""
        fault = describe_unread(used)
        reason = f"the function uses {fault.columns}, which {fault.was} not requested"
        return f"; {reason}: annotate {fault.format(match[0])}"


class UnreadDescription(NamedTuple):
    """Parts of a message about unread columns."""

    names: list[str]

    @property
    def columns(self) -> str:
        """The columns: ``the column 'sex'``."""
        return f"the column{'' if len(self.names) == 1 else 's'} {', '.join(map(repr, self.names))}"

    @property
    def was(self) -> str:
        """The verb for these columns."""
        return "was" if len(self.names) == 1 else "were"

    def format(self, parameter: Parameter) -> str:
        """Return the parameter's annotation with the columns: ``data: Annotated[pd.DataFrame, Columns.of("sex")]``."""
        columns = ", ".join(f'"{name}"' for name in (*(parameter.columns.names or ()), *self.names))
        package, kind = next(annotation for annotation, form in data.FORMS.items() if form == parameter.form)
        label = "" if parameter.label is None else f'Database("{parameter.label}"), '
        table = f"Annotated[{_MODULES.get(package, package)}.{kind}, {label}Columns.of({columns})]"
        return f"{parameter.name}: dict[str, {table}]" if parameter.is_group else f"{parameter.name}: {table}"


def describe_unread(names: Iterable[str]) -> UnreadDescription:
    """Return the parts of a message about unread columns."""
    return UnreadDescription(list(names))


def _list_names(error: BaseException) -> frozenset[str]:
    """Return the names that a library of tables quotes in an exception; none for an exception of other code."""
    frames = traceback.extract_tb(error.__traceback__)
    parts = {type(error).__module__.partition(".")[0], *(PurePath(frames[-1].filename).parts if frames else ())}
    if parts.isdisjoint(_LIBRARIES):
        return frozenset()
    # The text of a KeyError is the representation of its argument, so the quotes of the argument are escaped.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    quoted = {name for match in _QUOTED.finditer(text) for name in match.groups() if name}
    return frozenset({text, *quoted, *filter(None, [getattr(error, "name", None)])})
