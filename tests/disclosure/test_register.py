"""The evidence of a result's numbers reaches the supervisor, whatever the author does with them in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algotools import aggregate
from algotools.disclosure import register as register_of_run
from algotools.disclosure.facts import Evidence, Matches, Permission
from algotools.disclosure.register import Register, get_register, use_register
from algotools.disclosure.sketch import estimate_difference
from algotools.disclosure.tables import ReadTables
from algotools.payload import encode_plain, encode_rich

ROWS = 50


def make_table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": rng.integers(200, 900, ROWS) / 10,
            "weight": np.where(np.arange(ROWS) == 7, np.nan, rng.normal(70, 10, ROWS)),
            "dead": np.arange(ROWS) % 10 == 0,
            "sex": np.where(np.arange(ROWS) % 3, "F", "M"),
            "patient": np.arange(ROWS) // 5,
        }
    )


DATA = make_table()


def run(
    function: Callable[[pd.DataFrame], object], data: pd.DataFrame = DATA, person: str | None = None, **limits: Any
) -> Matches:
    """Return the facts about the result of a function, as the worker reports them."""
    tables = ReadTables()
    tables.add("default", "pandas", data, person)
    register = Register(Permission(is_judged=True, **limits), tables)
    with use_register(register):
        result = function(data)
    return tables.match_result(encode_plain(result).data, (), tuple, register)


def find(matches: Matches, number: float) -> list[Evidence]:
    """Return each evidence of a number."""
    return [part.evidence for part in matches.evidence if number in np.frombuffer(part.numbers, "<f8")]


@pytest.mark.parametrize(
    "change",
    [
        float,
        lambda number: np.array([number])[0],
        lambda number: pd.Series([number]).iloc[0],
        lambda number: json.loads(json.dumps(number)),
        lambda number: {"nested": [{"a": number}]},
        lambda number: np.array([[number, number]]),
        lambda number: pd.DataFrame({"a": [number]}),
        lambda number: -number,
    ],
)
@pytest.mark.parametrize("encode", [lambda result: encode_plain(result).data, encode_rich])
def test_a_number_keeps_its_evidence(change: Callable[[float], object], encode: Callable[[object], bytes]) -> None:
    tables = ReadTables()
    tables.add("default", "pandas", DATA)
    register = Register(Permission(is_judged=True), tables)
    with use_register(register):
        result = change(aggregate.mean(DATA["age"]))
    matches = tables.match_result(encode(result), (), tuple, register)
    [part] = matches.evidence
    assert (part.evidence.operation, part.evidence.records) == ("aggregate.mean", ROWS)
    assert part.evidence.columns == ("age",)


def test_the_quotient_of_a_sum_and_a_count_is_recognized() -> None:
    matches = run(lambda data: aggregate.sum(data["weight"]) / aggregate.count(data["weight"]))
    [evidence] = find(matches, DATA["weight"].sum() / DATA["weight"].count())
    assert evidence.records == ROWS - 1


def test_a_number_that_no_reduction_has_returned_has_no_evidence() -> None:
    assert run(lambda data: [round(aggregate.mean(data["age"]), 2), data["age"].sum() + 1]).evidence == ()


def test_a_number_with_several_origins_has_each_evidence() -> None:
    matches = run(lambda data: [aggregate.count(data["age"].head(5)), aggregate.sum(data["dead"])])
    assert {evidence.operation for evidence in find(matches, 5)} == {"aggregate.count", "aggregate.sum"}


def test_shares_of_single_records() -> None:
    values = pd.Series([1.0, 2.0, -7.0], name="x")
    [evidence] = find(run(lambda data: aggregate.sum(data["x"]), pd.DataFrame({"x": values})), -4)
    assert evidence.largest_share == pytest.approx(0.7)
    assert evidence.two_largest_share == pytest.approx(0.9)


def test_the_sum_of_zeros_and_ones_is_a_count_of_ones() -> None:
    for change in (lambda dead: dead, lambda dead: dead.astype(int), lambda dead: dead.astype(float)):
        [evidence] = find(run(lambda data, change=change: aggregate.sum(change(data["dead"]))), 5)
        assert evidence.records == 5


def test_two_sets_of_rows_are_compared() -> None:
    matches = run(lambda data: [aggregate.mean(data["age"]), aggregate.mean(data[data["age"] < 80]["age"])])
    first, second = (part.evidence for part in matches.evidence)
    assert first.row_set is not None
    assert second.row_set is not None
    difference = estimate_difference(matches.row_sets[first.row_set], matches.row_sets[second.row_set])
    assert difference == (DATA["age"] >= 80).sum()


def test_equal_sets_of_rows_have_one_sketch() -> None:
    matches = run(lambda data: [aggregate.mean(data["age"]), aggregate.sum(data["age"]), aggregate.count(data["age"])])
    assert len(matches.row_sets) == 1


def test_rows_that_are_numbered_anew_have_no_set() -> None:
    matches = run(lambda data: aggregate.mean(data[data["age"] < 60]["age"].reset_index(drop=True)))
    assert [part.evidence.row_set for part in matches.evidence] == [None]


def test_repeated_rows_are_one_record() -> None:
    matches = run(lambda data: aggregate.mean(pd.concat([data.iloc[[3]]] * 20)["age"]))
    assert [part.evidence.records for part in matches.evidence] == [1]
    assert [part.evidence.largest_share for part in matches.evidence] == [1]


def test_records_are_persons() -> None:
    matches = run(lambda data: [aggregate.sum(data["age"]), aggregate.mean(data["age"].head(12))], person="patient")
    assert sorted(part.evidence.records for part in matches.evidence) == [3, 10]


def test_persons_of_unknown_rows_are_at_least_those_with_the_most_rows() -> None:
    matches = run(lambda data: aggregate.mean(data["age"].to_numpy()[:12]), person="patient")
    assert [part.evidence.records for part in matches.evidence] == [3]


def test_a_call_outside_of_a_run_hides_cells_and_collects_nothing() -> None:
    table = aggregate.count(DATA["age"], by=DATA["age"] > DATA["age"].nlargest(3).iloc[-1])
    assert table.index.tolist() == [False]
    assert get_register().collect([ROWS]) == Matches()


def test_no_cell_is_hidden_without_a_policy() -> None:
    with use_register(Register(Permission())):
        assert len(aggregate.count(DATA["age"], by=DATA.index)) == ROWS


def test_the_rows_of_a_lazy_table_are_counted() -> None:
    """A lazy table gives no values of single rows, so a part of it is a set of unknown rows."""
    relation = duckdb.connect().from_df(DATA[["age"]])
    tables = ReadTables()
    tables.add("default", "duckdb", relation)
    register = Register(Permission(is_judged=True), tables)
    with use_register(register):
        counts = [aggregate.count(relation)["age"], aggregate.count(relation.limit(4))["age"]]
    matches = tables.match_result(encode_plain(counts).data, (), tuple, register)
    (whole,), (part,) = (find(matches, count) for count in counts)
    assert (whole.records, part.records, part.row_set) == (ROWS, 4, None)
    assert whole.row_set is not None


def test_a_table_by_group_has_no_positions_in_the_index() -> None:
    """The index of a table by group has labels, which can look like the positions of rows."""
    by_patient = DATA.groupby("patient")["age"].mean()
    assert list(by_patient.index) == list(range(10))
    (evidence,) = find(run(lambda _: aggregate.sum(by_patient)), float(by_patient.sum()))
    assert (evidence.records, evidence.row_set) == (10, None)


def test_the_rows_of_a_table_by_person_are_persons() -> None:
    by_patient = DATA.groupby("patient")["age"].mean().drop(3)
    matches = run(lambda _: [aggregate.sum(by_patient), aggregate.sum(DATA["age"])], person="patient")
    (some,) = find(matches, float(by_patient.sum()))
    (whole,) = find(matches, DATA["age"].sum())
    assert (some.records, whole.records) == (9, 10)
    sketches = [matches.row_sets[evidence.row_set] for evidence in (some, whole) if evidence.row_set is not None]
    assert estimate_difference(*sketches) == 1


def test_a_thread_of_the_author_uses_the_register_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register_of_run, "_active", [])  # an inline run of another test may still be active

    def reduce(data: pd.DataFrame) -> float:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(aggregate.mean, data["age"]).result()

    assert [part.evidence.records for part in run(reduce).evidence] == [ROWS]


def test_a_plain_call_does_not_use_the_register_of_a_run_in_another_thread() -> None:
    started, finished = threading.Event(), threading.Event()

    def hold_register() -> None:
        with use_register(Register(Permission(is_judged=False))):  # hides nothing
            started.set()
            finished.wait()

    thread = threading.Thread(target=hold_register)
    thread.start()
    started.wait()
    try:
        assert aggregate.table(pd.Series(["a"] * 5 + ["b"])) == {"a": 5}
    finally:
        finished.set()
        thread.join()


def test_a_probe_hides_the_cells_that_the_run_hides() -> None:
    tables = ReadTables()
    tables.add("default", "pandas", DATA, "patient")
    # 15 rows of 3 patients are enough rows, but too few patients.
    for collects in (True, False):
        with use_register(Register(Permission(is_judged=True, minimum_records=4), tables, collects=collects)):
            assert aggregate.table(DATA["patient"] < 3) == {False: 35}


def test_columns_of_a_table_have_their_own_records() -> None:
    matches = run(lambda data: aggregate.count(data[["age", "weight"]]).tolist())
    assert {(part.evidence.columns, part.evidence.records) for part in matches.evidence} == {
        (("age",), ROWS),
        (("weight",), ROWS - 1),
    }


def test_a_table_that_the_function_changes_keeps_its_rows() -> None:
    def reduce(data: pd.DataFrame) -> float:
        data["double"] = data["age"] * 2
        return aggregate.sum(data.sort_values("double")["double"])

    [evidence] = [part.evidence for part in run(reduce, DATA.copy()).evidence]
    assert evidence.records == ROWS
    assert evidence.row_set is not None


@given(
    values=st.lists(st.floats(-1e9, 1e9).filter(lambda value: value != 0), min_size=5, max_size=60),
    reduce=st.sampled_from([aggregate.sum, aggregate.mean, aggregate.variance]),
    change=st.sampled_from(
        [
            float,
            lambda number: np.array([1.5, number]),
            lambda number: pd.Series({"a": number, "b": 1.5}),
            lambda number: json.loads(json.dumps([number])),
        ]
    ),
)
def test_any_reduced_number_keeps_its_evidence(
    values: list[float], reduce: Callable[[Any], float], change: Callable[[float], object]
) -> None:
    numbers: list[float] = []

    def function(data: pd.DataFrame) -> object:
        numbers.append(reduce(data["x"]))
        return change(numbers[0])

    evidence = find(run(function, pd.DataFrame({"x": values})), numbers[0])
    assert evidence
    assert all(part.operation == f"aggregate.{reduce.__name__}" for part in evidence)


@given(values=st.lists(st.floats(-1e9, 1e9) | st.none(), min_size=1, max_size=60))
def test_any_quotient_of_a_sum_and_a_count_is_recognized(values: list[float | None]) -> None:
    data = pd.DataFrame({"x": np.array(values, dtype=float)})
    quotients: list[float] = []

    def divide(data: pd.DataFrame) -> float:
        quotients.append(aggregate.sum(data["x"]) / max(aggregate.count(data["x"]), 1))
        return quotients[0]

    assert find(run(divide, data), quotients[0])
