"""Of a large file pandas' parser gets the asked columns only, and makes of them what it makes of them in the file."""

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
from algotools.data import csv as csv_files
from algotools.data import narrow
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .conftest import same


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "LARGE", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("narrow")


_numbers = itertools.count()


def written(folder: Path, content: bytes) -> Path:
    path = folder / f"{next(_numbers)}.csv"
    path.write_bytes(content)
    return path


def narrowed(path: Path, *columns: str, **words: Any) -> pd.DataFrame | None:
    """What comes of it if pandas is not asked for the file itself."""
    database = Database("default", str(path), options={name.upper(): told for name, told in words.items()})
    dialect = csv_files.Dialect.of(database)
    words = csv_files._words(dialect)
    names = list(pd.read_csv(path, nrows=0, **words).columns)
    file = narrow.Narrow(path, dialect, names, [place for place, name in enumerate(names) if name in columns])
    return narrow.read(file, words) if narrow.fits(file) else None


def check(path: Path, columns: list[str], words: dict[str, Any], **options: str) -> None:
    """Ours is what pandas gives for the same words, or neither gives anything."""
    database = Database("default", str(path), "csv", options=options)
    try:
        reference = pd.read_csv(path, usecols=lambda name: name in columns, **words)
    except (ValueError, pd.errors.ParserError):
        with pytest.raises(DatabaseUnreadable):
            data.load(database, "pandas", frozenset(columns))
        return
    same(data.load(database, "pandas", frozenset(columns)).value, reference)


values = st.sampled_from([
    b"", b"1", b"2.5", b"x", b" y", b'" z"', b'"q,q"', b'"n\nn"', b'"d""d"', b'"c\rc"', b"NA", b'a"b', b'"e"f', b"007",
    b' "g,h"', b'\t"i"', b"\xc3\xa9", b"\0", b"a\0b", b"\xff", b'"', b'""', b'"""', b'"e"f"g', b"True", b"9" * 25,
    b"2024-01-02", b"\xef\xbb\xbf", b"0.1", b"1e400", b"3.0000000000000004",
])  # fmt: skip
heads = st.sampled_from([
    b"a", b"b", b"c", b"a", b"a.1", b"", b'"x,y"', b"Unnamed: 0", b"Unnamed: 1", b'"l\nm"', b" s", b'"q""q"', b"1",
    b"\xc3\xa9", b"NA",
])  # fmt: skip
bits = st.sampled_from([
    b"a", b"1", b'"', b",", b"\n", b"\r", b"\r\n", b" ", b"\t", b"\0", b"\xef\xbb\xbf", b"\xc3\xa9", b'""', b",\n",
])  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A table, mostly: any of it may be odd."""
    width = draw(st.integers(2, 6))
    row = st.lists(values, min_size=width, max_size=width).map(b",".join)
    lines = [b",".join(draw(st.lists(heads, min_size=width, max_size=width))), *draw(st.lists(row, max_size=6))]
    odd = draw(st.lists(st.sampled_from([b"", b" ", b'""', b"x", b",", b'"', b",,,,,,,"]), max_size=1))
    for line in odd:
        lines.insert(draw(st.integers(0, len(lines))), line)
    end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + end.join(lines) + draw(st.sampled_from([b"", end]))


@given(
    content=st.one_of(tables(), st.lists(bits, max_size=25).map(lambda parts: b"a,b,c\n" + b"".join(parts))),
    choice=st.data(),
)
def test_whatever_bytes_are_in_the_file_pandas_reads_the_same_columns_from_it(folder, content, choice):
    path = written(folder, content)
    try:
        names = list(pd.read_csv(path, nrows=0).columns)
    except (ValueError, pd.errors.ParserError):
        return
    check(path, choice.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)), {})


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
def test_what_arrow_understands_otherwise_is_left_to_pandas(folder, content):
    path = written(folder, content)
    for name in pd.read_csv(path, nrows=0).columns:
        check(path, [name], {})


PLAIN = {
    "numbers": b"a,b,c\n1,x,0.1\n2,y,3.0000000000000004\n",
    "quotes and newlines": b'a,b,c\n"say ""hi""","two\nlines",1\n"x,y",,2\n',
    "windows newlines": b"a,b,c\r\n1,x,y\r\n2,,z\r\n",
    "a byte order mark": b'\xef\xbb\xbf"a",b,c\n1,2,3\n',
    "names twice or none": b"a,a,,a\n1,2,3,4\n",
    "empty values first": b"a,b,c\n,1,2\n,,\n3,4,5\n",
    "a column between that might be called so": b"Unnamed: 0,b,,d\n1,2,3,4\n",
    "no newline at the end": b"a,b,c\n1,2,3\n4,5,6",
    "a quote within a value": b'a,b,c\n5" pipe,x"y,"z"z\n1,2,3\n',
    "blank lines": b"a,b,c\n\n1,2,3\n\n\n4,5,6\n\n",
}


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_of_an_ordinary_file_pandas_gets_no_more_than_the_asked_columns(folder, content):
    path = written(folder, content)
    for name in pd.read_csv(path).columns:
        frame = narrowed(path, name)
        assert frame is not None
        same(frame, pd.read_csv(path, usecols=[name]))


