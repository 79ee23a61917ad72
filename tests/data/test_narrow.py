"""In a large file, pandas' parser gets the requested columns only, and reads the same values as in the whole file."""

import itertools
import re
import threading
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from algotools import data
from algotools.data import _csv_selection
from algotools.data import csv as csv_files
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from ..conftest import examples
from .conftest import assert_same


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "LARGE", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("narrow")


_numbers = itertools.count()


def write_file(folder: Path, content: bytes) -> Path:
    path = folder / f"{next(_numbers)}.csv"
    path.write_bytes(content)
    return path


def read_with_arrow(path: Path, *columns: str, **keywords: Any) -> pd.DataFrame | None:
    """Read columns with Arrow and pandas' parser; None if pandas would have to read the whole file."""
    database = Database("default", str(path), options={name.upper(): value for name, value in keywords.items()})
    dialect = csv_files.Dialect.from_database(database)
    options = csv_files._make_pandas_options(dialect)
    names = list(pd.read_csv(path, nrows=0, **options).columns)
    positions = [position for position, name in enumerate(names) if name in columns]
    file = _csv_selection.ColumnSelection(path, dialect, names, positions)
    return _csv_selection.read_selection(file, options) if _csv_selection.is_worthwhile(file) else None


def assert_read_as_pandas(path: Path, columns: list[str], keywords: dict[str, Any], **options: str) -> None:
    """Assert that the options give the frame of ``pandas.read_csv`` with the keywords, or that both raise an error."""
    database = Database("default", str(path), "csv", options=options)
    try:
        reference = pd.read_csv(path, usecols=lambda name: name in columns, **keywords)
    except (ValueError, pd.errors.ParserError):
        with pytest.raises(DatabaseUnreadable):
            data.load(database, "pandas", frozenset(columns))
        return
    refusal, ours = "", None
    try:
        ours = data.load(database, "pandas", frozenset(columns)).value
    except DatabaseUnreadable as error:
        refusal = str(error)
    if ours is not None:
        assert_same(ours, reference)
    else:
        assert any(reason in refusal for reason in REFUSED_ON_PURPOSE), refusal


REFUSED_ON_PURPOSE = [
    "it is not in the encoding",  # pandas decodes the requested columns only
    "more than its header",  # pandas shifts the values by a column
    "more fields than the header",  # pandas refuses only if all columns are requested
    "set its option sep",  # pandas reads one column
    "end-of-file mark of DOS",  # pandas reads a row
    "null bytes",
]
"""Refusals of files that pandas reads wrongly, or differently for other columns."""


