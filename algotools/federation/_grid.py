"""The results of many tasks of one method, as one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from algotools.errors import AlgotoolsError, RunsFailed
from algotools.federation._answers import Answers, format_html_cell, format_html_table
from algotools.federation.result_tables import make_records
from algotools.runtime.logs import format_count

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
        """Return the results of all tasks as the rows of one table, as ``Answers.to_frame`` does for one task.

        The columns are the arguments, ``organization`` for an rpc, and the result:

        * Numbers, texts and lists: the column ``result``.
        * Mappings: a column for each key. The keys of nested mappings are joined: ``weights.age``.
        * Tables: a row for each of their rows, with a column for each level of its label.

        A failed run has one row, with its reason in ``error``. A result without the data of organizations has their
        names in ``missing``. An argument that has the name of another column has the prefix ``argument.``. A column of
        a result that has the name of an argument has the prefix ``result.``.
        """
        names = self._name_arguments()
        results = [(cell, id_, result) for cell in self for id_, result in cell.results.items()]
        # A missing result has a row without values, and does not change the columns of the others.
        is_empty = all(result is None for _, _, result in results)
        records = make_records(
            (position, result) for position, (_, _, result) in enumerate(results) if is_empty or result is not None
        )
        columns = records.list_columns([*names, *names.values(), "organization", *_NOTES], "result.")
        values: dict[int, list[dict[str, Any]]] = {}
        for record, position in enumerate(records.organizations):
            values.setdefault(position, []).append({name: cells[record] for name, cells in columns})
        rows: list[dict[str, Any]] = []
        position = 0
        for cell in self:
            start = {column: cell.arguments.get(name) for name, column in names.items()}
            note = {"missing": ", ".join(cell.missing)} if cell.missing else {}
            by_id: dict[int, list[dict[str, Any]]] = {}
            for id_ in cell.results.organizations:
                head = {**start, **self._name_organization(id_), **note}
                by_id[id_] = [{**head, **row} for row in values.get(position, [{}])]
                position += 1
            if cell.error is not None:
                by_id |= {id_: [row] for id_, row in self._make_failed_rows(start, cell.error).items()}
            rows += [row for id_ in sorted(by_id) for row in by_id[id_]]
        heads = dict.fromkeys(self.list_labels()) if rows else {}
        heads |= dict.fromkeys(name for name, _ in columns if results)
        heads |= dict.fromkeys(key for key in _NOTES if any(key in row for row in rows))
        return [{key: row.get(key) for key in heads} for row in rows]

    def list_labels(self) -> list[str]:
        """Return the first columns of the table, which name the task and the organization of a row."""
        names = list(self._name_arguments().values())
        has_organization = self.role != "master" and any(
            cell.results or isinstance(cell.error, RunsFailed) for cell in self
        )
        return [*names, "organization"] if has_organization else names

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame; see ``to_rows``."""
        import pandas as pd

        return pd.DataFrame(self.to_rows())

    def _name_arguments(self) -> dict[str, str]:
        """Return each argument and its column."""
        reserved_names = set(_NOTES) if self.role == "master" else {"organization", *_NOTES}
        names = dict.fromkeys(name for cell in self for name in cell.arguments)
        return {name: f"argument.{name}" if name in reserved_names else name for name in names}

    def _make_failed_rows(self, start: Mapping[str, Any], error: AlgotoolsError) -> dict[int, dict[str, Any]]:
        if not isinstance(error, RunsFailed):
            return {0: {**start, "error": f"[{error.exit_code}] {error.message}"}}
        return {
            id_: {**start, **self._name_organization(id_), "error": f"[{failure.exit_code}] {failure.message}"}
            for id_, failure in error.failures.items()
        }

    def _name_organization(self, id_: int) -> dict[str, str]:
        return {} if self.role == "master" else {"organization": self.organizations[id_]}

    def __repr__(self) -> str:
        failed = f", {len(self.errors)} failed" if self.errors else ""
        head = f"<grid of {format_count(len(self), 'task')}{failed}>"
        return f"{head}\n{self.to_frame()}" if self else head

    def _repr_html_(self) -> str:
        """Return the table that a notebook shows."""
        rows = self.to_rows()
        head = list(rows[0]) if rows else ["result"]
        return format_html_table(head, [[format_html_cell(value) for value in row.values()] for row in rows])
