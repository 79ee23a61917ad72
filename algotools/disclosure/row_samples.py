"""Copies of the tables of a run without a group of records, or in another order of rows.

A table is copied into memory once, so the groups are the same for each run, and a stream can be read again. The rows of
a group are random, but depend only on the number of records: a verdict can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, cast

if TYPE_CHECKING:
    import numpy as np

    from algotools.disclosure._cells import Cells
    from algotools.disclosure._lazy_cells import BatchCells

    Rows = np.ndarray[Any, Any]


class SampledTable(NamedTuple):
    """A table that a function has read."""

    name: str
    """The parameter of the function."""
    key: str | None
    """The key of the table, if the parameter is a dict of tables."""
    label: str
    """The label of the database."""
    form: str
    value: Any
    """The table as it was read, with the column of persons."""
    cells: Cells
    person: str | None
    """The column with the person of a row; None if each row is a record."""
    keeps_person: bool
    """Whether the function receives the column of persons."""


Tables = TypeVar("Tables", bound="AnyTables")


class AnyTables(Protocol):
    """The tables of one run on other rows; see ``tables.ReadTables``."""

    def add(self, label: str, form: str, value: object, person: str | None = None, *, keeps_person: bool) -> object:
        """Remember a table, and return the object that the function receives."""


class RowSamples(Generic[Tables]):
    """The tables of a run. Create the object before the run, because a function can change a DataFrame.

    Args:
        tables: the tables in the order of the function's parameters.
        most_cells: the most cells of all tables together. Larger tables are not read.
        stack: the resources of the run, such as its connection to DuckDB.
        create_tables: creates the object for the tables of a further run.
    """

    def __init__(
        self,
        tables: Sequence[SampledTable],
        most_cells: int,
        stack: ExitStack,
        create_tables: Callable[[], Tables],
    ) -> None:
        self._create_tables = create_tables
        self._tables = tables
        self._most_cells = most_cells
        self._stack = stack
        self._copies: dict[int, MemoryTable] = {}
        self._memory: list[MemoryTable | None] = []
        for position, table in enumerate(tables):
            if table.form == "pandas" and table.value.size <= most_cells:
                self._copies[position] = _PandasRows(table.value.copy(), table)
            elif table.form == "batches":
                cast("BatchCells", table.cells).keep_rows(most_cells)

    @property
    def names(self) -> list[str]:
        """The parameters for the tables."""
        return [table.name for table in self._tables]

    def load(self) -> int | None:
        """Copy the tables into memory; return the number of their cells if there are too many."""
        cells = sum((table.cells.count_rows() or 0) * len(table.cells.list_columns()) for table in self._tables)
        if cells > self._most_cells:
            return cells
        self._memory = [
            self._copies.get(position) or _load(table, self._stack) for position, table in enumerate(self._tables)
        ]
        return None

    @property
    def has_rows(self) -> bool:
        """Whether rows can be left out: not those of a path, which only the function reads."""
        return any(table is not None and len(table.persons) for table in self._memory)

    def select_groups(self, most_groups: int) -> Iterator[tuple[dict[str, object], Tables]]:
        """Yield for each group of records the tables without its rows, also by the names of the parameters."""
        import numpy as np

        group_count, groups = _make_groups([table for table in self._memory if table is not None], most_groups)
        for group in range(group_count):
            yield self._select(np.flatnonzero(rows != group) for rows in groups)

    def shuffle(self, seed: int) -> tuple[dict[str, object], Tables]:
        """Return the tables with their rows in a random order, also by the names of the parameters."""
        tables = [table for table in self._memory if table is not None]
        return self._select(_shuffle(len(table.persons), seed) for table in tables)

    def _select(self, selections: Iterator[Rows]) -> tuple[dict[str, object], Tables]:
        tables, values = self._create_tables(), dict[str, Any]()
        for table, read in zip(self._memory, self._tables, strict=True):
            value = read.value if table is None else table.make(next(selections))
            value = tables.add(read.label, read.form, value, read.person, keeps_person=read.keeps_person)
            if read.key is None:
                values[read.name] = value
            else:
                values.setdefault(read.name, {})[read.key] = value
        return values, tables


class MemoryTable:
    """A copy of a table in memory, with the column of persons.

    Args:
        rows: the copy.
        table: the table that was read.
        finish: converts the rows to the form of data that was read.
    """

    def __init__(self, rows: Any, table: SampledTable, finish: Callable[[Any], object] = lambda rows: rows) -> None:
        self._rows = rows
        self._finish = finish
        self.has_persons = table.person is not None
        self.persons: Sequence[Hashable] = range(len(rows))
        """The person of each row, or the number of the row."""
        if table.person is not None:
            self.persons = self._list_persons(table.person)

    def make(self, positions: Rows) -> object:
        """Return the rows at positions in the form of data that was read."""
        return self._finish(self._take(positions))

    def _take(self, positions: Rows) -> Any:
        return self._rows[positions]

    def _list_persons(self, name: str) -> list[Any]:
        return list(self._rows[name].to_list())


class _PandasRows(MemoryTable):
    """Rows of a DataFrame. A default index counts the rows again."""

    def _take(self, positions: Rows) -> Any:
        import pandas as pd

        index = self._rows.index
        rows = self._rows.iloc[positions]
        is_default = isinstance(index, pd.RangeIndex) and index.start == 0 and index.step == 1
        return rows.reset_index(drop=True) if is_default else rows.copy()

    def _list_persons(self, name: str) -> list[Any]:
        persons = self._rows[name].astype(object)
        return list(persons.where(persons.notna(), None))  # NaN is not equal to itself


class _PolarsRows(MemoryTable):
    """Rows of a DataFrame of Polars."""


class _ArrowRows(MemoryTable):
    """Rows of an Arrow table."""

    def _take(self, positions: Rows) -> Any:
        return self._rows.take(positions)

    def _list_persons(self, name: str) -> list[Any]:
        return list(self._rows.column(name).to_pylist())


def _load(table: SampledTable, stack: ExitStack) -> MemoryTable | None:
    """Copy a table into memory; None for a path or a description of a database."""
    value = table.value
    match table.form:
        case "polars":
            return _PolarsRows(value, table)
        case "lazy":
            return _PolarsRows(value.collect(), table, lambda rows: rows.lazy())
        case "arrow":
            return _ArrowRows(value, table)
        case "batches":
            return _ArrowRows(cast("BatchCells", table.cells).read_kept_rows(), table, lambda rows: rows.to_reader())
        case "duckdb":
            from algotools.data.forms import duckdb

            arrow = (getattr(value, "to_arrow_table", None) or value.fetch_arrow_table)()  # before DuckDB 1.4
            return _ArrowRows(arrow, table, lambda rows: duckdb.convert_arrow(rows, stack))
        case "ibis":
            from algotools.data.forms import ibis

            return _ArrowRows(value.to_pyarrow(), table, lambda rows: ibis.convert_arrow(rows, stack))
        case _:
            return None


def _make_groups(tables: Sequence[MemoryTable], most_groups: int) -> tuple[int, list[Rows]]:
    """Divide the records into random groups of nearly equal sizes.

    A table with fewer records than groups has one record in a group. The rows of a person are in the same group, also
    those in different tables.

    Returns:
        The number of groups, and for each table the group of each row.
    """
    import numpy as np

    numbers = _number_persons(table.persons for table in tables if table.has_persons)
    group_of_person = _draw_groups(len(numbers), most_groups)
    groups = [
        group_of_person[np.array([numbers[person] for person in table.persons], dtype=np.int64)]
        if table.has_persons
        else _draw_groups(len(table.persons), most_groups)
        for table in tables
    ]
    return max((int(rows.max()) + 1 for rows in groups if len(rows)), default=0), groups


def _number_persons(columns: Iterable[Sequence[Hashable]]) -> dict[Hashable, int]:
    numbers: dict[Hashable, int] = {}
    for column in columns:
        for person in column:
            numbers.setdefault(person, len(numbers))
    return numbers


def _draw_groups(count: int, most_groups: int) -> Rows:
    import numpy as np

    # RandomState, because its numbers are the same in all versions of numpy.
    return np.asarray(np.random.RandomState(count % 2**32).permutation(count) % most_groups)


def _shuffle(row_count: int, seed: int) -> Rows:
    """Return the positions of all rows in a random order, which differs from the original one if possible."""
    import numpy as np

    positions = np.random.RandomState([seed, row_count % 2**32]).permutation(row_count)
    if row_count > 1 and (positions == np.arange(row_count)).all():
        positions = np.roll(positions, 1)
    return np.asarray(positions)
