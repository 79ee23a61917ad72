"""A value in a function's source that consists of data of single records."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Literal, NamedTuple

ValueKind = Literal[
    "table", "matrix", "rows", "transposed", "element", "few", "extreme", "groups", "windows", "indexer", "items",
    "container",
]  # fmt: skip
"""``table``: rows with named columns; ``matrix`` and ``rows``: an array, a column or a list with an entry for each
record; ``element``: such an entry; ``few``: a few records, or a statistic of them; ``extreme``: a minimum, maximum or
quantile. The others are parts of expressions: a grouped table, ``.loc``, ``.items()``, a list or dict."""

ROW_KINDS = frozenset({"table", "matrix", "rows", "transposed"})
UNFINISHED = ("indexer", "items", "windows", "groups")
"""The kinds of parts of expressions, which are not data themselves."""

_SEVERITY = (*UNFINISHED, "extreme", "few", "element", "transposed", "rows", "matrix", "table")


class DataValue(NamedTuple):
    """The value of an expression, if it consists of data of single records."""

    kind: ValueKind
    node: ast.expr
    """The expression that has made it."""
    inner: DataValue | None = None
    """The content of a container, and the owner of ``.loc`` and ``.items()``."""

    @property
    def content(self) -> DataValue:
        """The value itself, or the content of containers."""
        return self.inner.content if self.kind == "container" and self.inner else self

    @property
    def is_rows(self) -> bool:
        """Whether the value has an entry for each record."""
        return self.kind in ROW_KINDS

    @property
    def is_data(self) -> bool:
        """Whether the value is data, and not a part of an expression that computes something from data."""
        return self.content.kind not in UNFINISHED


OptionalValue = DataValue | None


def join(values: Sequence[OptionalValue]) -> OptionalValue:
    """Return the value that reveals most; None if no value is known to be data."""
    present = [value for value in values if value is not None]
    return max(present, key=lambda value: _SEVERITY.index(value.content.kind), default=None)


def contain(node: ast.expr, values: Sequence[OptionalValue]) -> OptionalValue:
    """Return the value of a list or dict with these items."""
    value = join(values)
    return None if value is None else DataValue("container", node, value.content)
