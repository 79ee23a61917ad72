"""How a CSV file is written is what its owner says, in pandas' words; the file may be compressed, whatever its name."""

import bz2
import gzip
import inspect
import io
import lzma
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools.data.compressed import kind_of, opened
from algotools.data.options import PANDAS_ONLY, Dialect
from algotools.data.reading import Unfit
from algotools.errors import DatabaseUnreadable
from algotools.task import Database


def dialect(uri: str = "/data/x.csv", **options: str) -> Dialect:
    return Dialect.of(Database("clinic", uri, "csv", options=options))


def test_without_options_a_file_is_as_pandas_takes_it():
    assert dialect() == Dialect()
    assert dialect().told == frozenset()


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
def test_an_option_is_read_from_its_text(option, text, field, value):
    found = dialect(**{option: text})
    assert getattr(found, field) == value
    assert found.told == ({field} if value != getattr(Dialect(), field) else frozenset())


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
def test_a_file_of_tabs_is_told_by_its_name(uri, sep):
    assert dialect(uri).sep == sep
    assert dialect(uri, SEP=";").sep == ";"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"SEP": ""}, "its option SEP must be one ASCII character, or \\t for a tab"),
        ({"SEP": ";;"}, "its option SEP must be one ASCII character"),
        ({"SEP": "\n"}, "its option SEP must be one ASCII character"),
        ({"SEP": "\u2013"}, "its option SEP must be one ASCII character"),
        ({"SEP": ";", "DELIMITER": ";"}, "its options SEP and DELIMITER say the same; give one"),
        ({"SEP": '"'}, "its options SEP and QUOTECHAR are the same character"),
        ({"DECIMAL": ",", "THOUSANDS": ","}, "its options DECIMAL and THOUSANDS are the same character"),
        ({"ENCODING": "secret-1"}, "its option ENCODING must be the name of an encoding"),
        ({"ENCODING": "base64"}, "its option ENCODING must be the name of an encoding"),
        ({"SKIPROWS": "-1"}, "its option SKIPROWS must be a number of lines, 0 or more"),
        ({"SKIPROWS": "all"}, "its option SKIPROWS must be a number of lines, 0 or more"),
        ({"NA_VALUES": '["a'}, "its option NA_VALUES must be texts separated by commas, or a JSON list of them"),
        ({"NA_VALUES": '[["a"]]'}, "its option NA_VALUES must be texts separated by commas, or a JSON list of them"),
        ({"PARSE_DATES": "x", "DATE_FORMAT": "day"}, "its option DATE_FORMAT must be a date's format"),
        ({"DATE_FORMAT": "%d"}, "its option DATE_FORMAT says how dates are written, and PARSE_DATES does not"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named_and_not_quoted(options, said):
    with pytest.raises(DatabaseUnreadable) as refused:
        dialect("/secret/x.csv", **options)
    assert str(refused.value).startswith(f"database 'clinic': {said}")
    assert "secret" not in str(refused.value)
    assert "/secret/x.csv" in refused.value.detail


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(max_size=6)
            for name in ("SEP", "DECIMAL", "QUOTECHAR", "ENCODING", "SKIPROWS", "NA_VALUES", "PARSE_DATES", "COMMENT")
        },
    )
)
def test_whatever_the_texts_are_there_is_a_dialect_or_an_error_with_a_name(options):
    try:
        found = dialect(**options)
    except DatabaseUnreadable:
        with pytest.raises(DatabaseUnreadable, match="|".join(options)):
            dialect(**options)
    else:
        assert len(found.sep) == 1
        assert found.told <= {name.lower() for name in options}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("SEPARATOR", "SEP"), ("SEPERATOR", "SEP"), ("DECIMEL", "DECIMAL"), ("DECIMAL_POINT", "DECIMAL"),
     ("ENCODNG", "ENCODING"), ("NA_VALUE", "NA_VALUES"), ("SKIPROW", "SKIPROWS")],
)  # fmt: skip
def test_an_option_that_is_nearly_one_is_refused(name, meant):
    with pytest.raises(
        DatabaseUnreadable, match=f"its option {name} is none of a csv file's; is {meant} meant"
    ) as refused:
        dialect(**{name: "hidden"})
    assert "hidden" not in str(refused.value) + refused.value.detail


