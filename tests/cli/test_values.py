"""Results as text: trees, tables and lists that fit into a terminal and leave nothing out."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from algotools.cli._values import MOST_ROWS, format_value
from algotools.payload import encode_plain


def show(value: object, width: int = 80) -> str:
    """Return the text of a value as a researcher receives it."""
    return "\n".join(format_value(json.loads(encode_plain(value).data), width))


def test_scalars() -> None:
    assert [show(value) for value in (53.25, 4, True, None, "text", "", [], {})] == [
        "53.25", "4", "true", "null", "text", '""', "[]", "{}",
    ]  # fmt: skip
    assert show("\x1b[31mred\n") == r"\x1b[31mred\n"


def test_a_mapping_is_an_indented_tree_with_aligned_numbers() -> None:
    value = {
        "sum": 253.5,
        "count": 4,
        "name": "x",
        "by": {("f", False): 3, ("m", True): 12},
        "edges": [1, 2.5],
        "no": {},
    }
    assert show(value) == (
        "sum    253.5\ncount    4\nname   x\nby\n  f, false   3\n  m, true   12\nedges\n  1, 2.5\nno     {}"
    )


def test_tables() -> None:
    frame = pd.DataFrame({"count": [6, 14], "mean": [60.0, None], "level": ["low", "rather high"]}, index=["f", "m"])
    assert show({"ages": frame}) == (
        "ages\n"
        "     count    mean  level\n"
        "  ─  ─────  ──────  ───────────\n"
        "  f      6    60.0  low\n"
        "  m     14  null    rather high"
    )


def test_a_table_with_several_levels() -> None:
    index = pd.MultiIndex.from_tuples([("f", True), ("m", False)], names=["sex", "smoker"])
    columns = pd.MultiIndex.from_tuples([("age", "mean"), ("age", "count")])
    assert show(pd.DataFrame([[60.5, 3], [7.25, 12]], index=index, columns=columns)) == (
        "               age    age\n"
        "sex  smoker   mean  count\n"
        "───  ──────  ─────  ─────\n"
        "f    true    60.5       3\n"
        "m    false    7.25     12"
    )


def test_records_and_a_matrix() -> None:
    assert show([{"a": 1, "b": "x"}, {"a": 20, "b": None}]) == " a  b\n──  ────\n 1  x\n20  null"
    assert show([[1.0, 0.5], [12.25, -3]]) == " 1.0    0.5\n12.25  -3"


def test_a_wide_table_is_split_by_columns() -> None:
    lines = show({f"column{number}": {"f": number / 7, "m": 1} for number in range(1, 9)}).splitlines()
    assert [line for line in lines if line.startswith("(")] == [
        "(columns 1 to 3 of 8)",
        "(columns 4 to 7 of 8)",
        "(column 8 of 8)",
    ]
    assert sum(line.startswith("f  ") for line in lines) == 3, "each part repeats the labels of the rows"
    assert max(map(len, lines)) <= 80


def test_words_are_not_divided() -> None:
    text = "the quick brown fox jumps over the lazy dog and sleeps"
    rows = [{"name": "first", "text": text, "more": text}, {"name": "second", "text": "short", "more": "short"}]
    for value in (text, {"key": text}, rows):
        lines = show(value, 40).splitlines()
        assert max(map(len, lines)) <= 40
        assert {word for line in lines for word in line.split()} >= set(text.split())


def test_what_is_left_out_is_counted() -> None:
    assert show(list(range(MOST_ROWS + 5))).endswith("… 5 more items; --json and --output FILE have all of them")
    table = pd.DataFrame({"a": range(MOST_ROWS + 1), "b": 1})
    assert show(table).endswith("… 1 more row; --json and --output FILE have all of them")


WORDS = st.text(alphabet="abcäß漢", min_size=1, max_size=8)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e6, 1e6).map(lambda x: round(x, 4)) | WORDS
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)


def list_scalars(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *list_scalars(item))]
    if isinstance(value, list):
        return [text for item in value for text in list_scalars(item)]
    return [value if isinstance(value, str) else json.dumps(value)]


@given(VALUES, st.sampled_from([60, 80, 200]))
def test_every_value_is_shown_and_fits(value: Any, width: int) -> None:
    lines = format_value(value, width)
    assert max(map(cell_len, lines)) <= width
    shown = "\n".join(lines)
    assert all(text in shown for text in list_scalars(value))


def test_a_deeply_nested_result_ends_as_json() -> None:
    value: dict[str, object] = {"last": 1}
    for _ in range(480):
        value = {"k": value}
    lines = format_value(value, 80)
    assert lines[:3] == ["k", "  k", "    k"]
    text = "".join(line.strip().replace(" ", "") for line in lines)
    assert text.count("k") == 480
    assert '{"last":1}' in text
