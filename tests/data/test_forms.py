"""Every form of every source has the same values, and a lazy form reads only the requested rows."""

import bz2
import gzip
import json
import lzma
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, get_args

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools import data
from algotools.data._csv_format import MISSING
from algotools.errors import DatabaseUnreadable, UnsupportedDatabase
from algotools.task import Database

from ..conftest import SECRET, examples
from .forms import TABLES, read, to_lists

FRAME = pd.DataFrame({
    "age": [61, 45, 38, 70],
    "weight": [70.5, None, 81.25, 64.0],
    "name": ["Zoë", 'a, "b"', None, "two\nlines"],
    "smokes": [True, False, False, True],
})  # fmt: skip
EXPECTED = {
    "age": [61, 45, 38, 70],
    "weight": [70.5, None, 81.25, 64.0],
    "name": ["Zoë", 'a, "b"', None, "two\nlines"],
    "smokes": [True, False, False, True],
}


def at(path: Path, kind: str | None = None, **options: Any) -> Database:
    return Database("clinic", str(path), kind, **options)


def as_csv(folder: Path) -> Database:
    FRAME.to_csv(folder / "x.csv", index=False)
    return at(folder / "x.csv")


def as_parquet(folder: Path) -> Database:
    FRAME.to_parquet(folder / "x.parquet")
    return at(folder / "x.parquet")


def as_parts(folder: Path) -> Database:
    (folder / "parts").mkdir()
    FRAME[:2].to_parquet(folder / "parts" / "a.parquet", index=False)
    FRAME[2:].to_parquet(folder / "parts" / "b.parquet", index=False)
    return at(folder / "parts")


def as_excel(folder: Path) -> Database:
    FRAME.to_excel(folder / "x.xlsx", index=False)
    return at(folder / "x.xlsx")


def as_frame(folder: Path) -> Database:
    from algotools.federation._frames import write_frame

    write_frame(FRAME, folder / "x.frame")
    return at(folder / "x.frame")


def as_gzip(folder: Path) -> Database:
    (folder / "clinic.csv").write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))
    return at(folder / "clinic.csv")


def as_zstd(folder: Path) -> Database:
    with pa.CompressedOutputStream(str(folder / "clinic.csv"), "zstd") as file:
        file.write(FRAME.to_csv(index=False).encode())
    return at(folder / "clinic.csv")


def as_bz2(folder: Path) -> Database:
    (folder / "clinic.csv").write_bytes(bz2.compress(FRAME.to_csv(index=False).encode()))
    return at(folder / "clinic.csv")


def as_xz(folder: Path) -> Database:
    (folder / "clinic.csv").write_bytes(lzma.compress(FRAME.to_csv(index=False).encode()))
    return at(folder / "clinic.csv")


def as_zip(folder: Path) -> Database:
    with zipfile.ZipFile(folder / "clinic.csv", "w") as archive:
        archive.writestr("x.csv", FRAME.to_csv(index=False))
    return at(folder / "clinic.csv")


def with_semicolons(folder: Path) -> Database:
    FRAME.to_csv(folder / "x.csv", index=False, sep=";", decimal=",")
    return at(folder / "x.csv", options={"SEP": ";", "DECIMAL": ","})


def in_latin(folder: Path) -> Database:
    FRAME.to_csv(folder / "x.csv", index=False, encoding="latin-1")
    return at(folder / "x.csv", options={"ENCODING": "latin-1"})


def with_a_mark(folder: Path) -> Database:
    FRAME.to_csv(folder / "x.csv", index=False, encoding="utf-8-sig")
    return at(folder / "x.csv")


def below_a_title(folder: Path) -> Database:
    (folder / "x.csv").write_text("Our clinic\n" + FRAME.to_csv(index=False))
    return at(folder / "x.csv", options={"SKIPROWS": "1"})


def as_texts_of_windows(folder: Path) -> Database:
    FRAME.to_csv(folder / "x.csv", index=False, lineterminator="\r\n")
    return at(folder / "x.csv")


def with_a_pattern_in_its_name(folder: Path) -> Database:
    FRAME.to_csv(folder / "x [1]*?.csv", index=False)
    (folder / "x 1y.csv").write_text("age,weight,name,smokes\n0,0,,True\n")
    return at(folder / "x [1]*?.csv")


