"""Parquet files are read as pandas reads them, and written so that pandas reads them, also in a peer's container."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools import data
from algotools.data.parquet import encode, list_columns
from algotools.data.reading import Loaded
from algotools.errors import DatabaseUnreadable, NotSerializable
from algotools.task import Database

from ..conftest import SECRET, examples
from .conftest import assert_same, frames


def load(path: Path | str, columns: frozenset[str] | None = None) -> Loaded:
    return data.load(Database("default", str(path), "parquet"), "pandas", columns)


_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parquet")


@settings(max_examples=examples(60))
@given(frame=frames())
def test_a_written_file_equals_the_file_of_pandas(folder, frame):
    our_file, peer_file = folder / f"{next(_numbers)}", folder / f"{next(_numbers)}"
    our_file.write_bytes(encode(frame))
    frame.to_parquet(peer_file, engine="pyarrow")

    assert_same(pd.read_parquet(our_file, engine="pyarrow"), pd.read_parquet(peer_file, engine="pyarrow"))
    assert_same(load(our_file).value, pd.read_parquet(peer_file, engine="pyarrow"))
    assert pq.read_schema(our_file) == pq.read_schema(peer_file)


@settings(max_examples=examples(60))
@given(frame=frames(), choice=st.data())
def test_only_the_requested_columns_are_read(folder, frame, choice):
    path = folder / f"{next(_numbers)}"
    frame.to_parquet(path, engine="pyarrow", compression=choice.draw(st.sampled_from(["snappy", "zstd", None])))
    whole = pd.read_parquet(path, engine="pyarrow")
    names = [str(name) for name in whole.columns]
    chosen = choice.draw(st.lists(st.sampled_from(names), unique=True)) if names else []

    part = load(path, frozenset([*chosen, "no such column"]))
    assert_same(part.value, pd.read_parquet(path, engine="pyarrow", columns=[name for name in names if name in chosen]))
    assert part.columns == names


@settings(max_examples=examples(30))
@given(frame=frames())
def test_the_columns_of_a_file_are_listed_as_a_node_reports_them(folder, frame):
    path = folder / f"{next(_numbers)}"
    path.write_bytes(encode(frame))

    assert list_columns(path) == [(field.name, str(field.type)) for field in pq.read_table(path).schema]


def test_dtypes_become_the_corresponding_arrow_types():
    frame = pd.DataFrame(
        {
            "int": [1, 2],
            "float": [1.5, None],
            "bool": [True, False],
            "day": [dt.date(2024, 2, 29), None],
            "moment": pd.to_datetime(["2024-02-29", None]).as_unit("us"),
            "nullable": pd.array([1, None], "Int16"),
            "decimal": [decimal.Decimal("-1.50"), decimal.Decimal("1E+3")],
        }
    )
    schema = pq.read_table(io.BytesIO(encode(frame))).schema
    assert {field.name: str(field.type) for field in schema} == {
        "int": "int64",
        "float": "double",
        "bool": "bool",
        "day": "date32[day]",
        "moment": "timestamp[us]",
        "nullable": "int16",
        "decimal": "decimal128(6, 2)",
    }


def test_rows_keep_their_order_over_many_row_groups(tmp_path):
    frame = pd.DataFrame({"a": np.random.default_rng(1).permutation(300_000), "b": "x"})
    (tmp_path / "ours").write_bytes(encode(frame))
    frame.to_parquet(tmp_path / "theirs", engine="pyarrow", row_group_size=10_000)
    for path in (tmp_path / "ours", tmp_path / "theirs"):
        assert_same(load(path).value, frame)


@pytest.mark.parametrize(
    "name", ["a[1]*.parquet", "a?.parquet", 'it\'s "x".parquet', "[ab].parquet", "a b=1.parquet", "{a,b}"]
)
def test_a_name_with_pattern_characters_names_one_file(tmp_path, name):
    folder = tmp_path / "k=[1]*"
    folder.mkdir()
    for file_name, value in (("a1x.parquet", 1), ("ab.parquet", 2), ("a.parquet", 3), ("b", 4)):
        pd.DataFrame({"a": [value]}).to_parquet(folder / file_name)
    (folder / name).write_bytes(encode(pd.DataFrame({"a": [77]})))
    for uri in (folder / name, f"file://{folder / name}".replace("?", "%3F")):
        assert load(uri).value.to_dict("list") == {"a": [77]}


def test_a_folder_is_read_as_one_table(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    for name, values in (("b.parquet", [3, 4]), ("a.parquet", [1, 2]), ("c", [5])):
        pd.DataFrame({"a": values, "t": pd.Categorical([f"x{v}" for v in values])}).to_parquet(folder / name)
    (folder / "_SUCCESS").touch()
    (folder / ".hidden").touch()
    assert_same(load(folder).value, pd.read_parquet(folder, engine="pyarrow"))
    assert load(folder).value["a"].tolist() == [1, 2, 3, 4, 5]


def test_an_arrow_table_is_written_unchanged():
    table = pa.table({"a": [[1], [2, 3]], "b": pa.array([1, None], pa.int8())})
    assert pq.read_table(io.BytesIO(encode(table))).equals(table)


@pytest.mark.parametrize(
    "values",
    [
        [1j],
        [SECRET, 4711],
        [SECRET, {SECRET: 1}],
        [object()],
        pd.Series([2**70], dtype=object),
        [decimal.Decimal(10**80)],
    ],
    ids=["complex", "mixed", "mixed with a dict", "an object", "a huge integer", "a huge decimal"],
)
def test_the_owner_reads_the_name_of_an_unsupported_column(values):
    with pytest.raises(NotSerializable, match="a column has values of several types") as excinfo:
        encode(pd.DataFrame({"ok": range(len(values)), "visits": values}))
    assert not any(text in excinfo.value.message for text in (SECRET, "4711", "visits"))
    assert excinfo.value.detail.startswith("columns: 'visits'\n")


def test_a_label_that_is_not_a_text_is_only_for_the_owner():
    with pytest.raises(NotSerializable, match="a column has values") as excinfo:
        encode(pd.DataFrame({7: [1], 4711: [1j]}))
    assert "4711" not in excinfo.value.message
    assert excinfo.value.detail.startswith("columns: 4711\n")


def test_two_columns_with_the_same_name_are_refused():
    with pytest.raises(NotSerializable, match="a unique name"):
        encode(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(
    "value", [None, {"a": [1]}, [1], "text", pd.Series([1]), np.zeros(2), pa.array([1])], ids=lambda v: type(v).__name__
)
def test_a_value_that_is_not_a_table_is_refused(value):
    with pytest.raises(NotSerializable, match=r"must return a table of pandas, .*, not a value of type "):
        encode(value)


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 30 + b"PAR1", b"x" * 100, b"PAR1" + b"x" * 20 + b"PARE"],
    ids=["empty", "start", "no footer", "garbage within", "garbage", "encrypted"],
)
def test_a_file_that_is_not_parquet_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for read in (list_columns, load):
        with pytest.raises(DatabaseUnreadable, match=r"'(x|default)'"):
            read(tmp_path / "x")


def test_a_broken_file_is_refused_without_quoting_it(tmp_path):
    content = bytearray(encode(pd.DataFrame({"a": [SECRET] * 1000})))
    content[4:400] = bytes(396)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DatabaseUnreadable) as excinfo:
        load(tmp_path / "x")
    assert SECRET not in excinfo.value.message
