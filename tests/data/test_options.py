"""The owner configures the format of a CSV file with pandas' options. A compressed file can have any name."""

import bz2
import contextlib
import gzip
import io
import lzma
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import Column, Federation, data, rpc
from algotools.data._csv_format import Dialect, detect_compression, open_decompressed
from algotools.data.reading import Unreadable
from algotools.errors import DatabaseUnreadable, FederationError, InputError, RunsFailed
from algotools.task import Database

from .forms import TABLES, read


def dialect(uri: str = "/data/x.csv", **options: str) -> Dialect:
    return Dialect.from_database(Database("clinic", uri, "csv", options=options))


def test_the_defaults_are_those_of_pandas():
    assert dialect() == Dialect()
    assert dialect().differences == frozenset()


@pytest.mark.parametrize(
    ("option", "text", "field", "value"),
    [
        ("SEP", ";", "sep", ";"),
        ("SEP", "\\t", "sep", "\t"),
        ("SEP", "\t", "sep", "\t"),
        ("SEP", "tab", "sep", "\t"),
        ("DELIMITER", "|", "sep", "|"),
        ("DECIMAL", ",", "decimal", ","),
        ("THOUSANDS", " ", "thousands", " "),
        ("ENCODING", "latin-1", "encoding", "iso8859-1"),
        ("ENCODING", "UTF8", "encoding", "utf-8"),
        ("QUOTECHAR", "'", "quotechar", "'"),
        ("QUOTECHAR", "", "quotechar", ""),
        ("ESCAPECHAR", "\\", "escapechar", "\\"),
        ("COMMENT", "#", "comment", "#"),
        ("SKIPROWS", "2", "skiprows", 2),
        ("NA_VALUES", "-999", "na_values", ("-999",)),
        ("NA_VALUES", "unknown, -9,,", "na_values", ("unknown", "-9")),
        ("NA_VALUES", '["a, b", " ", -9, 1.5]', "na_values", ("a, b", " ", "-9", "1.5")),
        ("PARSE_DATES", "born, died", "parse_dates", ("born", "died")),
    ],
)
def test_an_option_is_parsed_from_its_text(option, text, field, value):
    result = dialect(**{option: text})
    assert getattr(result, field) == value
    assert result.differences == ({field} if value != getattr(Dialect(), field) else frozenset())


@pytest.mark.parametrize(
    ("uri", "sep"),
    [
        ("/data/x.tsv", "\t"),
        ("/data/x.TAB", "\t"),
        ("/data/x.tsv.gz", "\t"),
        ("/data/x.csv", ","),
        ("/data/x.tsv.csv", ","),
        ("/data.tsv/x", ","),
    ],
)
def test_the_suffix_tsv_implies_tabs(uri, sep):
    assert dialect(uri).sep == sep
    assert dialect(uri, SEP=";").sep == ";"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"SEP": ""}, "its option SEP must be one ASCII character, or \\t for a tab"),
        ({"SEP": ";;"}, "its option SEP must be one ASCII character"),
        ({"SEP": "\n"}, "its option SEP must be one ASCII character"),
        ({"SEP": "\u2013"}, "its option SEP must be one ASCII character"),
        ({"SEP": ";", "DELIMITER": ";"}, "its options SEP and DELIMITER both set the separator; give only one"),
        ({"SEP": '"'}, "its options SEP and QUOTECHAR are the same character"),
        ({"DECIMAL": ",", "THOUSANDS": ","}, "its options DECIMAL and THOUSANDS are the same character"),
        ({"ENCODING": "secret-1"}, "its option ENCODING must be the name of an encoding"),
        ({"ENCODING": "base64"}, "its option ENCODING must be the name of an encoding"),
        ({"SKIPROWS": "-1"}, "its option SKIPROWS must be a number of lines, 0 or more"),
        ({"SKIPROWS": "all"}, "its option SKIPROWS must be a number of lines, 0 or more"),
        ({"NA_VALUES": '["a'}, "its option NA_VALUES must be texts separated by commas, or a JSON list of them"),
        ({"NA_VALUES": '[["a"]]'}, "its option NA_VALUES must be texts separated by commas, or a JSON list of them"),
        ({"PARSE_DATES": "x", "DATE_FORMAT": "day"}, "its option DATE_FORMAT must be a strptime format"),
        ({"DATE_FORMAT": "%d"}, "its option DATE_FORMAT has no effect without PARSE_DATES"),
    ],
)
def test_an_invalid_option_is_named_without_quoting_its_value(options, message):
    with pytest.raises(DatabaseUnreadable) as excinfo:
        dialect("/secret/x.csv", **options)
    assert str(excinfo.value).startswith(f"database 'clinic': {message}")
    assert "secret" not in str(excinfo.value)
    assert "/secret/x.csv" in excinfo.value.detail


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(max_size=6)
            for name in ("SEP", "DECIMAL", "QUOTECHAR", "ENCODING", "SKIPROWS", "NA_VALUES", "PARSE_DATES", "COMMENT")
        },
    )
)
def test_any_texts_give_a_dialect_or_an_error_with_the_name_of_an_option(options):
    try:
        result = dialect(**options)
    except DatabaseUnreadable:
        with pytest.raises(DatabaseUnreadable, match="|".join(options)):
            dialect(**options)
    else:
        assert len(result.sep) == 1
        assert result.differences <= {name.lower() for name in options}


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("SEPARATOR", "SEP"), ("SEPERATOR", "SEP"), ("DECIMEL", "DECIMAL"), ("DECIMAL_POINT", "DECIMAL"),
     ("ENCODNG", "ENCODING"), ("NA_VALUE", "NA_VALUES"), ("SKIPROW", "SKIPROWS")],
)  # fmt: skip
def test_a_misspelled_option_is_refused(name, suggestion):
    database = Database("clinic", "/data/x.csv", options={name: "hidden"})
    with pytest.raises(DatabaseUnreadable, match=f"unknown csv option {name}; did you mean {suggestion}") as excinfo:
        data.load(database, "pandas", None)
    assert "hidden" not in str(excinfo.value) + excinfo.value.detail