SOURCES = [
    as_csv, as_parquet, as_parts, as_excel, as_frame, as_gzip, as_zstd, as_bz2, as_xz, as_zip, with_semicolons,
    in_latin, with_a_mark, below_a_title, as_texts_of_windows, with_a_pattern_in_its_name,
]  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
class TestEveryFormOfEverySource:
    def test_has_the_same_values(self, tmp_path, source, form):
        assert read(source(tmp_path), form) == EXPECTED

    def test_has_the_requested_columns_in_the_order_of_the_database(self, tmp_path, source, form):
        columns = frozenset({"smokes", "age", "no such column"})
        with ExitStack() as stack:
            loaded = data.load(source(tmp_path), form, columns, stack)
            assert to_lists(form, loaded.value) == {name: EXPECTED[name] for name in ("age", "smokes")}
            assert loaded.columns == list(EXPECTED)


@pytest.mark.parametrize("form", TABLES)
def test_a_partition_column_of_a_folder_is_a_column(tmp_path, form):
    pq.write_to_dataset(pa.Table.from_pandas(FRAME), str(tmp_path / "x"), partition_cols=["smokes"])
    columns = read(at(tmp_path / "x"), form, frozenset({"age", "smokes"}))
    assert sorted(zip(columns["age"], (str(value).lower() for value in columns["smokes"]), strict=True)) == [
        (38, "false"), (45, "false"), (61, "true"), (70, "true"),
    ]  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
def test_an_unnamed_index_is_not_a_column(tmp_path, form):
    FRAME.set_axis([7, 8, 9, 10]).to_parquet(tmp_path / "x.parquet")
    assert list(read(at(tmp_path / "x.parquet"), form)) == list(EXPECTED)


def test_the_texts_of_missing_values_are_those_of_pandas():
    from pandas._libs.parsers import STR_NA_VALUES

    assert set(MISSING) == STR_NA_VALUES


@pytest.mark.parametrize("form", TABLES)
def test_every_text_of_a_missing_value_is_read_as_missing(tmp_path, form):
    rows = [f"{spelling},{spelling},{position}" for position, spelling in enumerate([*MISSING, "absent", "1"])]
    (tmp_path / "x.csv").write_text("\n".join(["number,text,row", *rows, "2.5,x,99"]))
    columns = read(at(tmp_path / "x.csv", options={"NA_VALUES": "absent"}), form)
    count = len(MISSING) + 1
    assert columns["number"] == [None] * count + [1, 2.5]
    assert columns["text"] == [None] * count + ["1", "x"]


@pytest.mark.parametrize("form", TABLES)
def test_repeated_and_empty_names_are_changed_as_in_pandas(tmp_path, form):
    (tmp_path / "x.csv").write_text("a,a,,b\n1,2,3,4\n5,6,7,8\n")
    assert read(at(tmp_path / "x.csv"), form, frozenset({"a.1", "Unnamed: 2"})) == {"a.1": [2, 6], "Unnamed: 2": [3, 7]}


@pytest.mark.parametrize("form", TABLES)
def test_a_table_without_rows_has_its_columns(tmp_path, form):
    (tmp_path / "x.csv").write_text("a,b\n")
    assert read(at(tmp_path / "x.csv"), form, frozenset({"b"})) == {"b": []}


@pytest.mark.parametrize("form", TABLES)
def test_dates_that_the_owner_configured_are_parsed(tmp_path, form):
    (tmp_path / "x.csv").write_text("born,n\n1953-02-28,1\n2024-02-29,2\n")
    columns = read(at(tmp_path / "x.csv", options={"PARSE_DATES": "born"}), form)
    assert [(d.year, d.month, d.day, d.hour) for d in columns["born"]] == [(1953, 2, 28, 0), (2024, 2, 29, 0)]


@pytest.mark.parametrize("form", TABLES)
def test_v4s_preprocessing_applies_to_every_form(tmp_path, form):
    steps = json.dumps([{"function": "filter_range", "parameters": {"column": "weight", "min_": 65}}])
    database = at(as_csv(tmp_path).uri, preprocessing=steps)
    assert read(database, form, frozenset({"age"})) == {"age": [61, 38]}


@pytest.mark.parametrize("form", ["pandas", "arrow", "polars"])
def test_a_late_row_can_change_the_type_of_a_column(tmp_path, form):
    rows = ["1,x,1,true"] * 20_000
    (tmp_path / "x.csv").write_text("\n".join(["whole,text,decimal,truth", *rows, "2,y,2.5,false", "3,7,word,"]))
    columns = read(at(tmp_path / "x.csv"), form)
    assert columns["whole"][-2:] == [2, 3]
    assert columns["text"][-2:] == ["y", "7"]
    assert columns["decimal"][-2:] == ["2.5", "word"]
    assert columns["truth"][-3:] == [True, False, None]


