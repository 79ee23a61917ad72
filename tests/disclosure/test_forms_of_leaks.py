"""Leaks that depend on the form of a value: a dtype, a sign, a category without rows, a number in a text."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from algotools.disclosure import _rounding
from algotools.disclosure._content import read_content
from algotools.disclosure.facts import Known
from algotools.disclosure.policy import Policy
from algotools.disclosure.rules import judge
from algotools.disclosure.tables import ReadTables
from algotools.payload import decode_rich, encode_plain, encode_rich

FRAME = pd.DataFrame(
    {
        "weight": [60.25 + i for i in range(60)],
        "name": [f"Person {chr(65 + i % 26)}{'x' * (i // 26)}" for i in range(60)],
        "sex": ["male", "female"] * 30,
    }
)


def list_rules(
    value: Any, table: Any = FRAME, form: str = "pandas", *, is_rich: bool = False, **policy: Any
) -> set[str]:
    """Return the rules that refuse a value, which an algorithm with the source texts *n* and *age* returns."""
    tables = ReadTables()
    tables.add("default", form, table)
    data = encode_rich(value) if is_rich else encode_plain(value).data
    known = Known(texts=frozenset({"n", "age", *FRAME.columns}))
    matches = tables.match_result(data, known.texts, lambda: ())
    return {refusal.rule for refusal in judge(read_content(data), known, matches, Policy(**policy))}


@pytest.mark.parametrize(
    "value",
    [
        pd.Series(pd.Categorical(["male"] * 4, categories=["male", *FRAME["name"]])),
        pd.DataFrame({"n": pd.Categorical(["male"] * 4, categories=["male", *FRAME["name"]])}),
        pd.Series(
            [4, 5, 6], index=pd.CategoricalIndex(["n", "age", "sex"], categories=["n", "age", "sex", "Person A"])
        ),
        pd.Series([4, 5, 6], name="Person A"),
        pd.Series([4, 5, 6], index=pd.Index(["n", "age", "sex"], name="Person A")),
        pl.DataFrame({"n": pl.Series(["male"] * 4, dtype=pl.Enum(["male", *FRAME["name"]]))}),
        pa.table({"n": pa.DictionaryArray.from_arrays([0, 0, 0], ["male", "Person A"])}),
    ],
    ids=["series", "frame", "index", "name", "name of an index", "polars", "arrow"],
)
def test_labels_that_only_the_encoding_of_a_master_has_are_judged(value: Any) -> None:
    assert list_rules(value, is_rich=True) == {"text"}
    assert list_rules(value) == set()


def test_categories_without_rows_that_the_researcher_knows_leave() -> None:
    value = pd.Series(pd.Categorical(["male"] * 4, categories=["male", "female"]), name="proportion")
    assert list_rules(value, is_rich=True) == set()


@pytest.mark.parametrize(
    "value", ["age 71", {"age 71": None}, ["n", "71, 60.25"]], ids=["text", "key", "list of texts"]
)
def test_a_number_in_a_text_of_data_that_algotools_does_not_read_is_withheld(value: Any) -> None:
    assert "unread" in list_rules(value, Path("patients.csv"), "path")
    assert "unread" not in list_rules(value, Path("patients.csv"), "path", unread="allow")
    assert list_rules("n", Path("patients.csv"), "path") == set()


def test_counts_that_became_floats_are_withheld_if_their_keys_are_levels() -> None:
    counts = {"male": 58.0, "female": 2.0}
    assert list_rules(counts) == {"small"}
    assert list_rules(pd.Series(counts), is_rich=True) == {"small"}
    assert list_rules({"male": 58.0, "female": 3.0}) == set()
    assert list_rules({"n": 58.0, "age": 2.0}) == set()


def test_a_negated_cell_is_a_cell() -> None:
    assert list_rules({"n": -61.25}) == {"echo"}
    assert list_rules({"n": -61.5}) == set()


def test_numbers_of_a_category_of_arrow_are_cells() -> None:
    table = pa.table({"weight": pa.array(FRAME["weight"]).dictionary_encode()})
    assert list_rules({"n": 61.25}, table, "arrow") == {"echo"}


@pytest.mark.parametrize("form", ["polars", "lazy"])
def test_durations_do_not_fail_the_run(form: str) -> None:
    table = pl.from_pandas(FRAME).with_columns(pl.duration(hours=pl.col("weight")).alias("stay"))
    assert list_rules({"male": 30}, table if form == "polars" else table.lazy(), form) == set()


def test_rounding_keeps_the_types_of_columns() -> None:
    frame = pd.DataFrame(
        {
            "single": np.array([1.23456, 2, 3], dtype="float32"),
            "byte": np.array([1, 2, 3], dtype="uint8"),
            "large": [2**62 + 1, 5, 6],
            "nullable": pd.array([1.23456, None, 3], dtype="Float64"),
            "complex": np.array([1.23456j, 2, 3]),
            "text": ["a", None, "b"],
            "object": [Decimal("1.5"), 1.23456, None],
        }
    )
    rounded = decode_rich(_rounding.round_result(encode_rich(frame), 3))
    assert list(rounded.dtypes) == list(frame.dtypes)
    assert rounded["large"].tolist() == frame["large"].tolist()
    assert rounded["single"].tolist() == [pytest.approx(1.23), 2, 3]
    assert rounded["nullable"].tolist()[0] == 1.23
    assert rounded["object"].tolist()[1] == 1.23
    assert rounded["complex"].tolist()[0] == 1.23j
