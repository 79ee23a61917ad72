"""The gate of a run, from the function to the output file: what leaves, what is withheld, and what a reader sees."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from algotools import Database, Federation, RunsFailed
from algotools.errors import Failure

from ..conftest import ALGORITHMS

VISITS = pd.DataFrame(
    {
        "patient": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6],
        "age": [31, 31, 45, 45, 58, 58, 62, 62, 77, 77, 80, 80],
        "weight": [70.25, 70.5, 61.0, 61.5, 55.75, 56.0, 81.25, 80.5, 90.0, 91.5, 66.0, 66.5],
        "group": ["a", "a", "b", "b", "b", "b", "a", "a", "a", "a", "b", "b"],
        "name": [f"{chr(65 + i // 2)}. Jan{i // 2}sen" for i in range(12)],
    }
)


Make = Callable[..., Federation]


@pytest.fixture(scope="module", params=["inline", "process"])
def standard(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation of one node with the policy ``standard``, with each runner."""
    algorithm = ALGORITHMS / "judged"
    with Federation([VISITS], algorithm=algorithm, policy="standard", runner=request.param) as federation:
        yield federation


@pytest.fixture
def make() -> Iterator[Make]:
    """Return a function that makes a federation with another policy or other tables.

    Its runner is ``inline``: `tests/federation/test_policy.py` checks that policies and facts reach other runners.
    """
    opened: list[Federation] = []

    def create(policy: Any = "standard", frames: Any = (VISITS,)) -> Federation:
        opened.append(Federation(list(frames), algorithm=ALGORITHMS / "judged", policy=policy, runner="inline"))
        return opened[-1]

    yield create
    for federation in opened:
        federation.close()


def fail(federation: Federation, function: Any, **arguments: Any) -> Failure:
    """Run a function that must fail, and return the failure; its output must be empty."""
    with pytest.raises(RunsFailed) as caught:
        federation.run(function, **arguments)
    assert all(not run.output for run in federation.tasks()[-1].runs)
    return next(iter(caught.value.failures.values()))


def test_sums_and_counts_leave(standard: Federation) -> None:
    assert standard.run("sums", column="weight") == [{"sum": VISITS["weight"].sum(), "count": 12}]


def test_levels_with_enough_records_are_keys(standard: Federation) -> None:
    assert list(standard.run("sums_by_group", column="weight", by="group")[0]) == ["a", "b"]


@pytest.mark.parametrize(
    ("function", "arguments", "rule"),
    [
        ("rows", {"column": "weight"}, "length"),
        ("array_of_rows", {"column": "weight"}, "length"),
        ("heaviest", {"column": "weight"}, "echo"),
        ("heaviest", {"column": "age"}, "extreme"),
        ("sums_by_group", {"column": "weight", "by": "name"}, "text"),
        ("count_above", {"column": "weight", "limit": 90.5}, "small"),
    ],
)
def test_a_result_of_few_records_is_withheld(
    standard: Federation, function: Any, arguments: dict[str, Any], rule: str
) -> None:
    failure = fail(standard, function, **arguments)
    assert failure.exit_code == 54
    assert f"(rule {rule})" in failure.message
    assert not any(str(value) in failure.message for value in [*VISITS["weight"], *VISITS["name"]])
    assert f"rule {rule} at result" in failure.detail


def test_a_withheld_result_never_reaches_a_master(make: Make) -> None:
    federation = make(frames=[VISITS, VISITS.head(2)])
    with pytest.raises(RunsFailed) as caught:
        federation.ask("totals", column="weight")
    assert "rule rows" in str(caught.value)


def test_a_master_without_a_table_is_not_judged(make: Make) -> None:
    assert make(frames=[VISITS, VISITS]).ask("totals", column="weight")["nodes"] == 2


def test_a_master_that_reads_a_table_is_judged(standard: Federation) -> None:
    assert "rule length" in fail(standard, "own_rows").message


def test_an_argument_may_come_back(standard: Federation) -> None:
    assert standard.run("count_above", column="weight", limit=70.25) == [{"above": 5, "limit": 70.25}]


def test_a_table_of_few_rows_gives_no_result_and_an_empty_one_does(make: Make) -> None:
    assert "rule rows" in fail(make(frames=[VISITS.head(2)]), "whole_table").message
    assert make(frames=[VISITS.head(0)]).run("whole_table") == [{"count": 0}]


def test_the_author_makes_the_policy_stricter(standard: Federation) -> None:
    assert "fewer than 20 records" in fail(standard, "strict_sum", column="weight").message


@pytest.mark.parametrize("function", ["lazy_sum", "duckdb_sums", "streamed_count"])
def test_the_rows_of_lazy_forms_are_counted(standard: Federation, make: Make, function: Any) -> None:
    arguments: dict[str, Any] = {"column": "weight"} if function != "streamed_count" else {}
    if function == "duckdb_sums":
        arguments["by"] = "group"
    assert standard.run(function, **arguments)
    assert "rule rows" in fail(make(frames=[VISITS.head(2)]), function, **arguments).message


