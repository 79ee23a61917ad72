"""Write the table of patients that ``data.py`` reads, as CSV and as Parquet; runs in our environment.

Arguments: the CSV file, the Parquet file, the number of rows. Twenty columns as registries have them: texts of which
some need quotes, whole numbers, decimals of a laboratory, numbers of 17 digits, a date, empty cells. The column that is
asked for, ``age``, is the tenth, and of whole numbers, so that no order of adding changes its sum. Always the same
rows.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import parquet

AT_ONCE = 1_000_000
"""Rows that are in memory at once."""

DIAGNOSES = np.array(["C50.9", "E11", "I10", "I21.4", "J44.1", "N18.3"])
NOTES = np.array(["seen again", "moved", "in care, see letter", 'says "better"', "no complaints", "by telephone"])
TREATMENTS = np.array(["none", "surgery", "drug a", "drug b", "radiation"])
UNITS = np.array(["north", "south", "east", "west"])


def some(numbers: np.random.Generator, values: Any, share: float) -> pa.Array:
    """The values, a share of them missing."""
    return pa.array(values, mask=numbers.random(len(values)) < share)


def rows(first: int, count: int) -> pa.Table:
    """So many rows, of which the first has this number."""
    numbers = np.random.default_rng([1, first])

    def of(texts: Any) -> Any:
        return texts[numbers.integers(0, len(texts), count)]

    def laboratory(middle: float) -> Any:
        return np.round(numbers.normal(middle, middle / 5, count), 3)

    days = np.datetime64("2015-01-01") + numbers.integers(0, 3650, count)
    return pa.table({
        "patient": pa.array([f"p{number:08}" for number in range(first, first + count)]),
        "sex": pa.array(of(np.array(["f", "m"]))),
        "site": numbers.integers(1, 40, count),
        "diagnosis": some(numbers, of(DIAGNOSES), 0.02),
        "admitted": pa.array(days.astype("datetime64[D]")),
        "glucose": some(numbers, laboratory(95), 0.05),
        "creatinine": some(numbers, laboratory(1.1), 0.05),
        "risk": numbers.normal(0, 1, count),
        "smokes": numbers.integers(0, 2, count),
        "age": some(numbers, numbers.integers(18, 95, count), 0.03),
        "note": some(numbers, of(NOTES), 0.3),
        "sodium": laboratory(140),
        "weight": laboratory(75),
        "score": numbers.normal(50, 10, count),
        "change": numbers.normal(0, 1, count),
        "visits": numbers.integers(0, 30, count),
        "days": numbers.integers(0, 3000, count),
        "treatment": pa.array(of(TREATMENTS)),
        "unit": pa.array(of(UNITS)),
        "alive": numbers.integers(0, 2, count),
    })  # fmt: skip


def main() -> None:
    """Write both, a part of the rows after the other."""
    csv, columns, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with csv.open("wb") as file, parquet.ParquetWriter(columns, rows(0, 1).schema) as writer:
        for first in range(0, count, AT_ONCE):
            part = rows(first, min(AT_ONCE, count - first))
            writer.write_table(part)
            pl.from_arrow(part).write_csv(file, include_header=first == 0)


main()
