"""A row with more fields than the header is found, wherever it is and whichever columns are requested."""

import csv
import io
import itertools
from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import data
from algotools.data import _csv_bits, _csv_scan
from algotools.data._csv_format import Dialect
from algotools.data._csv_scan import scan
from algotools.data.reading import check_again
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .forms import TABLES, to_lists

REASON = "a row has more fields than the header"
fields = st.text(st.sampled_from('ab,;"\n é'), max_size=4)


@given(
    st.lists(st.lists(fields, min_size=1, max_size=5), max_size=40),
    st.integers(1, 5),
    st.sampled_from([1, 2, 3, 7, 64, 100, 128, 1000]),
    st.integers(0, 3),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_the_widths_are_those_of_pythons_reader(tmp_path_factory, rows, width, block, skiprows, line_end, is_open):
    path = tmp_path_factory.getbasetemp() / "widths.csv"
    skipped = "".join(f"note {number}{',' * 9}\n" for number in range(skiprows))
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=line_end).writerows(rows)
    text = skipped + stream.getvalue()
    path.write_text(text.removesuffix(line_end) if is_open else text, encoding="utf-8", newline="")
    dialect = Dialect.from_database(Database("clinic", str(path), options={"SKIPROWS": str(skiprows)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_csv_scan, "_BLOCK", block)
        traits = scan(path, dialect, width=width)
    assert traits.has_long_rows == any(len(row) > width for row in rows)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_bits_are_counted_without_numpy_2(packed):
    counts = _csv_bits._count_bits(np.array(packed, np.uint64))
    assert counts.tolist() == [word.bit_count() for word in packed]


@pytest.mark.parametrize("separators", [255, 256, 257, 300])
@pytest.mark.parametrize("at", [0, 1000, 30_000])
def test_a_very_long_row_is_found(tmp_path, separators, at):
    path = tmp_path / "x.csv"
    rows = ["1,2,3\n"] * 60_000
    rows[at] = "," * separators + "\n"
    path.write_text("".join(rows), encoding="utf-8")
    assert scan(path, Dialect(), width=3).has_long_rows is True
    assert scan(path, Dialect(), width=separators + 1).has_long_rows is False


@pytest.mark.parametrize("values", ["6'1\",a", 'a "b" c,d'])
def test_rows_with_irregular_quotes_are_left_to_pandas(tmp_path, values):
    path = tmp_path / "x.csv"
    path.write_text(f"a,b\n{values}\n", encoding="utf-8")
    assert scan(path, Dialect(), width=2).has_long_rows is None


@pytest.mark.parametrize("text", ["a,b\r1,2,3\r", "a,b\r\n1,2\r3,4\r\n"])
def test_rows_that_a_carriage_return_ends_are_left_to_pandas(tmp_path, text):
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert scan(tmp_path / "x.csv", Dialect(), width=2).has_long_rows is None


def read(database: Database, form: str, columns: frozenset[str]) -> dict[str, list[object]]:
    """Return the values of the columns; a failure in a lazy form is explained as in a run."""
    with ExitStack() as stack:
        value = data.load(database, form, columns, stack).value
        try:
            return to_lists(form, value)
        except Exception as error:
            check_again(stack, error)
            raise


ROW = "3,61,Doe,70.5\n"
LONG_ROWS = {
    "an unquoted separator": "7,51,Doe, Jane,80.5\n",
    "a separator at the end": "7,51,Doe,80.5,\n",
    "after a quote": '7,51,"Doe, Jane",80.5,9\n',
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize(
    ("count", "long_row", "columns"),
    [
        *itertools.product([0, 100], LONG_ROWS, [{"id"}, {"weight"}, {"age", "weight"}, {"id", "age", "name"}]),
        *itertools.product([150_000], LONG_ROWS, [{"age", "weight"}]),  # several blocks of the file
    ],
)
def test_the_file_is_refused_whichever_columns_are_requested(tmp_path, form, count, long_row, columns):
    path = tmp_path / "x.csv"
    path.write_text("id,age,name,weight\n" + ROW + ROW * count + LONG_ROWS[long_row] + ROW * count, encoding="utf-8")
    with pytest.raises(DatabaseUnreadable, match=f"{REASON}|another number of fields") as caught:
        read(Database("clinic", str(path)), form, frozenset(columns))
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("id;age;name\r3;61;Doe\r7;51;Doe;x\r", {"SEP": ";"}),
        ("id,age,name\n3,61,a\\,b\n7,51,Doe,x\n", {"ESCAPECHAR": "\\"}),
        ("id,age,name\n# a,b,c,d,e\n3,61,Doe\n7,51,Doe,x\n", {"COMMENT": "#"}),
    ],
)
@pytest.mark.parametrize("form", ["pandas", "polars", "arrow"])
def test_unusual_files_are_checked_by_pandas(tmp_path, text, options, form):
    path = tmp_path / "x.csv"
    database = Database("clinic", str(path), options=options)
    good = text.replace("Doe;x", "Doe").replace("Doe,x", "Doe")
    path.write_text(good, encoding="utf-8", newline="")
    assert read(database, form, frozenset({"age"}))["age"] == [61, 51]
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(DatabaseUnreadable, match=REASON):
        read(database, form, frozenset({"age"}))