@pytest.mark.parametrize("form", TABLES)
def test_a_code_stays_a_text_if_the_owner_says_so(form, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("code,age\n007,50\nNA,61\n", encoding="utf-8")
    plain = Database("clinic", str(path), "csv")
    assert read(plain, form)["code"] == [7, None]
    texts = msgspec.structs.replace(plain, options={"DTYPE": '{"code": "str"}'})
    assert read(texts, form) == {"code": ["007", None], "age": [50, 61]}
    wrong = msgspec.structs.replace(plain, options={"DTYPE": '{"cod": "str"}'})
    with pytest.raises(DatabaseUnreadable, match=r"DTYPE names 1 column\(s\) that it does not have"):
        read(wrong, form)


def test_an_unknown_type_is_refused_with_the_known_ones():
    with pytest.raises(DatabaseUnreadable, match=r"DTYPE must be a type \(str, int, float or bool\) for each"):
        dialect(DTYPE='{"code": "money"}')


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "csv",
            "HEADER",
            "its option HEADER has no effect on a database of type csv; remove it (options of",
        ),
        ("csv", "NROWS", "its option NROWS has no effect"),
        ("csv", "SHEET_NAME", "its option SHEET_NAME has no effect"),
        ("csv", "QUERY", "its option QUERY has no effect"),
        ("csv", "SCHEMA", "its option SCHEMA has no effect"),
        ("csv", "dtypes", "unknown csv option dtypes; did you mean DTYPE?"),
        ("excel", "SHEET", "unknown excel option SHEET; did you mean SHEET_NAME?"),
        ("excel", "SHEET_NAMES", "unknown excel option SHEET_NAMES; did you mean SHEET_NAME?"),
        ("excel", "sheetname", "unknown excel option sheetname; did you mean SHEET_NAME?"),
        ("excel", "HEADERS", "unknown excel option HEADERS; did you mean HEADER?"),
        ("excel", "NA_VALUE", "unknown excel option NA_VALUE; did you mean NA_VALUES?"),
        ("excel", "NROWS", "its option NROWS has no effect"),
        ("excel", "USECOLS", "its option USECOLS has no effect"),
        ("excel", "SEP", "its option SEP has no effect"),
        (
            "parquet",
            "NA_VALUES",
            "its option NA_VALUES has no effect on a database of type parquet; remove it",
        ),
        ("parquet", "DTYPE", "its option DTYPE has no effect"),
        ("parquet", "ENGINE", "its option ENGINE has no effect"),
        ("frame", "DTYPE", "its option DTYPE has no effect"),
        ("sql", "SHEET_NAME", "its option SHEET_NAME has no effect"),
        ("sql", "TABLES", "unknown sql option TABLES; did you mean TABLE?"),
        ("sql", "QUERRY", "unknown sql option QUERRY; did you mean QUERY?"),
        ("sql", "SCHEMA", "its option SCHEMA has no effect"),
        ("sql", "CDM_SCHEMA", "its option CDM_SCHEMA has no effect on a database of type sql; write it into the URI"),
        ("sql", "PASSWORD", "its option PASSWORD has no effect on a database of type sql; write it into the URI"),
        ("omop", "CDM_SHEMA", "unknown omop option CDM_SHEMA; did you mean CDM_SCHEMA?"),
        ("omop", "DTYPE", "its option DTYPE has no effect"),
        ("sparql", "USERNAME", "unknown sparql option USERNAME; did you mean USER?"),
        ("sparql", "TABLE", "its option TABLE has no effect"),
    ],
)
@pytest.mark.parametrize("form", ["pandas", "lazy"])
def test_an_option_without_an_effect_is_refused_by_name(kind, name, message, form):
    uri = {"sql": "postgresql://localhost/x", "omop": "jdbc:postgresql://localhost/x", "sparql": "http://localhost/x"}
    database = Database("clinic", uri.get(kind, "/data/x"), kind, {name: "hidden"})
    with pytest.raises(DatabaseUnreadable) as excinfo:
        data.load(database, form, None)
    assert str(excinfo.value).startswith(f"database 'clinic': {message}")
    assert "hidden" not in str(excinfo.value) + excinfo.value.detail


