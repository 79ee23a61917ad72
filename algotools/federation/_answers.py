"""The results of a task that ``Federation.run`` returns, and the tables that notebooks show."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from algotools.federation.result_tables import make_records

if TYPE_CHECKING:
    import pandas as pd

WIDEST = 100
"""Maximum number of characters of a cell in a notebook's table. A longer text is cut and ends with an ellipsis."""

_NO_CELL = object()


class Answers(list[Any]):
    """The results of a task: one for each organization, in the order of the call.

    Args:
        results: the results.
        organizations: id and name of each organization, in the same order.
    """

    def __init__(self, results: Iterable[Any], organizations: Mapping[int, str]) -> None:
        super().__init__(results)
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
        """Return a table with a row for each organization. If all results are dictionaries, each key has a column."""
        keys = list(dict.fromkeys(key for result in self if isinstance(result, dict) for key in result))
        has_columns = bool(keys) and all(isinstance(result, dict) for result in self)
        names = [f"{name} ({id_})" for id_, name in self.organizations.items()]
        cells = [[result.get(key, _NO_CELL) for key in keys] if has_columns else [result] for result in self]
        # The caller may have changed this list. Additional results have no organization.
        names += [""] * (len(self) - len(names))
        rows = [[name, *map(format_cell, row)] for name, row in zip(names, cells, strict=False)]
        return format_html_table(["organization", *(keys if has_columns else ["result"])], rows)


def format_cell(value: object) -> str:
    """Return a value as the short text of a cell."""
    if value is _NO_CELL:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def format_html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in HTML, in the style of pandas' tables in notebooks."""

    def format_row(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{format_row('td', row)}</tr>" for row in rows)
    return f'<table class="dataframe"><thead><tr>{format_row("th", head)}</tr></thead><tbody>{body}</tbody></table>'
