"""CSV files are read exactly as pandas reads them, and only the requested columns are read."""

import csv
import io
import itertools
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import data
from algotools.data import csv as csv_files
from algotools.data.reading import Loaded
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .conftest import assert_same


def load(path: Path, columns: frozenset[str] | None = None) -> Loaded:
    return data.load(Database("default", str(path), "csv"), "pandas", columns)


cells = st.one_of(
    st.sampled_from(["", "NA", "N/A", "nan", "NULL", "None", "null", "-", "True", "false", "inf", "-0", "1e400", " 7"]),
    st.sampled_from(['say "hi"', "a,b", "two\nlines", "cr\rlf\r\n", "'", '"', "é€", "007", "1_000", "2024-02-30"]),
    st.integers(-(2**80), 2**80).map(str),
    st.floats().map(repr),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
names = st.one_of(
    st.sampled_from(["age", "name", "", "age", "age.1", "Unnamed: 0", "a b", "x,y", 'q"q', "1", "NA", "two\nlines"]),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """The text of a file with unusual cells, repeated or empty names, short rows, or no rows."""
    header = draw(st.lists(names, min_size=1, max_size=5))
    rows = draw(st.lists(st.lists(cells, min_size=len(header), max_size=len(header)), max_size=5))
    if rows and draw(st.booleans()):
        rows[-1] = rows[-1][: draw(st.integers(1, len(header)))]
    text = io.StringIO()
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    if any("\r" in name for name in header):
        quoting = csv.QUOTE_ALL  # otherwise the header would end at the return and be shorter than the rows; see below
    csv.writer(text, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows([header, *rows])
    return text.getvalue()


_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@given(text=files(), choice=st.data())
def test_any_file_is_read_as_pandas_reads_it(folder, text, choice):
    path = folder / f"{next(_numbers)}.csv"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        whole_frame = pd.read_csv(path)
    except (ValueError, pd.errors.ParserError):
        with pytest.raises(DatabaseUnreadable):
            load(path)
        return
    everything = load(path)
    assert_same(everything.value, whole_frame)
    assert everything.columns == list(whole_frame.columns)

    chosen = choice.draw(st.lists(st.sampled_from(list(whole_frame.columns)), min_size=1, unique=True))
    part = load(path, frozenset([*chosen, "no such column"]))
    assert_same(part.value, pd.read_csv(path, usecols=chosen))
    assert_same(part.value, whole_frame.loc[:, [name in chosen for name in whole_frame.columns]])
    assert part.columns == list(whole_frame.columns)


EXAMPLES = {
    "quotes and newlines": 'a,b\n"say ""hi""","two\nlines"\n"x,y",\n',
    "spellings of nothing": "a,b\nNA,\nnull,nan\n-,NaN\n",
    "mixed types": "a,b\n1,x\ntrue,2\n3.5,NA\n",
    "big integers": f"a,b\n{2**63},{2**63 - 1}\n{2**80},-{2**63}\n",
    "names twice": "a,a,b,a\n1,2,3,4\n",
    "no names": ",a,\n1,2,3\n",
    "no rows": "a,b\n",
    "no rows and no newline": "a,b",
    "rows too short": "a,b\n1\n2,3\n",
    "a byte order mark": "\ufeffa,b\n1,2\n",
    "windows newlines": "a,b\r\n1,2\r\n",
    "blank lines": "a,b\n\n1,2\n\n",
    "leading zeros": "a,b\n007,08\n",
}


@pytest.mark.parametrize("large", [False, True], ids=["", "as if it were large"])
@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_any_selection_of_columns_is_read_as_pandas_reads_it(tmp_path, text, large, monkeypatch):
    monkeypatch.setattr(csv_files, "LARGE", 0 if large else csv_files.LARGE)
    path = tmp_path / "database.csv"
    path.write_text(text, encoding="utf-8", newline="")
    whole_frame = pd.read_csv(path)
    assert_same(load(path).value, whole_frame)
    labels = list(whole_frame.columns)
    for count in range(1, len(labels) + 1):
        for chosen in itertools.combinations(labels, count):
            loaded = load(path, frozenset(chosen))
            assert_same(loaded.value, pd.read_csv(path, usecols=list(chosen)))
            assert_same(loaded.value, whole_frame[list(chosen)])
            assert loaded.columns == labels


def test_a_column_does_not_depend_on_the_other_requested_columns(tmp_path):
    """If rows are longer than the header, pandas uses the first column as index, unless ``usecols`` has all names."""
    path = tmp_path / "database.csv"
    path.write_text("a,b\n1,2,3\n4,5,6\n")
    whole_frame = pd.read_csv(path)
    assert not whole_frame.equals(pd.read_csv(path, usecols=["a", "b"]))
    for chosen in (["a"], ["b"], ["a", "b"]):
        assert_same(load(path, frozenset(chosen)).value, whole_frame[chosen])


def test_only_the_requested_columns_are_read(tmp_path):
    path = tmp_path / "database.csv"
    path.write_text("name,age,sex\nJane,71,f\nJohn,58,m\n")
    loaded = load(path, frozenset({"sex", "age"}))
    assert loaded.value.to_dict("list") == {"age": [71, 58], "sex": ["f", "m"]}
    assert loaded.columns == ["name", "age", "sex"]


def test_a_requested_column_that_is_missing_is_left_out(tmp_path):
    path = tmp_path / "database.csv"
    path.write_text("name,age\nJane,71\n")
    loaded = load(path, frozenset({"height"}))
    assert list(loaded.value.columns) == []
    assert loaded.columns == ["name", "age"]


def test_a_large_file_of_mixed_types_is_read_as_pandas_reads_it(tmp_path):
    path = tmp_path / "database.csv"
    lines = [f"{i},{i if i < 150_000 else 'x'},{i % 7}" for i in range(200_000)]
    path.write_text("a,b,c\n" + "\n".join(lines) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        assert_same(load(path, frozenset("b")).value, pd.read_csv(path, usecols=["b"]))
        assert_same(load(path).value, pd.read_csv(path))


def test_a_compressed_file_is_read_with_any_name(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    for compression in ("gzip", "bz2", "xz", "zip"):
        frame.to_csv(tmp_path / "default.csv", index=False, compression=compression)
        assert_same(load(tmp_path / "default.csv", frozenset("a")).value, frame[["a"]])
        assert_same(load(tmp_path / "default.csv").value, frame)
    frame.to_csv(tmp_path / "default.csv.gz", index=False, compression=None)
    assert_same(load(tmp_path / "default.csv.gz").value, frame)


def test_a_broken_compressed_file_is_refused(tmp_path):
    path = tmp_path / "default.csv"
    pd.DataFrame({"a": range(1000)}).to_csv(path, compression="gzip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatabaseUnreadable, match="database 'default': it is a gzip file that is broken or incomplete"):
        load(path)


def test_large_integers_keep_their_values_beside_dates(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,day\n9007199254740993,2024-01-02\n,2024-01-03\n", encoding="utf-8")
    database = Database("clinic", str(path), "csv", options={"PARSE_DATES": "day"})
    frame = data.load(database, "pandas", None).value
    assert frame["id"].dropna().tolist() == [9007199254740993]
    assert str(frame["day"].dtype).startswith("datetime64")


def test_large_integers_of_a_configured_float_stay_floats(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("id,age\n9007199254740993,1\n,2\n", encoding="utf-8")
    database = Database("clinic", str(path), "csv", options={"DTYPE": '{"id": "float"}'})
    assert str(data.load(database, "pandas", None).value["id"].dtype) == "float64"
