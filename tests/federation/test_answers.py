"""What a notebook shows of answers, of a federation, and of what went wrong."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from algotools import Federation, RunsFailed, rpc
from algotools.federation import Answers

FRAMES = {"north": pd.DataFrame({"x": [1, 2]}), "<south>": pd.DataFrame({"x": [5]})}


@rpc
def sum_and_count(data: pd.DataFrame) -> dict[str, float]:
    return {"sum": data["x"].sum(), "count": len(data)}


@rpc
def largest(data: pd.DataFrame) -> float:
    return data["x"].max()


@rpc
def breaks(data: pd.DataFrame) -> float:
    raise ValueError("so it is")


def cells(html: str) -> list[list[str]]:
    """The rows of a table, its head first."""
    return [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", html)]


@pytest.fixture(scope="module")
def federation():
    with Federation(FRAMES, algorithm=[sum_and_count, largest, breaks]) as made:
        yield made


def test_answers_are_the_list_that_they_hold(federation: Federation) -> None:
    answers = federation.run(largest)
    assert answers == [2, 5]
    assert answers.organizations == {2: "north", 3: "<south>"}


def test_dictionaries_have_a_column_for_each_key(federation: Federation) -> None:
    assert cells(federation.run(sum_and_count)._repr_html_()) == [
        ["organization", "sum", "count"],
        ["north (2)", "3", "2"],
        ["&lt;south&gt; (3)", "5", "1"],
    ]


def test_other_answers_have_one_column_and_the_order_asked_for(federation: Federation) -> None:
    assert cells(federation.run(largest, at=[3, 2])._repr_html_()) == [
        ["organization", "answer"],
        ["&lt;south&gt; (3)", "5"],
        ["north (2)", "2"],
    ]


def test_a_key_that_one_answer_lacks_is_an_empty_cell_and_a_long_one_is_cut() -> None:
    answers = Answers([{"a": "x" * 500}, {"b": [1, None]}], {2: "one", 3: "two"})
    [head, first, second] = cells(answers._repr_html_())
    assert (head, second) == (["organization", "a", "b"], ["two (3)", "", "[1, null]"])
    assert first[1] == "x" * 99 + "…"


def test_a_federation_shows_its_nodes(federation: Federation) -> None:
    assert cells(federation._repr_html_())[1] == ["north (2)", "default"]


def test_an_error_is_shown_without_the_way_through_our_code(federation: Federation) -> None:
    with pytest.raises(RunsFailed) as raised:
        federation.run(breaks, at="north")
    shown = raised.value._render_traceback_()
    assert shown[0] == "RunsFailed (61): breaks failed at 1 of 1 organization"
    assert "ValueError: so it is" in shown
    assert not any("asking.py" in line for line in shown)