values = st.sampled_from([
    b"", b"1", b"2.5", b"x", b" y", b'" z"', b'"q,q"', b'"n\nn"', b'"d""d"', b'"c\rc"', b"NA", b'a"b', b'"e"f', b"007",
    b' "g,h"', b'\t"i"', b"\xc3\xa9", b"\0", b"a\0b", b"\xff", b'"', b'""', b'"""', b'"e"f"g', b"True", b"9" * 25,
    b"2024-01-02", b"\xef\xbb\xbf", b"0.1", b"1e400", b"3.0000000000000004",
])  # fmt: skip
heads = st.sampled_from([
    b"a", b"b", b"c", b"a", b"a.1", b"", b'"x,y"', b"Unnamed: 0", b"Unnamed: 1", b'"l\nm"', b" s", b'"q""q"', b"1",
    b"\xc3\xa9", b"NA",
])  # fmt: skip
fragments = st.sampled_from([
    b"a", b"1", b'"', b",", b"\n", b"\r", b"\r\n", b" ", b"\t", b"\0", b"\xef\xbb\xbf", b"\xc3\xa9", b'""', b",\n",
])  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table in which any part can be unusual."""
    width = draw(st.integers(2, 6))
    row = st.lists(values, min_size=width, max_size=width).map(b",".join)
    lines = [b",".join(draw(st.lists(heads, min_size=width, max_size=width))), *draw(st.lists(row, max_size=6))]
    unusual_lines = draw(st.lists(st.sampled_from([b"", b" ", b'""', b"x", b",", b'"', b",,,,,,,"]), max_size=1))
    for line in unusual_lines:
        lines.insert(draw(st.integers(0, len(lines))), line)
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + end.join(lines) + draw(st.sampled_from([b"", end]))


@given(
    content=st.one_of(tables(), st.lists(fragments, max_size=25).map(lambda parts: b"a,b,c\n" + b"".join(parts))),
    choice=st.data(),
)
def test_any_bytes_are_read_as_pandas_reads_them(folder, content, choice):
    path = write_file(folder, content)
    try:
        names = list(pd.read_csv(path, nrows=0).columns)
    except (ValueError, pd.errors.ParserError):
        return
    assert_read_as_pandas(path, choice.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)), {})


MISUNDERSTOOD = {
    "an empty line ended by a carriage return": b"a,b\n1,x\n\r,y\n",
    "the end of the file in quotes": b'a,b\n1,x\n2,"y\n3,z\n',
    "the end of the file in quotes, without a newline": b'a,b\n1,x\n2,"y',
    "spaces before the first quote": b'a,b\n "1,x"\n2,y\n',
    "a tab before the first quote of the header": b'\t"a,b",c,d\n1,2,3\n',
    "rows longer than the header": b"a,b\n1,2,3\n4,5,6\n",
    "one row too short": b"a,b,c\n1,2\n4,5,6\n",
    "a blank line of spaces": b"a,b\n1,2\n  \n4,5\n",
    "no rows": b"a,b\n",
    "nothing but a header, without a newline": b"a,b",
}


@pytest.mark.parametrize("content", MISUNDERSTOOD.values(), ids=MISUNDERSTOOD)
def test_a_file_that_arrow_interprets_differently_is_left_to_pandas(folder, content):
    path = write_file(folder, content)
    for name in pd.read_csv(path, nrows=0).columns:
        assert_read_as_pandas(path, [name], {})


PLAIN = {
    "numbers": b"a,b,c\n1,x,0.1\n2,y,3.0000000000000004\n",
    "quotes and newlines": b'a,b,c\n"say ""hi""","two\nlines",1\n"x,y",,2\n',
    "windows newlines": b"a,b,c\r\n1,x,y\r\n2,,z\r\n",
    "a byte order mark": b'\xef\xbb\xbf"a",b,c\n1,2,3\n',
    "names twice or none": b"a,a,,a\n1,2,3,4\n",
    "empty values first": b"a,b,c\n,1,2\n,,\n3,4,5\n",
    "an empty name beside the name that pandas would give it": b"Unnamed: 0,b,,d\n1,2,3,4\n",
    "no newline at the end": b"a,b,c\n1,2,3\n4,5,6",
    "a quote within a value": b'a,b,c\n5" pipe,x"y,"z"z\n1,2,3\n',
    "blank lines": b"a,b,c\n\n1,2,3\n\n\n4,5,6\n\n",
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_an_ordinary_file_is_read_with_arrow(folder, content):
    path = write_file(folder, content)
    for name in pd.read_csv(path).columns:
        frame = read_with_arrow(path, name)
        assert frame is not None
        assert_same(frame, pd.read_csv(path, usecols=[name]))


@pytest.mark.parametrize(
    ("content", "options", "keywords"),
    [
        ("a;b;c\n1,5;x;2\n-0,1;y;3\n", {"SEP": ";", "DECIMAL": ","}, {"sep": ";", "decimal": ","}),
        ("a\tb\tc\n1.000\tx, y\t2\n", {"SEP": "\\t", "DECIMAL": ",", "THOUSANDS": "."},
         {"sep": "\t", "decimal": ",", "thousands": "."}),
        ("a,b,c\n'x,y',1,2\nit''s,3,4\n", {"QUOTECHAR": "'"}, {"quotechar": "'"}),
        ('a,b,c\n"x,1,2\ny",3,4\n', {"QUOTECHAR": ""}, {"quoting": 3}),
        ("a,b,c\n-999,unknown,1\n2,x,-999\n", {"NA_VALUES": "-999,unknown"}, {"na_values": ["-999", "unknown"]}),
        ("é,ö,c\nñ,Ã©,1\n", {"ENCODING": "latin-1"}, {"encoding": "latin-1"}),
        ("é,ö,c\nñ,Ã©,1\n", {"ENCODING": "cp1252"}, {"encoding": "cp1252"}),
        ("é,ö,c\nñ,€,1\n", {"ENCODING": "utf-16"}, {"encoding": "utf-16"}),
        ("é,ö,c\nñ,€,1\n", {"ENCODING": "utf-8-sig"}, {"encoding": "utf-8-sig"}),
        ("made by hand\n\na,b,c\n1,2,3\n", {"SKIPROWS": "2"}, {"skiprows": 2}),
        ("#no\na,b,c\n1,2,3#x\n#4,5,6\n", {"COMMENT": "#"}, {"comment": "#"}),
        ("a,b,c\nx\\,y,1,2\n", {"ESCAPECHAR": "\\"}, {"escapechar": "\\"}),
    ],
)  # fmt: skip
def test_the_owners_options_have_the_effect_of_pandas_options(tmp_path, content, options, keywords):
    path = tmp_path / "database.csv"
    path.write_text(content, encoding=keywords.get("encoding", "utf-8"), newline="")
    names = list(pd.read_csv(path, nrows=0, **keywords).columns)
    assert_same(
        data.load(Database("d", str(path), options=options), "pandas", None).value, pd.read_csv(path, **keywords)
    )
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, count):
            assert_read_as_pandas(path, list(chosen), keywords, **options)