@pytest.mark.parametrize("name", ["HEADER", "DTYPE"])
def test_a_word_of_pandas_that_we_do_not_take_is_told_to_the_owner(name, capsys):
    dialect(**{name: "hidden"})
    told = capsys.readouterr().err
    assert f"database 'clinic': nothing is done with {name}; the options of a csv file are SEP," in told
    assert "hidden" not in told


def test_options_of_other_algorithms_are_left_to_them(capsys):
    assert dialect(USER="reader", PASSWORD="hidden", SCHEMA="public") == Dialect()
    assert capsys.readouterr() == ("", "")


def test_every_word_of_pandas_is_known_or_known_to_be_left_out():
    ours = {name.lower() for name in PANDAS_ONLY} | set(Dialect.__struct_fields__) | {"delimiter"}
    assert set(inspect.signature(pd.read_csv).parameters) - {"filepath_or_buffer"} <= ours


def _zip(data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("folder/x.csv", data)
        archive.writestr("__MACOSX/x.csv", b"what a Mac adds")
    return target.getvalue()


def _zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


COMPRESSED = {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zstd": _zstd, "zip": _zip}


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", bytes(range(256)) * 5000], ids=["nothing", "a row", "much"])
def test_how_a_file_is_compressed_is_told_by_its_bytes(kind, data, tmp_path):
    path = tmp_path / "default.csv"
    path.write_bytes(COMPRESSED[kind](data))
    assert kind_of(path) == kind
    with opened(path) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "zstd"])
def test_parts_one_after_the_other_are_one_file(kind, tmp_path):
    path = tmp_path / "default.csv"
    path.write_bytes(COMPRESSED[kind](b"a,b\n") + COMPRESSED[kind](b"1,2\n"))
    with opened(path) as stream:
        assert stream.read() == b"a,b\n1,2\n"


@pytest.mark.parametrize("text", [b"", b"BZh91,2\n", b"PK,a\n", b"a,b\n1,2\n", b"\xff\xfea\0"])
def test_a_text_is_not_taken_for_a_compressed_file(text, tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(text)
    assert kind_of(path) is None
    assert opened(path) is None


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("broken", ["cut", "changed"])
def test_a_broken_file_is_named(kind, broken, tmp_path):
    path = tmp_path / "default.csv"
    whole = bytearray(COMPRESSED[kind](b"".join(b"%d,%d\n" % (i, i * i) for i in range(20_000))))
    if broken == "cut":
        whole = whole[: len(whole) // 2]
    else:
        middle = len(whole) // 2
        whole[middle : middle + 50] = bytes(50)
    path.write_bytes(whole)
    with pytest.raises(Unfit, match=f"it is a {kind} file that is broken or incomplete"), opened(path) as stream:
        stream.read()


def _archive(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds 0 files; it must hold one"),
        ({"a.csv": "1", "b.csv": "2"}, "holds 2 files; it must hold one"),
        ({"[Content_Types].xml": "", "a.xml": ""}, "it is an Excel file, or another office document"),
    ],
)
def test_a_zip_file_must_hold_one_file(files, said, tmp_path):
    with pytest.raises(Unfit, match=said):
        opened(_archive(tmp_path / "default.csv", **files))


def test_a_zip_file_with_a_password_is_named(tmp_path):
    path = _archive(tmp_path / "default.csv", **{"a.csv": "a,b\n1,2\n"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # in the file's own header, and in the directory at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(Unfit, match="it is a zip file that wants a password"):
        opened(path)
