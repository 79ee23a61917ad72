"""A log of many lines: the facts are those of a pass over all cells, and a large table is not read for each line."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools.disclosure import _line_index
from algotools.disclosure._cells import MAKE_CELLS
from algotools.disclosure.tables import ReadTables

DRAW = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {
        "person": [f"p{i // 3}" for i in range(300)],
        "level": DRAW.integers(0, 9, 300),
        "measure": np.append(DRAW.normal(50, 9, 298).round(2), [np.nan, -0.0]),
        "nothing": np.full(300, np.nan),
        "name": [f"Person {i}" for i in range(300)],
        "sex": ["male", "female"] * 150,
    }
)
MAKE: dict[str, Any] = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "arrow": pa.Table.from_pandas}


@pytest.mark.parametrize("person", [None, "person"])
@pytest.mark.parametrize("form", MAKE)
@pytest.mark.parametrize("most_values", [0, 1 << 16])
def test_the_index_finds_what_a_pass_over_all_cells_finds(
    form: str, person: str | None, most_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_line_index, "_MOST_VALUES", most_values)
    table = MAKE[form](FRAME)
    numbers = [*range(-1, 11), *FRAME["measure"].dropna().iloc[::7], FRAME["measure"].max(), 0.123]
    many = ReadTables()
    many.add("default", form, table, person)
    for number in numbers:
        once = ReadTables()
        once.add("default", form, table, person)
        line = f"value {number} of Person {number}, male"
        assert many.match_line(line, ()) == once.match_line(line, ())
    assert many._tables[0].cells.get_index(1) is not None


@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_a_search_for_many_numbers_makes_no_index(form: str) -> None:
    cells = MAKE_CELLS[form](MAKE[form](FRAME), None)
    assert [cells.get_index(10**6) for _ in range(20)] == [None] * 20


def test_a_thousand_lines_of_a_large_table_take_less_than_a_hundred_passes() -> None:
    frame = pd.DataFrame({f"x{i}": DRAW.normal(size=100_000) for i in range(10)})
    frame["name"] = [f"Person {i}" for i in range(len(frame))]
    tables = ReadTables()
    tables.add("default", "pandas", frame)
    start = time.perf_counter()
    tables.match_line("step 0, loss 0.5", ())
    one = time.perf_counter() - start
    for step in range(1000):
        tables.match_line(f"step {step}, loss {1 / (step + 3)}", ())
    assert time.perf_counter() - start < 100 * one