def test_data_of_unknown_size_needs_the_owners_consent(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "visits.csv"
    VISITS.to_csv(file, index=False)
    assert "rule unread" in fail(make(frames=[file]), "unread").message
    assert make({"unread": "allow"}, frames=[file]).run("unread") == [{"count": 13}]


def test_the_owner_chooses_the_minimum(make: Make) -> None:
    assert make({"minimum_cell": 6}).run("count_above", column="weight", limit=70.0)
    assert "fewer than 7 records" in fail(make({"minimum_cell": 7}), "count_above", column="weight", limit=70.0).message


def test_records_are_persons_if_the_owner_names_their_column(make: Make) -> None:
    policy = {"persons": ["default=patient"], "minimum_rows": 7}
    assert "fewer than 7 records" in fail(make(policy), "sums", column="weight").message
    assert make({**policy, "minimum_rows": 6}).run("sums", column="weight")


def test_the_column_of_persons_is_not_given_to_the_function(make: Make) -> None:
    assert make({"persons": ["default=patient"]}).run("columns_of") == [["age"]]


def test_a_column_of_persons_that_is_missing_is_an_error_of_the_owner(make: Make) -> None:
    assert fail(make({"persons": ["default=insured"]}), "sums", column="weight").exit_code == 55


@pytest.mark.parametrize(
    ("policy", "function", "arguments", "part"),
    [
        ({"functions": ["rows", "totals"]}, "sums", {"column": "weight"}, "setting functions"),
        ({"databases": ["other"]}, "sums", {"column": "weight"}, "database 'default'"),
        ({"columns": ["age", "group"]}, "sums", {"column": "weight"}, "column 'weight'"),
        ({"forbidden_columns": ["wei*"]}, "sums", {"column": "weight"}, "column 'weight'"),
        ({"forbidden_columns": ["name"]}, "whole_table", {}, "one of the columns that the function reads"),
    ],
)
def test_the_owner_lists_functions_databases_and_columns(
    make: Make, policy: dict[str, Any], function: Any, arguments: dict[str, Any], part: str
) -> None:
    failure = fail(make(policy), function, **arguments)
    assert failure.exit_code == 54
    assert part in failure.message


def test_the_owner_forbids_queries(make: Make, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "visits.sqlite")) as connection:
        VISITS.to_sql("visits", connection, index=False)
    source = f"sqlite:///{tmp_path / 'visits.sqlite'}"
    chosen = Database("default", query="SELECT * FROM visits WHERE patient = 1")
    everything = Database("default", query="SELECT * FROM visits")
    assert "rule rows" in fail(make(frames=[source]), "whole_table", databases=[chosen]).message
    assert make(frames=[source]).run("whole_table", databases=[everything]) == [{"count": 12}]
    failure = fail(make({"queries": "forbid"}, frames=[source]), "whole_table", databases=[everything])
    assert (failure.exit_code, "setting queries" in failure.message) == (54, True)


def test_a_list_of_columns_holds_for_its_own_database(make: Make) -> None:
    frames = {"first": VISITS.rename(columns={"name": "kept"}), "second": VISITS}
    policy = {"databases": {"second": {"forbidden_columns": ["age"]}}}
    federation = make(policy, frames=[frames])
    assert federation.run("sums", databases="first", column="age")
    failure = fail(federation, "sums", databases="second", column="age")
    assert "column 'age'" in failure.message
    assert "name" in fail(make({"forbidden_columns": ["name"]}), "whole_table").detail


def test_messages_of_the_source_pass_and_values_do_not(standard: Federation) -> None:
    standard.run("talkative", column="weight")
    assert standard.tasks()[-1].runs[0].log.splitlines() == [
        "info > sum of weight over 12 rows",
        "info > (log line withheld: a text is not in the algorithm's source, or a number is a value of few records)",
        "info > no names",
        "progress > 50% half",
        "progress > 75%",
    ]


def test_the_owner_may_let_all_messages_pass(make: Make) -> None:
    federation = make({"messages": "any"})
    federation.run("talkative", column="weight")
    assert f"the first value is {VISITS['weight'][0]}" in federation.tasks()[-1].runs[0].log


def test_the_fields_of_an_error_are_judged(standard: Federation, make: Make) -> None:
    failure = fail(standard, "complains", column="weight")
    oldest = VISITS["weight"].max()
    assert str(oldest) not in failure.message
    assert failure.exit_code == 40
    message = f"the oldest in weight is {oldest}"
    assert fail(standard, "complains_of_column", column="weight", age=oldest).message == message
    assert fail(make("off"), "complains", column="weight").message == message


def test_the_policy_is_hidden_from_the_author(make: Make) -> None:
    assert make({"texts": "any", "minimum_rows": 4}).run("variables_of_node") == [{"policy": ""}]


def test_digits_round_the_numbers_that_leave(make: Make) -> None:
    values = VISITS.assign(weight=VISITS["weight"] / 3)
    (result,) = make({"digits": 3}, frames=[values]).run("sums", column="weight")
    assert result == {"sum": float(f"{values['weight'].sum():.3g}"), "count": 12}


def test_digits_round_arrays_and_tables_for_a_master() -> None:
    from algotools.disclosure._rounding import round_result
    from algotools.payload import decode_rich, encode_rich

    frame = pd.DataFrame({"x": [1.23456, np.nan], "n": [12345, 7], "t": ["a", None]})
    value = {"array": np.array([[1.23456, 98765.4]]), "frame": frame, "arrow": pa.table({"x": [0.0123456]})}
    rounded: Any = decode_rich(round_result(encode_rich(value), 3))
    assert rounded["array"].tolist() == [[1.23, 98800.0]]
    pd.testing.assert_frame_equal(rounded["frame"], frame.assign(x=[1.23, np.nan]))
    assert rounded["arrow"].to_pydict() == {"x": [0.0123]}


def test_off_judges_nothing(make: Make) -> None:
    federation = make("off")
    line = "info > the policy of this node is off, so results and messages are not judged"
    assert federation.run("rows", column="weight") == [VISITS["weight"].tolist()]
    assert json.loads(json.dumps(federation.run("heaviest", column="weight"))) == [91.5]
    assert all(run.log.startswith(line) for task in federation.tasks() for run in task.runs)


def test_a_list_of_columns_may_be_as_long_as_the_table(make: Make) -> None:
    frame = VISITS.head(5)
    assert make(frames=[frame]).run("list_columns") == [list(frame)]
