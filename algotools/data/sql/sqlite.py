"""A stream of what SQLite has, whose columns have no types: their values have."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from algotools.data.sql.statement import quoted

_KINDS: tuple[tuple[frozenset[str], Any, str], ...] = (
    (frozenset(), pa.null(), "{}"),
    (frozenset({"integer"}), pa.int64(), "{}"),
    (frozenset({"integer", "real"}), pa.float64(), "CAST({} AS REAL)"),
    (frozenset({"integer", "real", "text"}), pa.string(), "CAST({} AS TEXT)"),
    (frozenset({"integer", "real", "text", "blob"}), pa.binary(), "CAST({} AS BLOB)"),
)
"""The kinds of values that a column has -> what it is to Arrow, and what makes it so."""


def kinds(name: str) -> str:
    """Asks for the kinds of values that a column has, as one text."""
    return f"group_concat(DISTINCT typeof({quoted(name)}))"


def of_kinds(found: str | None) -> tuple[Any, str]:
    """What a column is to Arrow, and what makes it so, with ``{}`` for its name."""
    there = set((found or "").split(",")) - {"null", ""}
    return next((arrow, made) for enough, arrow, made in _KINDS if there <= enough)