@pytest.mark.parametrize(
    ("options", "keywords"), [({}, {}), ({"DATE_FORMAT": "%d.%m.%Y"}, {"date_format": "%d.%m.%Y"})]
)  # fmt: skip
def test_dates_are_parsed_if_their_columns_are_requested(tmp_path, options, keywords):
    path = tmp_path / "database.csv"
    path.write_text("born,sex,died\n01.02.1950,f,\n31.12.1949,m,03.04.2020\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas cannot infer the format from the first date
        for chosen in (["born"], ["born", "sex"], ["sex"], ["born", "died"]):
            dates = [name for name in ("born", "died") if name in chosen]
            pandas_keywords = {**keywords, "parse_dates": dates} if dates else {}
            assert_read_as_pandas(path, chosen, pandas_keywords, PARSE_DATES="born,died", **options)


def test_a_missing_date_column_is_refused_and_only_the_owner_sees_its_name(tmp_path):
    path = tmp_path / "database.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatabaseUnreadable, match=re.escape("PARSE_DATES names 1 column(s) that it does")) as excinfo:
        data.load(Database("d", str(path), options={"PARSE_DATES": "a,Jane"}), "pandas", frozenset("b"))
    assert "Jane" not in str(excinfo.value)
    assert "Jane" in excinfo.value.detail


@pytest.mark.parametrize("width", [2, 3, 20, 33, 64, 127])
def test_a_column_changes_its_type_at_the_same_row_as_in_pandas(folder, width):
    """pandas derives the types per chunk, and the number of columns decides the number of rows in a chunk."""
    rows = 3 * 2**20 // width // 2
    unusual_values = {rows // 4: b"x"}
    filler = b"," * (width - 1)
    lines = (filler + unusual_values.get(i, b"%d" % i) + b"\n" for i in range(rows))
    path = write_file(folder, filler + b"a\n" + b"".join(lines))
    with pytest.warns(pd.errors.DtypeWarning):
        reference = pd.read_csv(path, usecols=["a"])
    with pytest.warns(pd.errors.DtypeWarning, match="mixed types"):
        ours = read_with_arrow(path, "a")
    assert ours is not None
    assert_same(ours, reference)


@pytest.mark.parametrize("block", [64, 100, 1000])
@settings(max_examples=examples(30))
@example(rows=[(b"1", b'"a\nb"')] * 50)
@given(rows=st.lists(st.tuples(st.sampled_from([b"1", b"", b"x"]), st.sampled_from([b'"a\nb"', b"", b'"""c"']))))
def test_the_boundaries_of_blocks_do_not_matter(block, folder, rows):
    path = write_file(folder, b"a,b,c\n" + b"".join(b"%s,%s,1\r\n" % row for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_csv_selection, "_BLOCK", block)
        for name in "abc":
            assert_read_as_pandas(path, [name], {})


def test_a_value_longer_than_a_block_is_read(folder):
    path = write_file(folder, b"a,b\n1,2\n3,%b\n" % (b"x" * 3 * _csv_selection._BLOCK))
    assert read_with_arrow(path, "a") is None
    assert_read_as_pandas(path, ["a"], {})
    assert_read_as_pandas(path, ["b"], {})


def test_no_thread_is_left_running(folder):
    before = threading.active_count()
    path = write_file(folder, b"a,b,c\n" + b"1,2,3\n" * 200_000 + b"4\n")
    assert_read_as_pandas(path, ["a"], {})
    assert threading.active_count() == before
