"""The answers of several organizations, as a list that a notebook shows as a table."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDEST = 100
"""Characters of a cell; what is longer ends with an ellipsis."""


class Answers(list[Any]):
    """One answer for each organization, in the order in which they were asked.

    Args:
        answers: the answers.
        organizations: id and name of each, in the same order.
    """

    def __init__(self, answers: Iterable[Any], organizations: Mapping[int, str]) -> None:
        super().__init__(answers)
        self.organizations = dict(organizations)
        """Id and name of each organization, in the order of the answers."""

    def _repr_html_(self) -> str:
        """A row for each organization; answers that are all dictionaries have a column for each key."""
        keys = list(dict.fromkeys(key for answer in self if isinstance(answer, dict) for key in answer))
        apart = bool(keys) and all(isinstance(answer, dict) for answer in self)
        names = [f"{name} ({id_})" for id_, name in self.organizations.items()]
        cells = [[answer.get(key, _NOTHING) for key in keys] if apart else [answer] for answer in self]
        # Whoever has changed the list has answers of nobody we know.
        names += [""] * (len(self) - len(names))
        rows = [[name, *map(_shown, row)] for name, row in zip(names, cells, strict=False)]
        return table(["organization", *(keys if apart else ["answer"])], rows)


_NOTHING = object()


def _shown(value: object) -> str:
    if value is _NOTHING:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in HTML, dressed as notebooks dress those of pandas."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<table class="dataframe"><thead><tr>{line("th", head)}</tr></thead><tbody>{body}</tbody></table>'
