"""The results of many tasks of one method, as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from algotools.errors import AlgotoolsError, RunsFailed
from algotools.federation._answers import Answers, format_cell, format_html_table

if TYPE_CHECKING:
    import pandas as pd


_NOTES = ("missing", "error")
"""The last columns of a table, which exist only if a task has such a note."""


class Cell(NamedTuple):
    """One task of a grid."""

    arguments: Mapping[str, object]
    results: Answers
    """The result of each organization whose run completed; for a master, its only result."""
    error: Union[AlgotoolsError, None] = None
    """``RunsFailed`` if a run failed, ``RunsIncomplete`` if organizations are missing in the result.

    Any other error is that of the call: no node could run it.
    """
    missing: Sequence[str] = ()
    """The organizations whose data are missing in the result of a master."""
    number: Union[int, None] = None
    """The task's number in the history; None if it is not recorded."""
    is_reused: bool = False
    """Whether the results are those of an earlier task in the history."""


class Grid(list[Cell]):
    """The tasks of ``Federation.map``, in the order of the arguments.

    Args:
        cells: the tasks.
        role: the role of the method. A master has one result for each task, an rpc one for each organization.
        organizations: id and name of each organization.
    """

    def __init__(self, cells: Iterable[Cell], role: str | None, organizations: Mapping[int, str]) -> None:
        super().__init__(cells)
        self.role = role
        self.organizations = dict(organizations)
        """Id and name of each organization."""

    @property
    def results(self) -> list[Any]:
        """The result of each task: that of a master, or the ``Answers`` of all organizations; None if it failed."""
        return [None if cell.error else cell.results[0] if self.role == "master" else cell.results for cell in self]

    @property
    def errors(self) -> dict[int, AlgotoolsError]:
        """Position of a task that failed -> its error."""
        return {position: cell.error for position, cell in enumerate(self) if cell.error is not None}

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a row for each task of a master, or for each task and organization of an rpc.

        The columns are the arguments, ``organization`` for an rpc, and the result: a column for each key if results are
        dictionaries, otherwise ``result``. A failed run has its reason in ``error``, and a result without the data of
        organizations has their names in ``missing``. A key of a result that is also an argument has the prefix
        ``result.``.
        """
        names = list(dict.fromkeys(name for cell in self for name in cell.arguments))
        reserved = {*names, "organization", *_NOTES}
        rows: list[dict[str, Any]] = []
        for cell in self:
            start = {name: cell.arguments.get(name) for name in names}
            cell_rows = {id_: self._make_row(start, id_, result, reserved) for id_, result in cell.results.items()}
            if cell.error is not None:
                cell_rows |= self._make_failed_rows(start, cell.error)
            if cell.missing:
                cell_rows = {id_: {**row, "missing": ", ".join(cell.missing)} for id_, row in cell_rows.items()}
            rows += [cell_rows[id_] for id_ in sorted(cell_rows)]
        columns = dict.fromkeys(key for row in rows for key in row if key not in _NOTES)
        columns |= dict.fromkeys(key for key in _NOTES if any(key in row for row in rows))
        return [{key: row.get(key) for key in columns} for row in rows]

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame; see ``to_rows``."""
        import pandas as pd

        return pd.DataFrame(self.to_rows())

    def _make_row(self, start: Mapping[str, Any], id_: int, result: object, reserved: set[str]) -> dict[str, Any]:
        columns = result if isinstance(result, dict) else {"result": result}
        values = {f"result.{key}" if key in reserved else str(key): value for key, value in columns.items()}
        return {**start, **self._name_organization(id_), **values}

    def _make_failed_rows(self, start: Mapping[str, Any], error: AlgotoolsError) -> dict[int, dict[str, Any]]:
        if not isinstance(error, RunsFailed):
            return {0: {**start, "error": f"[{error.exit_code}] {error.message}"}}
        return {
            id_: {**start, **self._name_organization(id_), "error": f"[{failure.exit_code}] {failure.message}"}
            for id_, failure in error.failures.items()
        }

    def _name_organization(self, id_: int) -> dict[str, str]:
        return {} if self.role == "master" else {"organization": self.organizations[id_]}

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = self.to_rows()
        head = list(rows[0]) if rows else ["result"]
        return format_html_table(head, [["" if v is None else format_cell(v) for v in row.values()] for row in rows])
