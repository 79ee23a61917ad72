"""A Parquet file is what pandas makes of it, and what is written pandas gives back, in a peer's container, too."""

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
from algotools.data.parquet import columns_of, encode
from algotools.errors import DatabaseUnreadable, NotSerializable
from algotools.task import Database

from ..conftest import SECRET
from .conftest import frames, same


def load(path: Path | str, columns: frozenset[str] | None = None) -> data.Loaded:
    return data.load(Database("default", str(path), "parquet"), "pandas", columns)


_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parquet")


@settings(max_examples=60)
@given(frame=frames())
def test_what_we_write_is_what_peers_write(folder, frame):
    ours, theirs = folder / f"{next(_numbers)}", folder / f"{next(_numbers)}"
    ours.write_bytes(encode(frame))
    frame.to_parquet(theirs, engine="pyarrow")

    same(pd.read_parquet(ours, engine="pyarrow"), pd.read_parquet(theirs, engine="pyarrow"))
    same(load(ours).value, pd.read_parquet(theirs, engine="pyarrow"))
    assert pq.read_schema(ours) == pq.read_schema(theirs)


@settings(max_examples=60)
@given(frame=frames(), choice=st.data())
def test_of_what_peers_write_only_the_asked_columns_are_read(folder, frame, choice):
    path = folder / f"{next(_numbers)}"
    frame.to_parquet(path, engine="pyarrow", compression=choice.draw(st.sampled_from(["snappy", "zstd", None])))
    whole = pd.read_parquet(path, engine="pyarrow")
    names = [str(name) for name in whole.columns]
    chosen = choice.draw(st.lists(st.sampled_from(names), unique=True)) if names else []

    part = load(path, frozenset([*chosen, "no such column"]))
    same(part.value, pd.read_parquet(path, engine="pyarrow", columns=[name for name in names if name in chosen]))
    assert part.columns == names


@settings(max_examples=30)
@given(frame=frames())
def test_the_columns_of_a_file_are_those_that_a_node_posts(folder, frame):
    path = folder / f"{next(_numbers)}"
    path.write_bytes(encode(frame))

    assert columns_of(path) == [(field.name, str(field.type)) for field in pq.read_table(path).schema]


def test_the_types_are_those_that_one_expects():
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
        same(load(path).value, frame)


@pytest.mark.parametrize(
    "name", ["a[1]*.parquet", "a?.parquet", 'it\'s "x".parquet', "[ab].parquet", "a b=1.parquet", "{a,b}"]
)
def test_the_name_of_a_file_means_that_file(tmp_path, name):
    folder = tmp_path / "k=[1]*"
    folder.mkdir()
    for other, value in (("a1x.parquet", 1), ("ab.parquet", 2), ("a.parquet", 3), ("b", 4)):
        pd.DataFrame({"a": [value]}).to_parquet(folder / other)
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
    same(load(folder).value, pd.read_parquet(folder, engine="pyarrow"))
    assert load(folder).value["a"].tolist() == [1, 2, 3, 4, 5]


def test_an_arrow_table_is_written_as_it_is():
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
def test_a_column_that_has_no_place_in_parquet_is_refused_by_name_and_not_quoted(values):
    with pytest.raises(NotSerializable, match="column 'visits' has values of several kinds") as refused:
        encode(pd.DataFrame({"ok": range(len(values)), "visits": values}))
    assert SECRET not in refused.value.message
    assert "4711" not in refused.value.message


def test_a_label_that_is_no_text_is_told_by_its_position():
    with pytest.raises(NotSerializable, match="column 1 has values") as refused:
        encode(pd.DataFrame({7: [1], 4711: [1j]}))
    assert "4711" not in refused.value.message


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(NotSerializable, match="each a name of its own"):
        encode(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(
    "value", [None, {"a": [1]}, [1], "text", pd.Series([1]), np.zeros(2), pa.array([1])], ids=lambda v: type(v).__name__
)
def test_what_is_no_table_is_refused(value):
    with pytest.raises(NotSerializable, match=r"must return one, of pandas, .*, not a value of type "):
        encode(value)


@pytest.mark.parametrize(
    "content",
    [b"", b"PAR1", b"PAR1PAR1", b"PAR1" + b"\xff" * 30 + b"PAR1", b"x" * 100, b"PAR1" + b"x" * 20 + b"PARE"],
    ids=["empty", "start", "no footer", "garbage within", "garbage", "encrypted"],
)
def test_what_is_no_parquet_is_refused(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    for read in (columns_of, load):
        with pytest.raises(DatabaseUnreadable, match=r"'(x|default)'"):
            read(tmp_path / "x")


def test_a_file_that_is_broken_within_is_refused_and_not_quoted(tmp_path):
    content = bytearray(encode(pd.DataFrame({"a": [SECRET] * 1000})))
    content[4:400] = bytes(396)
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DatabaseUnreadable) as refused:
        load(tmp_path / "x")
    assert SECRET not in refused.value.message