def test_a_stream_with_a_late_row_of_another_type_suggests_a_table(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 500_000 + f"1,{SECRET}\n")
    with ExitStack() as stack:
        stream: Any = data.load(at(path), "batches", None, stack).value
        with pytest.raises(
            DatabaseUnreadable, match=r"first 1 MiB.*annotate the parameter with .*pyarrow\.Table"
        ) as excinfo:
            stream.read_all()
    assert SECRET not in str(excinfo.value)


numbers = st.one_of(st.integers(-(2**63), 2**63 - 1), st.none())
decimals = st.one_of(st.floats(-1e15, 1e15).map(lambda x: round(x, 3)), st.none())
texts = st.one_of(
    st.text(st.sampled_from('ab ,"\n;é-'), min_size=1, max_size=6).map(lambda text: f"x{text}"), st.none()
)


@settings(max_examples=examples(25))
@given(rows=st.lists(st.tuples(numbers, decimals, texts, st.integers(0, 9)), min_size=1, max_size=20))
def test_any_table_is_read_from_a_file_without_changes(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("x") / "x.csv"
    table = {name: [row[i] for row in rows] for i, name in enumerate(["number", "decimal", "text", "row"])}
    pa_table = pa.table({
        "number": pa.array(table["number"], pa.int64()), "decimal": pa.array(table["decimal"], pa.float64()),
        "text": pa.array(table["text"], pa.string()), "row": pa.array(table["row"], pa.int64()),
    })  # fmt: skip
    pl.DataFrame(pa_table).write_csv(path)
    for form in TABLES[1:]:  # pandas reads integers with missing values as floats
        columns = read(at(path), form)
        for name in ("number", "row", "text"):
            assert columns[name] == table[name], (form, name)
        for value, expected in zip(columns["decimal"], table["decimal"], strict=True):
            assert value == expected or value == pytest.approx(expected, rel=1e-15), form


class TestUnreadableDatabaseInEveryForm:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / SECRET
        folder.mkdir()
        return folder

    def failure(self, path: Path, form: str, kind: str = "csv") -> str:
        with pytest.raises(DatabaseUnreadable) as excinfo, ExitStack() as stack:
            to_lists(form, data.load(at(path, kind), form, None, stack).value)
        assert SECRET not in str(excinfo.value)
        assert SECRET in excinfo.value.detail
        return str(excinfo.value)

    @pytest.mark.parametrize("form", TABLES)
    @pytest.mark.parametrize("kind", ["csv", "parquet"])
    def test_is_named(self, folder, form, kind):
        assert "its file does not exist" in self.failure(folder / "x", form, kind)
        wrong = "it is a folder without a parquet file" if kind == "parquet" else "it is a folder, not a csv file"
        assert wrong in self.failure(folder, form, kind)
        (folder / "empty").touch()
        assert "it is empty" in self.failure(folder / "empty", form, kind)
        (folder / "broken").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
        assert f"it is not a readable {kind} file" in self.failure(folder / "broken", form, kind)

    @pytest.mark.parametrize("form", ["pandas", "arrow", "polars"])
    def test_with_a_broken_line_is_named(self, folder, form):
        path = folder / "x"
        path.write_text("age,name\n" + "1,x\n" * 30_000 + f"2,{SECRET},y\n")
        assert "a row has more fields than the header" in self.failure(path, form)


@pytest.mark.parametrize(
    ("annotation", "form"),
    [
        (pl.DataFrame, "polars"), (pl.LazyFrame, "lazy"), (pa.Table, "arrow"), (pa.RecordBatchReader, "batches"),
        (duckdb.DuckDBPyRelation, "duckdb"), (ibis.Table, "ibis"), (ibis.expr.types.Table, "ibis"), (Path, "path"),
        (pl.Series, None), (pa.RecordBatch, None), (get_args(Annotated[pl.DataFrame, 1])[0], "polars"),
    ],
)  # fmt: skip
def test_the_annotation_determines_the_form(annotation, form):
    assert data.find_form(annotation) == form


def test_a_path_is_passed_without_reading_the_file(tmp_path):
    (tmp_path / "a b").mkdir()
    assert data.load(at(tmp_path / "a b", "folder"), "path", frozenset({"age"})).value == tmp_path / "a b"
    assert data.load(Database("x", f"file://{tmp_path}/a%20b", "other"), "path", None).value == tmp_path / "a b"
    with pytest.raises(DatabaseUnreadable, match="its file does not exist"):
        data.load(at(tmp_path / "no such folder", "folder"), "path", None)
    with pytest.raises(UnsupportedDatabase, match="is not a file or folder, so it has no path; annotate"):
        data.load(Database("x", "postgresql://u:p@host/db"), "path", None)


class TestLazyForm:
    """A lazy form of a file with a broken end. Only reading the whole file would raise an error."""

    @pytest.fixture
    def database(self, tmp_path: Path) -> Database:
        path = tmp_path / "x.csv"
        path.write_text("age,name\n" + "1,x\n" * 1_000_000 + "old,x\n")
        return at(path)

    def test_is_not_read_before_the_function_does(self, database):
        with ExitStack() as stack:
            stream: Any = data.load(database, "batches", {"age"}, stack).value
            assert stream.read_next_batch().column(0)[0].as_py() == 1
            lazy: Any = data.load(database, "lazy", {"age"}, stack).value
            assert lazy.head(2).collect()["age"].to_list() == [1, 1]
            relation: Any = data.load(database, "duckdb", {"age"}, stack).value
            assert relation.limit(2).fetchall() == [(1,), (1,)]
            table: Any = data.load(database, "ibis", {"age"}, stack).value
            assert table.limit(2).to_pyarrow()["age"].to_pylist() == [1, 1]

    def test_is_computed_in_the_engine(self, tmp_path):
        database = as_parquet(tmp_path)
        with ExitStack() as stack:
            table: Any = data.load(database, "ibis", {"age"}, stack).value
            assert table.age.max().to_pyarrow().as_py() == 70
            relation: Any = data.load(database, "duckdb", {"age"}, stack).value
            assert relation.filter("age > 40").aggregate("sum(age) as s, count(*) as n").fetchall() == [(176, 3)]

    def test_leaves_no_temporary_files(self, tmp_path, monkeypatch):
        temporary = tmp_path / "tmp"
        temporary.mkdir()
        monkeypatch.setenv("TMPDIR", str(temporary))
        monkeypatch.setattr("tempfile.tempdir", None)
        for form in TABLES:
            read(with_a_pattern_in_its_name(tmp_path), form)
        assert list(temporary.iterdir()) == []


LIBRARIES = ["pandas", "polars", "pyarrow", "duckdb", "ibis", "sqlalchemy", "openpyxl"]


def run_and_list_imports(script: str) -> set[str]:
    """Return the libraries that a script imports."""
    script += f"\nimport sys; print(*[name for name in {LIBRARIES!r} if name in sys.modules])"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    ("form", "script_of_library"),
    [
        ("polars", "import polars; polars.read_csv({0!r}); polars.read_parquet({1!r})"),
        ("lazy", "import polars; polars.scan_csv({0!r}); polars.scan_parquet({1!r})"),
        ("arrow", "import pyarrow.csv, pyarrow.parquet"),
        ("batches", "import pyarrow.csv, pyarrow.parquet"),
        ("duckdb", "import duckdb; x = duckdb.connect(); x.read_csv({0!r}); x.read_parquet({1!r})"),
        ("path", ""),
        ("database", ""),
    ],
)
def test_only_the_library_of_the_form_is_imported(tmp_path, form, script_of_library):
    databases = [as_csv(tmp_path).uri, as_parquet(tmp_path).uri]
    script = (
        "from algotools import data; from algotools.task import Database\n"
        f"for uri in {databases!r}:\n"
        f"    data.load(Database('x', uri), {form!r}, ['age'])"
    )
    assert run_and_list_imports(script) == run_and_list_imports(script_of_library.format(*databases))


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ibis", None)
    monkeypatch.delitem(sys.modules, "algotools.data.forms.ibis", raising=False)
    with pytest.raises(
        UnsupportedDatabase, match=r"lacks the package ibis.*add the package to the algorithm's dependencies"
    ):
        data.load(as_csv(tmp_path), "ibis", None)


@pytest.mark.parametrize("form", TABLES)
@pytest.mark.parametrize(
    "values",
    [[[1, 2], [3]], [1, 2, None], [1, 2.5]],
    ids=["lists", "integers that are objects", "integers and floats that are objects"],
)
def test_a_column_of_objects_of_one_type_is_read(tmp_path, form, values):
    from algotools.federation._frames import write_frame

    write_frame(pd.DataFrame({"x": pd.Series(values, dtype=object)}), tmp_path / "x.frame")
    column = read(at(tmp_path / "x.frame"), form)["x"]
    assert [
        list(item) if isinstance(value, list) else item for value, item in zip(values, column, strict=True)
    ] == values


def test_a_folder_of_pq_files_is_a_table(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    FRAME.to_parquet(folder / "a.pq")
    assert data.detect_type(at(folder)) == "parquet"
    assert read(at(folder), "pandas")["age"] == EXPECTED["age"]