def test_a_name_that_the_owner_invented_is_only_for_the_owner():
    database = Database("clinic", "/data/x", "csv", {"KRASTOV": "1", "NROWS": "2"})
    with pytest.raises(
        DatabaseUnreadable, match=r"options \(named in the owner's log\), NROWS have no effect"
    ) as excinfo:
        data.load(database, "pandas", None)
    assert "KRASTOV" not in str(excinfo.value)
    assert "KRASTOV" in excinfo.value.detail


def test_several_options_without_an_effect_are_refused_together():
    database = Database("clinic", "/data/x", "parquet", {"SEP": ";", "DECIMAL": ","})
    with pytest.raises(DatabaseUnreadable, match=r"its options DECIMAL, SEP have no effect .* remove them"):
        data.load(database, "pandas", None)


@pytest.mark.parametrize("kind", ["csv", "excel", "parquet", "sql"])
@pytest.mark.parametrize("name", ["URI", "TYPE", "DBMS", "USER", "USERNAME", "PASSWORD"])
def test_options_of_the_node_and_a_login_are_accepted_for_a_file(kind, name, tmp_path):
    frame, path = pd.DataFrame({"age": [50, 61]}), tmp_path / "x"
    if kind == "sql":
        with contextlib.closing(sqlite3.connect(path)) as base:
            frame.to_sql("people", base, index=False)
    elif kind == "excel":
        frame.to_excel(path, index=False, engine="openpyxl")
    else:
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    table = {"TABLE": "people"} if kind == "sql" else {}
    assert read(Database("clinic", str(path), kind, {name: "hidden", **table}), "pandas") == {"age": [50, 61]}


@pytest.mark.parametrize("form", ["database", "path"])
def test_code_that_reads_a_database_itself_may_have_any_options(form, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("age\n50\n", encoding="utf-8")
    database = Database("clinic", str(path), "csv", {"UNIT": "mmol/l", "SHEET": "visits"})
    assert data.load(database, form, None).value in (database, path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "sql", "frame"])
def test_a_sheet_of_a_database_without_sheets_is_refused(kind):
    with pytest.raises(InputError, match=rf"names a sheet of database 'clinic' of type '{kind}'"):
        data.load(Database("clinic", "/data/x", kind, sheet_name="visits"), "pandas", None)


@pytest.mark.parametrize("sheet", ["", "None"])
def test_a_variable_of_a_sheet_without_a_sheet_is_ignored(sheet, tmp_path):
    (tmp_path / "x.csv").write_text("age\n50\n", encoding="utf-8")
    assert read(Database("clinic", str(tmp_path / "x.csv"), sheet_name=sheet), "pandas") == {"age": [50]}


def test_missing_values_by_column_are_refused_instead_of_ignored():
    with pytest.raises(DatabaseUnreadable, match="its option NA_VALUES must be texts separated"):
        dialect(NA_VALUES='{"age": [-9]}')


def _zip(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/x.csv", data)
        archive.writestr("__MACOSX/x.csv", b"metadata of macOS")
    return target.getvalue()


def _zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


COMPRESSED = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zstd": _zstd, "zip": _zip}


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", bytes(range(256)) * 5000], ids=["nothing", "a row", "much"])
def test_the_first_bytes_show_the_compression(kind, data, tmp_path):
    path = tmp_path / "default.csv"
    path.write_bytes(COMPRESSED[kind](data))
    assert detect_compression(path) == kind
    with open_decompressed(path) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "zstd"])
