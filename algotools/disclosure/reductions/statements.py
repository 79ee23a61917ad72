"""Evidence that the author states: for values that are already reduced, and for tables with a column of counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from algotools.disclosure.reductions.calls import explain_refusals
from algotools.disclosure.reductions.conversion import RowsRefused, to_numbers, to_rows
from algotools.disclosure.reductions.groups import add_label
from algotools.disclosure.register import Reduced, Register, get_register

Value = TypeVar("Value")


@explain_refusals
def declare(value: Value, /, *, records: int, parameters: int = 0) -> Value:
    """Return a value unchanged, and declare how many records are behind its numbers.

    Args:
        value: a value that is computed from all rows, such as coefficients, a gradient or a tree: numbers, arrays,
            tables, and lists and dicts of these.
        records: the number of records behind each number.
        parameters: the numbers of a model that are fitted to the records together.
    """
    register = get_register()
    for name, number in (("records", records), ("parameters", parameters)):
        if isinstance(number, bool) or not hasattr(number, "__index__") or number < 0:
            raise RowsRefused(f"has {name}= that is not a whole number")
    for numbers in list_numbers(value):
        register.add(Reduced("aggregate.declare", numbers, int(records), parameters=int(parameters), is_stated=True))
    return value


@explain_refusals
def derive(value: Value, /, *sources: Any) -> Value:
    """Return a value unchanged, and declare that its numbers are computed from numbers with evidence.

    A rounded mean or a quotient of two sums is a new number. It has the weakest evidence of its sources. If a number of
    the sources has no evidence, the value has none.

    Args:
        value: numbers, arrays, tables, and lists and dicts of these.
        sources: what the reductions have returned.
    """
    register = get_register()
    if not register.collects:
        return value
    numbers = [number for source in sources for part in list_numbers(source) for number in part[np.isfinite(part)]]
    origins = register.find_origins(numbers)
    if not origins:
        return value
    records = min(int(origin.records) for origin in origins)
    sets = {id(origin.record_set): origin.record_set for origin in origins}
    record_set = next(iter(sets.values())) if len(sets) == 1 else None
    most = max(origins, key=lambda origin: origin.parameters / max(origin.records, 1))
    for derived in list_numbers(value):
        register.add(
            Reduced(
                operation="aggregate.derive",
                numbers=derived,
                records=np.array([records]),
                # The parameters per record stay those of the source with the most.
                parameters=-(-most.parameters * records // max(most.records, 1)),
                largest_share=_find_largest([origin.largest_share for origin in origins]),
                two_largest_share=_find_largest([origin.two_largest_share for origin in origins]),
                columns=[tuple(dict.fromkeys(name for origin in origins for name in origin.columns))],
                find_record_set=lambda _: record_set,
                is_stated=True,
            )
        )
    return value


def _find_largest(shares: list[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)


@explain_refusals
def suppress(table: Any, /, records: str = "n") -> Any:
    """Return a table of groups without the rows that represent few records.

    Args:
        table: a table with one row per group, of pandas, Polars, Arrow, DuckDB or Ibis. A lazy table becomes one of
            pandas.
        records: the name of the column with the number of records of each row.
    """
    register = get_register()
    rows = to_rows(table)
    if not isinstance(rows, pd.DataFrame) or records not in rows.columns:
        raise RowsRefused("is not a table with the column that records= names")
    rows_records = to_numbers(rows[records]).fillna(0).to_numpy(dtype=float)
    is_shown = np.ones(len(rows), dtype=bool)
    if register.hides_cells:
        is_shown = ~((rows_records > 0) & (rows_records < register.minimum))
        register.count_withheld(int((~is_shown).sum()))
    visible_rows, counts = rows[is_shown], rows_records[is_shown].astype(int).tolist()
    columns = [visible_rows.iloc[:, i] for i in range(visible_rows.shape[1])]
    if not isinstance(visible_rows.index, pd.RangeIndex):
        columns += [visible_rows.index.get_level_values(i).to_series() for i in range(visible_rows.index.nlevels)]
    for column in columns:
        if pd.api.types.is_numeric_dtype(column.dtype):
            numbers = column.to_numpy(dtype=float, na_value=np.nan)
            number_records = np.array(counts, dtype=int)
            if column.name != records:
                number_records = _count_records_of_cells(register, numbers, number_records)
            register.add(Reduced("aggregate.suppress", numbers, number_records, is_stated=True))
            continue
        for value, count in zip(column.tolist(), counts, strict=True):
            add_label(register, "aggregate.suppress", value, count)
    return _filter(table, visible_rows, is_shown)


def _count_records_of_cells(register: Register, numbers: Any, records: Any) -> Any:
    """Return the records of a column of a group table: if all its numbers are cells, those of the cells.

    A largest or first value of each group is a cell, which represents its own records and not its group. A sum or a
    mean is a cell by chance only, and whole numbers up to the number of rows are mostly counts.
    """
    if not register.collects or register.tables is None or not len(numbers):
        return records
    most_rows = max((cells.count_rows() or 0 for cells in register.tables.list_cells()), default=0)
    present = numbers[np.isfinite(numbers)].tolist()
    if not all(number % 1 or abs(number) > most_rows for number in present):
        return records
    records_of_cells = register.tables.match_numbers(set(present)).numbers
    if not present or not records_of_cells.keys() >= set(present):
        return records
    return np.minimum(records, [records_of_cells.get(number, 0) for number in numbers.tolist()])


def _filter(table: Any, visible_rows: pd.DataFrame, is_shown: Any) -> Any:
    """Return the visible rows as a table of the same library; those of a lazy table as one of pandas."""
    library = type(table).__module__.partition(".")[0]
    if library == "polars" and type(table).__name__ == "DataFrame":
        return table.filter(is_shown)
    if library == "pyarrow" and type(table).__name__ == "Table":
        return table.filter(is_shown)
    return visible_rows


def list_numbers(value: Any) -> Iterator[Any]:
    """Yield the numbers in a value as arrays of float64."""
    if isinstance(value, (bool, str, bytes, type(None))):
        return
    if isinstance(value, (int, float, np.number)):
        yield np.array([value], dtype=float)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "iuf":
        yield value.astype(float).ravel()
    elif isinstance(value, (pd.Series, pd.DataFrame)):
        for column in [value] if isinstance(value, pd.Series) else (value.iloc[:, i] for i in range(value.shape[1])):
            if pd.api.types.is_numeric_dtype(column.dtype):
                yield column.to_numpy(dtype=float, na_value=np.nan)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from list_numbers(key)
            yield from list_numbers(item)
    elif isinstance(value, (list, tuple, np.ndarray)):
        items = list(value)
        if items and {int, float}.issuperset(map(type, items)):
            yield np.array(items, dtype=float)
            return
        for item in items:
            yield from list_numbers(item)