@pytest.mark.parametrize(
    ("content", "options", "words"),
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
def test_a_file_is_read_by_its_owners_words_as_pandas_reads_it_by_the_same(tmp_path, content, options, words):
    path = tmp_path / "database.csv"
    path.write_text(content, encoding=words.get("encoding", "utf-8"), newline="")
    names = list(pd.read_csv(path, nrows=0, **words).columns)
    same(data.load(Database("d", str(path), options=options), "pandas", None).value, pd.read_csv(path, **words))
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, count):
            check(path, list(chosen), words, **options)


@pytest.mark.parametrize(
    ("options", "words"), [({}, {}), ({"DATE_FORMAT": "%d.%m.%Y"}, {"date_format": "%d.%m.%Y"})]
)  # fmt: skip
def test_dates_are_read_where_their_columns_are(tmp_path, options, words):
    path = tmp_path / "database.csv"
    path.write_text("born,sex,died\n01.02.1950,f,\n31.12.1949,m,03.04.2020\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas cannot tell how they are written, from the first
        for chosen in (["born"], ["born", "sex"], ["sex"], ["born", "died"]):
            dates = [name for name in ("born", "died") if name in chosen]
            told = {**words, "parse_dates": dates} if dates else {}
            check(path, chosen, told, PARSE_DATES="born,died", **options)


def test_a_date_that_is_no_column_is_told_to_the_owner(tmp_path):
    path = tmp_path / "database.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DatabaseUnreadable, match=re.escape("PARSE_DATES names 1 column(s) that it does")) as refused:
        data.load(Database("d", str(path), options={"PARSE_DATES": "a,Jane"}), "pandas", frozenset("b"))
    assert "Jane" not in str(refused.value)
    assert "Jane" in refused.value.detail


@pytest.mark.parametrize("width", [2, 3, 20, 33, 64, 127])
def test_types_change_at_the_same_rows(folder, width):
    """pandas chooses a type for so many rows at a time, which it takes from the number of columns."""
    rows = 3 * 2**20 // width // 2
    odd = {rows // 4: b"x"}
    filler = b"," * (width - 1)
    path = written(folder, filler + b"a\n" + b"".join(filler + odd.get(i, b"%d" % i) + b"\n" for i in range(rows)))
    with pytest.warns(pd.errors.DtypeWarning):
        reference = pd.read_csv(path, usecols=["a"])
    with pytest.warns(pd.errors.DtypeWarning, match="mixed types"):
        ours = narrowed(path, "a")
    assert ours is not None
    same(ours, reference)


@pytest.mark.parametrize("block", [64, 100, 1000])
@settings(max_examples=30)
@example(rows=[(b"1", b'"a\nb"')] * 50)
@given(rows=st.lists(st.tuples(st.sampled_from([b"1", b"", b"x"]), st.sampled_from([b'"a\nb"', b"", b'"""c"']))))
def test_where_arrow_cuts_the_file_does_not_show(block, folder, rows):
    path = written(folder, b"a,b,c\n" + b"".join(b"%s,%s,1\r\n" % row for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrow, "_BLOCK", block)
        for name in "abc":
            check(path, [name], {})


def test_a_value_that_is_longer_than_a_block_is_read(folder):
    path = written(folder, b"a,b\n1,2\n3,%b\n" % (b"x" * 3 * narrow._BLOCK))
    assert narrowed(path, "a") is None
    check(path, ["a"], {})
    check(path, ["b"], {})


def test_nothing_is_left_running(folder):
    before = threading.active_count()
    path = written(folder, b"a,b,c\n" + b"1,2,3\n" * 200_000 + b"4\n")
    check(path, ["a"], {})
    assert threading.active_count() == before