def test_concatenated_compressed_files_are_read_as_one_file(kind, tmp_path):
    path = tmp_path / "default.csv"
    path.write_bytes(COMPRESSED[kind](b"a,b\n") + COMPRESSED[kind](b"1,2\n"))
    with open_decompressed(path) as stream:
        assert stream.read() == b"a,b\n1,2\n"


@pytest.mark.parametrize("text", [b"", b"BZh91,2\n", b"PK,a\n", b"a,b\n1,2\n", b"\xff\xfea\0"])
def test_a_text_is_not_mistaken_for_a_compressed_file(text, tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(text)
    assert detect_compression(path) is None
    assert open_decompressed(path) is None


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("broken", ["cut", "changed"])
def test_a_broken_compressed_file_is_refused(kind, broken, tmp_path):
    path = tmp_path / "default.csv"
    content = bytearray(COMPRESSED[kind](b"".join(b"%d,%d\n" % (i, i * i) for i in range(20_000))))
    if broken == "cut":
        content = content[: len(content) // 2]
    else:
        middle = len(content) // 2
        content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)
    with (
        pytest.raises(Unreadable, match=f"it is a {kind} file that is broken or incomplete"),
        open_decompressed(path) as stream,
    ):
        stream.read()


def _archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "with 0 files; it must contain one"),
        ({"a.csv": "1", "b.csv": "2"}, "with 2 files; it must contain one"),
        ({"[Content_Types].xml": "", "a.xml": ""}, "it is an Excel file or another office document"),
    ],
)
def test_a_zip_file_must_contain_one_file(files, message, tmp_path):
    with pytest.raises(Unreadable, match=message):
        open_decompressed(_archive(tmp_path / "default.csv", **files))


def test_a_zip_file_with_a_password_is_refused(tmp_path):
    path = _archive(tmp_path / "default.csv", **{"a.csv": "a,b\n1,2\n"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # once in the header of the file, once in the directory at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="it is a zip file with a password"):
        open_decompressed(path)


# --- In a federation. ---


@rpc
def add_up(table: pl.DataFrame, column: Column) -> float:
    return float(table[column].sum())


def test_options_in_python_have_the_names_and_values_of_pandas(tmp_path):
    pd.DataFrame({"code": ["007", "012"], "age": [50, -9]}).to_excel(tmp_path / "x.xlsx", index=False, startrow=1)
    options: Any = {"na_values": [-9], "skiprows": 1, "dtype": {"code": "str"}}
    with Federation([Database("default", str(tmp_path / "x.xlsx"), options=options)], algorithm=[add_up]) as federation:
        assert federation.run(add_up, column="age") == [50]
    for wrong, message in (
        ({"dtype": {"code": str}}, "must be a text, a number"),
        ({"a": 1, "A": 2}, "option A twice"),
    ):
        options = wrong
        with pytest.raises(FederationError, match=message):
            Federation([Database("default", str(tmp_path / "x.xlsx"), options=options)], algorithm=[add_up])


@pytest.mark.parametrize(
    ("name", "option"), [("x.xlsx", "sheet: visits"), ("x.parquet", "sep: ';'"), ("x.csv", "nrows: 1")]
)
def test_an_option_of_a_file_that_has_no_effect_fails_the_run(name, option, tmp_path):
    frame = pd.DataFrame({"age": [50, 61]})
    frame.to_excel(tmp_path / "x.xlsx", index=False)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "federation.yaml").write_text(
        f"organizations:\n  - name: clinic\n    databases:\n      default: {{uri: {name}, {option}}}\n",
        encoding="utf-8",
    )
    with (
        Federation.from_file(tmp_path / "federation.yaml", algorithm=[add_up]) as federation,
        pytest.raises(RunsFailed, match=rf"{option.partition(':')[0].upper()}.*exit code 31"),
    ):
        federation.run(add_up, column="age")


def test_options_in_yaml_are_those_of_pandas(tmp_path):
    pd.DataFrame({"code": ["007", "012"], "age": [50, -9]}).to_excel(tmp_path / "x.xlsx", index=False, startrow=2)
    (tmp_path / "federation.yaml").write_text(
        "organizations:\n  - name: clinic\n    databases:\n      default:\n        uri: x.xlsx\n"
        "        skiprows: 1\n        header: 1\n        na_values: [-9, unknown]\n        dtype: {age: int}\n",
        encoding="utf-8",
    )
    with Federation.from_file(tmp_path / "federation.yaml", algorithm=[add_up]) as federation:
        assert federation.run(add_up, column="age") == [50]
