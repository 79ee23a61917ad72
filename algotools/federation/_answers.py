"""The results of a task that ``Federation.run`` returns, and the tables that notebooks show."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.federation.result_tables import make_records
from algotools.runtime.logs import format_count

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 100
"""Maximum number of characters of a cell in a notebook's table. A longer text is cut and ends with an ellipsis."""

MOST_ROWS = 100
"""Maximum number of rows of a notebook's table. A last row counts the others."""


class Answers(list[Any]):
    """The results of a task: one for each organization, in the order of the call.

    Args:
        results: the results.
        organizations: id and name of each organization, in the same order.
        task_id: the id of the task.
    """

    def __init__(self, results: Iterable[Any], organizations: Mapping[int, str], task_id: int | None = None) -> None:
        super().__init__(results)
        self.task_id = task_id
        """The id of the task, for instance for ``Federation.record``. None for results from the history."""
        self.organizations = dict(organizations)
        """Id and name of each organization, in the order of the results."""

    def items(self) -> list[tuple[int, Any]]:
        """Return organization id and result of each result, in the order of the results.

        The results that the caller has added to the list have no organization and are left out.
        """
        return list(zip(self.organizations, self, strict=False))

    def to_frame(self) -> pd.DataFrame:
        """Return the results of all organizations as one table, with the organizations' names in the index.

        * Numbers, texts and lists: the column ``result``.
        * Mappings: a row for each organization and a column for each key. The keys of nested mappings are joined:
          ``weights.age``.
        * Tables: the rows of all tables, with the labels of the rows as further levels of the index.

        A key, row or column that the result of an organization does not have is NaN.
        """
        import pandas as pd

        records = make_records(self.items())
        names = [self.organizations[id_] for id_ in records.organizations]
        if records.index_names:
            rows = [(name, *label) for name, label in zip(names, records.labels, strict=True)]
            index: pd.Index[Any] = pd.MultiIndex.from_tuples(rows, names=["organization", *records.index_names])
        else:
            index = pd.Index(names, name="organization")
        # A column is made by itself, so that its type depends on its own cells.
        cells = ([row[position] for row in records.rows] for position in range(len(records.columns)))
        frame = pd.DataFrame(dict(enumerate(cells)), index=index)
        if all(len(label) == 1 for label in records.columns):
            columns: pd.Index[Any] = pd.Index([label for (label,) in records.columns])
        else:
            columns = pd.MultiIndex.from_tuples(records.columns)
        frame.columns = columns
        return frame

    def _repr_html_(self) -> str:
        """Return the table of ``to_frame`` as a notebook shows it: nested keys and the rows of tables are not JSON."""
        # The caller may have changed this list. Additional results have no organization.
        ids = list(self.organizations) + [0] * (len(self) - len(self.organizations))
        records = make_records(zip(ids, self, strict=False))
        columns = records.list_columns(["organization"])
        is_bare = not records.index_names and list(records.columns) == [("result",)]
        names = {0: "", **{id_: f"{name} ({id_})" for id_, name in self.organizations.items()}}
        rows = [
            [names[id_], *(format_cell(cell) if is_bare else format_html_cell(cell) for cell in row)]
            for id_, row in zip(records.organizations, zip(*(cells for _, cells in columns), strict=True), strict=True)
        ]
        return format_html_table(["organization", *(name for name, _ in columns)], rows)


def format_cell(value: object) -> str:
    """Return a value as the short text of a cell."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def format_html_cell(value: object) -> str:
    """Return a value as the short text of a cell; empty for a missing one."""
    return "" if value is None else format_cell(value)


def format_html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in HTML, in the style of pandas' tables in notebooks."""

    def format_row(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{format_row('td', row)}</tr>" for row in rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        text = f"… {format_count(len(rows) - MOST_ROWS, 'more row')}"
        body += f'<tr><td colspan="{len(head)}">{text}</td></tr>'
    return f'<table class="dataframe"><thead><tr>{format_row("th", head)}</tr></thead><tbody>{body}</tbody></table>'
