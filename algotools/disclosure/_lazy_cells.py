"""The rows and texts of a lazy form: a LazyFrame, a relation of DuckDB, an Ibis table, a stream of Arrow's batches.

The cells are not in memory, so numbers are not searched. The engine itself counts rows and groups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from algotools.data.names import quote_name
from algotools.disclosure._cells import LARGEST_LEVEL_COUNT, Cells, Counts, count_texts_of_polars


class LazyCells(Cells):
    """The rows of a table of an engine, which need no order."""

    has_positions = False


class LazyFrameCells(LazyCells):
    """The rows of a LazyFrame."""

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(name, str(dtype)) for name, dtype in self._table.collect_schema().items()]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        import polars as pl

        return int(self._table.select(pl.len()).collect().item())

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        import polars as pl

        if self.person is None:
            return None
        return int(self._table.select(pl.col(self.person).n_unique()).collect().item())

    def count_rows_per_person(self) -> Any:
        """See ``Cells``."""
        import polars as pl

        if self.person is None:
            return None
        return self._table.group_by(self.person).agg(pl.len().alias("rows")).collect()["rows"].to_numpy()

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        return count_texts_of_polars(self._table, self.person, texts)

    def _drop_person(self) -> Any:
        return self._table.drop(self.person)


class DuckDBCells(LazyCells):
    """The rows of a relation of DuckDB."""

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(name, str(kind)) for name, kind in zip(self._table.columns, self._table.types, strict=True)]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return int(self._table.aggregate("count(*)").fetchall()[0][0])

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        if self.person is None:
            return None
        return int(self._table.aggregate(f"count(DISTINCT {quote_name(self.person)})").fetchall()[0][0])

    def count_rows_per_person(self) -> Any:
        """See ``Cells``."""
        if self.person is None:
            return None
        return self._table.aggregate("count(*) AS rows", quote_name(self.person)).fetchnumpy()["rows"]

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        measure = "count(*)" if self.person is None else f"count(DISTINCT {quote_name(self.person)})"
        for name, kind in self.list_columns():
            if kind != "VARCHAR" and not kind.startswith(("ENUM", "DATE", "BOOL", "UUID")):
                continue
            column = quote_name(name)
            levels = self._table.filter(f"{column} IS NOT NULL").aggregate(
                f"{column}::VARCHAR AS level, {measure} AS records", column
            )
            level_count = int(levels.aggregate("count(*)").fetchall()[0][0])
            if level_count > LARGEST_LEVEL_COUNT:
                literals = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
                levels = levels.filter(f"level IN ({literals})")
            if counts := {str(level): int(records) for level, records in levels.fetchall()}:
                yield name, level_count, counts

    def _drop_person(self) -> Any:
        names = (quote_name(name) for name in self._table.columns if name != self.person)
        return self._table.project(", ".join(names))


class IbisCells(LazyCells):
    """The rows of an Ibis table. The database counts them."""

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(name, str(dtype)) for name, dtype in self._table.schema().items()]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return int(self._table.count().to_pyarrow().as_py())

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        return None if self.person is None else int(self._table[self.person].nunique().to_pyarrow().as_py())

    def count_rows_per_person(self) -> Any:
        """See ``Cells``."""
        if self.person is None:
            return None
        groups = self._table.group_by(self.person).aggregate(algotools_rows=self._table.count()).to_pyarrow()
        return groups.column("algotools_rows").to_numpy()

    def count_texts(self, texts: Collection[str]) -> Iterator[tuple[str, int, Counts]]:
        """See ``Cells``."""
        for name, dtype in self._table.schema().items():
            if not dtype.is_string():
                continue
            level_count = int(self._table[name].nunique().to_pyarrow().as_py())
            rows = self._table.filter(self._table[name].notnull())
            if level_count > LARGEST_LEVEL_COUNT:
                rows = rows.filter(rows[name].isin(list(texts)))
            measure = rows.count() if self.person is None else rows[self.person].nunique()
            groups = rows.group_by(name).aggregate(algotools_records=measure).to_pyarrow()
            if counts := dict(
                zip(groups.column(name).to_pylist(), groups.column("algotools_records").to_pylist(), strict=True)
            ):
                yield name, level_count, counts

    def _drop_person(self) -> Any:
        return self._table.drop(self.person)


class BatchCells(LazyCells):
    """The rows of a stream of batches, counted while the function reads them."""

    is_stream = True

    def __init__(self, table: Any, person: str | None = None) -> None:
        super().__init__(table, person)
        self._row_count = 0
        self._persons: set[Any] | None = None if person is None else set()
        self._kept_batches: list[Any] = []
        self._most_kept_cells = 0

    def keep_rows(self, most_cells: int) -> None:
        """Keep the rows while the function reads them, up to a number of cells."""
        self._most_kept_cells = most_cells

    def read_kept_rows(self) -> Any:
        """Return the rows that were kept, as an Arrow table."""
        import pyarrow as pa

        return pa.Table.from_batches(self._kept_batches, self._table.schema)

    def get_value(self, *, drop_person: bool) -> Any:
        """See ``Cells``."""
        import pyarrow as pa

        dropped = self.person if drop_person else None
        schema = self._table.schema
        if dropped is not None:
            schema = schema.remove(schema.get_field_index(dropped))
        return pa.RecordBatchReader.from_batches(schema, self._count(dropped))

    def _count(self, dropped: str | None) -> Iterator[Any]:
        for batch in self._table:
            self._row_count += len(batch)
            if self._row_count * batch.num_columns <= self._most_kept_cells:
                self._kept_batches.append(batch)
            if self._persons is not None:
                self._persons.update(batch.column(self.person).unique().to_pylist())
            yield batch if dropped is None else batch.drop_columns([dropped])

    def list_columns(self) -> list[tuple[str, str]]:
        """See ``Cells``."""
        return [(field.name, str(field.type)) for field in self._table.schema]

    def count_rows(self) -> int | None:
        """See ``Cells``."""
        return self._row_count

    def count_persons(self) -> int | None:
        """See ``Cells``."""
        return None if self._persons is None else len(self._persons)


MAKE_LAZY_CELLS: dict[str, Callable[[Any, str | None], Cells]] = {
    "lazy": LazyFrameCells,
    "duckdb": DuckDBCells,
    "ibis": IbisCells,
    "batches": BatchCells,
}
"""Lazy form of data -> the class of its cells."""
