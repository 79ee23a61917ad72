"""The query that a database is asked, and the part of it that a function needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from algotools.data.reading import Unfit
from algotools.errors import InputError
from algotools.task import Database

WRAPPED = ("postgresql", "sqlite", "duckdb")
"""Where the order of a query's rows, and every value, is the same of a query that has it inside.

MariaDB, for one, forgets an inner ``ORDER BY``; so of other databases all columns are read.
"""


def query_of(database: Database, quote: Callable[[str], str]) -> str:
    """The query, without what ends a statement: the task's own if it gives one, else the owner's.

    The owner's is ``QUERY``, or a whole ``TABLE``: ``table`` or ``schema.table``. ``quote`` writes a name as the
    database takes it.

    Raises:
        InputError: there is none.
    """
    if query := database.query or database.options.get("QUERY"):
        return _ENDING.sub("", query.strip())
    if table := database.options.get("TABLE"):
        return f"SELECT * FROM {'.'.join(quote(name.strip()) for name in table.split('.'))}"  # noqa: S608  # the owner's
    raise InputError(
        f"database {database.label!r} is of type 'sql' and the task gives no query for it; give one: with the label of "
        'the database ({"label": …, "query": "SELECT …"}), or as the argument `query` of an extraction; or the node\'s '
        "owner configures one for all tasks, beside the database's URI, as `query`, or a whole table as `table`"
    )


_ENDING = re.compile(r"(?:\s|;(?:\s*--[^\n'\"]*)?)+\Z")
"""What ends a statement, and a comment after that."""


def select(query: str, wanted: Iterable[str] = ("*",), rest: str = "") -> str:
    """A query for some columns of a query; a comment at its end ends with its line."""
    return f"SELECT {', '.join(wanted)} FROM (\n{query}\n) AS t{rest}"  # noqa: S608  # a query of the task's; nobody's right to write goes with it


def quoted(name: str) -> str:
    """A name as standard SQL has it, and all of ``WRAPPED``."""
    return '"' + name.replace('"', '""') + '"'


def picked(names: Sequence[str], columns: Collection[str] | None) -> list[str]:
    """The asked columns, in the query's order; if there are none, one that has the number of rows."""
    asked = [name for name in names if columns is None or name in columns]
    return asked or [name for name in names if names.count(name) == 1][:1] or list(names)


def single(asked: list[str]) -> list[str]:
    """The asked columns, where each must have a name of its own."""
    if len(set(asked)) < len(asked):
        raise Unfit("its query gives two columns of one name; give each a name of its own, with AS")
    return asked


def renamed(names: Iterable[str]) -> bool:
    """Whether names are such as SQLite makes up where two columns of an inner query have one name."""
    return any(re.search(r":\d+$", name) for name in names)
