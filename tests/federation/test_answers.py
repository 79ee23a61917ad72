"""The representation of answers, federations and errors in a notebook."""

from __future__ import annotations

import inspect
import pickle
import re

import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation, RunsFailed, RunsIncomplete, master, rpc
from algotools.errors import FederationError
from algotools.federation import Answers, Client, Dead, Slow, Wrong

FRAMES = {"north": pd.DataFrame({"x": [1, 2]}), "<south>": pd.DataFrame({"x": [5]})}


@rpc
def sum_and_count(data: pd.DataFrame) -> dict[str, float]:
    return {"sum": data["x"].sum(), "count": len(data)}


@rpc
def largest(data: pd.DataFrame) -> float:
    return data["x"].max()


@rpc
def breaks(data: pd.DataFrame) -> float:
    raise ValueError("not today")


def cells(html: str) -> list[list[str]]:
    """Return the rows of a table, the header row first."""
    return [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", html)]


@pytest.fixture(scope="module")
def federation():
    with Federation(FRAMES, algorithm=[sum_and_count, largest, breaks]) as federation:
        yield federation


def test_answers_equal_a_list_and_know_their_organizations(federation: Federation) -> None:
    answers = federation.run(largest)
    assert answers == [2, 5]
    assert answers.organizations == {2: "north", 3: "<south>"}
    assert answers.items() == [(2, 2), (3, 5)]
    answers.append(8)
    assert answers.items() == [(2, 2), (3, 5)]


@master
def largest_of_all(client: AlgorithmClient) -> float:
    return max(client.run(largest))


def test_the_tasks_of_results_have_records() -> None:
    with Federation(FRAMES, algorithm=[largest, largest_of_all]) as federation:
        with pytest.raises(FederationError, match="no task yet"):
            _ = federation.last_task
        answers = federation.run(largest)
        assert federation.ask(largest_of_all) == 5
        record = federation.record(federation.last_task.id)
        assert [item["result"] for item in record["results"]] == [5]
        assert answers.task_id is not None
        record = federation.record(answers.task_id)
        assert [item["result"] for item in record["results"]] == answers
        grid = federation.map(largest, [{}])
        assert grid[0].results.task_id == federation.last_task.id


@master
def largest_by_organization(client: AlgorithmClient) -> dict[str, object]:
    results = client.run(largest, organizations=[4, 2, 3], quorum=2)
    return {"organizations": results.organizations, "items": results.items(), "failed": list(results.failures)}


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_masters_results_know_their_organizations(contract: str) -> None:
    nodes = {**FRAMES, "west": pd.DataFrame({"x": [9]})}
    faults = {2: Wrong(ValueError("broken"))}
    with (
        Federation(nodes, algorithm=[largest, largest_by_organization], contract=contract, faults=faults) as each,
        pytest.warns(RunsIncomplete, match="2 of 3 organizations; north failed"),
    ):
        result = each.ask(largest_by_organization)
    assert result == {"organizations": [4, 3], "items": [[4, 9], [3, 5]], "failed": [2]}


def test_dictionaries_have_a_column_for_each_key(federation: Federation) -> None:
    assert cells(federation.run(sum_and_count)._repr_html_()) == [
        ["organization", "sum", "count"],
        ["north (2)", "3", "2"],
        ["&lt;south&gt; (3)", "5", "1"],
    ]


def test_other_answers_have_one_column_in_the_order_of_the_call(federation: Federation) -> None:
    assert cells(federation.run(largest, at=[3, 2])._repr_html_()) == [
        ["organization", "result"],
        ["&lt;south&gt; (3)", "5"],
        ["north (2)", "2"],
    ]


def test_a_missing_key_is_an_empty_cell_and_a_long_value_is_cut() -> None:
    answers = Answers([{"a": "x" * 500}, {"b": [1, None]}], {2: "north", 3: "south"})
    [head, first, second] = cells(answers._repr_html_())
    assert (head, second) == (["organization", "a", "b"], ["south (3)", "", "[1, null]"])
    assert first[1] == "x" * 99 + "…"


def test_tables_and_nested_keys_are_not_json_and_many_rows_are_counted() -> None:
    table = {"mean": {"f": 1.5, "m": 2.5}, "count": {"f": 3, "m": 4}}
    shown = cells(Answers([table, table], {2: "north", 3: "south"})._repr_html_())
    assert shown[:3] == [
        ["organization", "row", "mean", "count"],
        ["north (2)", "f", "1.5", "3"],
        ["north (2)", "m", "2.5", "4"],
    ]
    assert len(shown) == 5
    [head, row] = cells(Answers([{"n": 1, "by": {"f": {"age": 2}}}], {2: "north"})._repr_html_())
    assert (head, row) == (["organization", "n", "by.f.age"], ["north (2)", "1", "2"])
    long = Answers([[{"a": i, "b": i} for i in range(130)]], {2: "north"})._repr_html_()
    assert "… 30 more rows" in long
    assert cells(Answers([None, 1], {2: "north"})._repr_html_())[1:] == [["north (2)", "null"], ["", "1"]]


def test_a_federation_shows_its_nodes(federation: Federation) -> None:
    assert cells(federation._repr_html_())[1] == ["north (2)", "default"]


def test_an_error_is_shown_without_the_frames_of_algotools(federation: Federation) -> None:
    with pytest.raises(RunsFailed) as raised:
        federation.run(breaks, at="north")
    lines = raised.value._render_traceback_()
    assert lines[0] == "RunsFailed (61): breaks failed at 1 of 1 organization"
    assert "ValueError: not today" in lines
    assert not any("_federation.py" in line for line in lines)


def test_public_classes_show_their_documented_module() -> None:
    for class_ in (Answers, Client, Dead, Federation, Slow, Wrong):
        assert class_.__module__ == "algotools.federation"
    answers = Answers([1], {2: "a"})
    assert pickle.loads(pickle.dumps(answers)) == answers


def test_help_shows_the_keywords_of_from_file() -> None:
    constructor, from_file = inspect.signature(Federation), inspect.signature(Federation.from_file)
    keywords = {p for p in constructor.parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert keywords
    assert keywords <= set(from_file.parameters.values())
