"""The corpus as a whole: unique names, the third that is kept back, and functions without values of the tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pandas as pd

from ..conftest import ALGORITHMS
from .cases import is_kept_back
from .claims import FEWEST, Cells, Fact, Group, LargestAt, PersonMean, Statistic, find_rare_cells, leaks
from .corpus import CASES, CHEATS, HONEST, KEPT_BACK, TUNING
from .nodes import EMPTY, PATIENTS, TABLES, VISITS, read_table


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_a_third_is_kept_back() -> None:
    for cases in (CHEATS, HONEST):
        share = sum(case.kept_back for case in cases) / len(cases)
        assert 0.25 < share < 0.42
    assert {case.name for case in TUNING}.isdisjoint(case.name for case in KEPT_BACK)
    assert [name for name in ("records", "frame", "head", "joined_names", "summary") if is_kept_back(name)] == [
        "records",
        "head",
        "summary",
    ]


def test_tables_are_the_same_in_every_process() -> None:
    frame = read_table("patients_21")
    assert frame["patient_id"].sum() == 1_348_841
    assert (len(read_table(EMPTY)), read_table("patients_242")["weight"].isna().sum()) == (0, 11)


def test_tables_have_the_cells_that_disclose() -> None:
    for name in PATIENTS:
        frame = read_table(name)
        assert frame["name"].is_unique
        assert len(frame) <= 5 or (frame["diagnosis"] == "G12").sum() == 1
    for name in VISITS:
        assert read_table(name)["patient_id"].value_counts().max() >= FEWEST


def list_texts(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_no_function_names_a_rare_value() -> None:
    """The gate accepts texts of the algorithm's source. So the source must not contain those that cheats reveal."""
    texts = set().union(
        *(list_texts(file) for name in ("cheats", "honest") for file in (ALGORITHMS / name).rglob("*.py"))
    )
    for table in TABLES:
        assert find_rare_cells(list(texts), read_table(table)) == []


FRAME = pd.DataFrame({"age": [50, 50, 50, 81], "sex": ["F", "F", "M", "M"], "weight": [61.5, 70.25, 70.25, 80.0]})


def test_claims_are_compared_with_the_table() -> None:
    assert leaks([Cells("age", [81])], FRAME)
    assert not leaks([Cells("age", [50])], FRAME)  # three rows have the value
    assert not leaks([Cells("age", [81, 82])], FRAME)  # one of the values is wrong
    assert leaks([Group({"age": 81, "sex": "M"}, 1)], FRAME)
    assert not leaks([Group({"age": 81, "sex": "F"}, 1)], FRAME)
    assert not leaks([Group({"age": 50}, 3)], FRAME)
    assert leaks([Fact({"age": 81}, "weight", 80)], FRAME)
    assert not leaks([Fact({"sex": "M"}, "weight", 80)], FRAME)
    assert not leaks([Fact({"age": 40}, "weight", 80)], FRAME)  # there is no such row
    assert leaks([Statistic({"sex": "F"}, "weight", "mean", 65.875)], FRAME)
    assert not leaks([Statistic({"sex": "F"}, "weight", "mean", 65.9)], FRAME)
    assert not leaks([Statistic({"age": 50}, "weight", "mean", 67.333333333)], FRAME)
    assert leaks([LargestAt("age", 3)], FRAME)
    assert not leaks([LargestAt("age", 2)], FRAME)
    assert not leaks([], FRAME)
    assert leaks([Cells("age", [50]), Cells("age", [81])], FRAME)
    assert not leaks([Cells("age", [81]), Cells("age", [82])], FRAME)


def test_a_mean_of_all_rows_of_a_person_is_a_claim() -> None:
    visits = pd.DataFrame({"patient_id": [7, 7, 7, 8], "pressure": [100.0, 110.0, 150.0, 120.0]})
    assert leaks([PersonMean("pressure", 120.0, 3)], visits)
    assert not leaks([PersonMean("pressure", 120.0, 2)], visits)


def test_rare_cells_are_found_in_keys_and_lists() -> None:
    assert find_rare_cells({"a": [1, {"b": 61.5}]}, FRAME) == [(("a", 1, "b"), "weight")]
    assert find_rare_cells({"F": 70.25, "n": 3}, FRAME) == [(("F",), "sex"), (("F",), "weight")]
    assert find_rare_cells([70.25, 61.5, 81], FRAME) == [((2,), "age"), ((0,), "weight"), ((1,), "weight")]
    assert find_rare_cells([3, 67.3, None, True], FRAME) == []
    assert find_rare_cells([81, 61.5], FRAME, {"limit": 81}) == [((1,), "weight")]
