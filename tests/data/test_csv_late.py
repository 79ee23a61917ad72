"""A CSV file whose last rows do not have the types of its first rows is refused, also while the function reads it."""

from __future__ import annotations

import codecs
import random
import re
from typing import Any

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Federation, rpc
from algotools.data import _csv_scan
from algotools.data._csv_format import Dialect
from algotools.errors import DatabaseUnreadable, FunctionRaised, RunsFailed
from algotools.task import Database

from .forms import TABLES, read


@rpc
def lazy(data: pl.LazyFrame) -> int:
    return data.select(pl.col("n").sum()).collect().item()


@rpc
def lazy_result(data: pl.LazyFrame) -> Any:
    return data.select(pl.col("n").sum())


@rpc
def lazy_in_another_error(data: pl.LazyFrame) -> int:
    try:
        return data.select(pl.col("n").sum()).collect().item()
    except pl.exceptions.PolarsError:
        raise ValueError("no sum") from None


@rpc
def batches(data: pa.RecordBatchReader) -> int:
    return sum(batch["n"].to_pandas().sum() for batch in data)


@rpc
def batches_in_polars(data: pa.RecordBatchReader) -> int:
    return pl.DataFrame(data)["n"].sum()


@rpc
def batches_in_duckdb(data: pa.RecordBatchReader) -> int:
    return duckdb.connect().from_arrow(data).sum("n").fetchall()[0][0]


@rpc
def relation(data: duckdb.DuckDBPyRelation) -> int:
    return data.sum("n").fetchall()[0][0]


@rpc
def relation_as_result(data: duckdb.DuckDBPyRelation) -> Any:
    return data.aggregate("sum(n) as n")


@rpc
def expression(data: ibis.Table) -> int:
    return data.n.sum().to_pyarrow().as_py()


@rpc
def frame(data: pd.DataFrame) -> str:
    return str(data["n"].iloc[-1])


@rpc
def broken(data: pl.LazyFrame) -> int:
    return data.select(pl.col("m").sum()).collect().item()


LAZY = [
    lazy, lazy_result, lazy_in_another_error, batches, batches_in_polars, batches_in_duckdb, relation,
    relation_as_result, expression,
]  # fmt: skip


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("late") / "x.csv"
    path.write_text("id,n\n" + "".join(f"{i},{i % 90}\n" for i in range(150_000)) + "7,secret\n", encoding="utf-8")
    with Federation([str(path)], algorithm=[*LAZY, frame, broken]) as federation:
        yield federation


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ibis calls what DuckDB will remove
@pytest.mark.parametrize("function", LAZY, ids=lambda function: function.__name__)
def test_a_late_value_is_a_fault_of_the_database_and_not_of_the_function(federation, function):
    with pytest.raises(RunsFailed) as caught:
        federation.run(function)
    [failure] = caught.value.failures.values()
    assert failure.exit_code == DatabaseUnreadable.exit_code
    assert "below the first 1 MiB" in failure.message
    assert "option dtype" in failure.message
    assert "secret" not in failure.message


def test_a_form_in_memory_reads_the_late_value(federation):
    assert federation.run(frame) == ["secret"]


@pytest.mark.parametrize("form", TABLES)
def test_late_quoted_numbers_are_numbers_and_late_quoted_missing_values_are_missing(tmp_path, form):
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n" + "1,1.5,x\n" * 150_000 + '"2","2.5","y"\n"NA","","NA"\n"-9","-9.0",""\n')
    columns = read(Database("clinic", str(path), options={"NA_VALUES": "-9"}), form)
    assert [column[-4:] for column in columns.values()] == [
        [1, 2, None, None], [1.5, 2.5, None, None], ["x", "y", None, None]
    ]  # fmt: skip


def test_another_failure_of_the_library_is_the_function_s(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,n\n1,2\n3,4\n", encoding="utf-8")
    with (
        Federation([str(path)], algorithm=[broken]) as federation,
        pytest.raises(RunsFailed) as caught,
    ):
        federation.run(broken)
    assert [failure.exit_code for failure in caught.value.failures.values()] == [FunctionRaised.exit_code]


# --- The scan finds a trait wherever it is in the file. ---

PIECES = [
    "a",
    "1",
    ",",
    ",",
    '"',
    '"',
    '""',
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\n\n",
    "0x1",
    "X0X2",
    "é",
    "\0",
    ',"a,b"\n',
]


WIDTH = 3


def find_traits(data: bytes) -> _csv_scan.Traits:
    """Find the traits of a file byte by byte."""
    text = b"\n" + data + b"\n"
    is_open = irregular = newline = blank = False
    fields, widths = [b""], []
    for before, byte, after in zip(text, text[1:], text[2:], strict=False):
        if byte == ord('"'):
            irregular |= (after if is_open else before) not in b'",\n\r'
            is_open = not is_open
        newline |= is_open and byte in b"\n\r"
        if byte == ord("\n") and not is_open:
            widths.append(len(fields))
            blank |= not b",".join(fields).strip(b" \t\r")
            fields = [b""]
        elif byte == ord(",") and not is_open:
            fields.append(b"")
        else:
            fields[-1] += bytes([byte])
    if fields != [b""]:
        widths.append(len(fields))
        blank |= not b",".join(fields).strip(b" \t\r")
    lone = re.search(rb"\r[^\n]", data + b"x") is not None
    return _csv_scan.Traits(
        has_quotes=b'"' in data,
        has_irregular_quotes=irregular or is_open,
        has_quoted_newlines=newline,
        has_blank_lines=blank,
        has_lone_returns=lone,
        has_mixed_line_ends=b"\r\n" in data and re.search(rb"(?<!\r)\n", data) is not None,
        has_nulls=b"\0" in data,
        has_hexadecimals=re.search(rb"(?<![0-9A-Za-z])0[xX]", data) is not None,
        has_long_rows=max(widths, default=0) > WIDTH,
    )


@given(
    st.lists(st.sampled_from(PIECES), max_size=40),
    st.randoms(use_true_random=False),
    st.sampled_from([1, 3, 64, 65, 100, _csv_scan._FIRST_BLOCK]),
)
def test_the_scan_finds_the_traits_in_any_block(tmp_path_factory, pieces, numbers: random.Random, size: int):
    path = tmp_path_factory.getbasetemp() / "scanned.csv"
    filler = ("a\n" * numbers.randint(size // 2 - 10, size // 2)).encode()
    for start in (b"", codecs.BOM_UTF8):
        for data in ("".join(pieces).encode(), filler + "".join(pieces).encode()):
            path.write_bytes(start * (size >= len(start)) + data)
            expected = find_traits(data)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_csv_scan, "_BLOCK", size)
                traits = _csv_scan.scan(path, Dialect(), width=WIDTH)
            assert traits.has_lone_returns == expected.has_lone_returns
            if expected.has_irregular_quotes or expected.has_lone_returns:
                assert traits.has_irregular_quotes or traits.has_lone_returns
                continue
            if not expected.has_blank_lines and re.search(rb"\n[ \t]*\r?\n", b"\n" + data + b"\n"):
                expected = expected._replace(has_blank_lines=traits.has_blank_lines)  # it is in a quoted text
            assert traits == expected
