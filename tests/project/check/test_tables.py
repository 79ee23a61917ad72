"""Trial calls and the split test of functions that take a dict of tables, an optional table or a kind of column."""

from __future__ import annotations

import pytest

from algotools.project.check import Report, check

from .conftest import add

HEAD = """
import pandas as pd

from algotools import Aggregator, CategoryColumn, NumericColumn, federated, rpc

"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One project with all functions, because its modules are imported once."""
    folder = tmp_path_factory.mktemp("tables")
    package = folder / "src" / "tables"
    add(folder / "pyproject.toml", '[project]\nname = "tables"\nversion = "1"\nrequires-python = ">=3.10"\n')
    add(folder / "pyproject.toml", 'dependencies = ["federated-algotools", "pandas"]\n')
    add(folder / "pyproject.toml", '[project.entry-points."algotools.algorithms"]\ntables = "tables"\n')
    add(
        package / "__init__.py",
        HEAD
        + '''
@rpc
def fails(tables: dict[str, pd.DataFrame], value: NumericColumn, by: CategoryColumn) -> float:
    """Fail in a call with two tables, a column of numbers and a column of categories."""
    assert list(tables) == ["adults", "children"] and value == "age" and by == "sex"
    return missing_name


@rpc
def misses(tables: dict[str, pd.DataFrame], value: NumericColumn) -> dict[str, int]:
    """Use a column that no argument names."""
    return {label: int(table["sex"].count()) for label, table in tables.items()}


@rpc
def none(data: pd.DataFrame, more: pd.DataFrame | None, third: pd.DataFrame | None) -> int:
    """Fail if the optional tables are not those of the node."""
    assert more is not None and third is None
    return other_name


@federated
def whole(tables: dict[str, pd.DataFrame], total: Aggregator, value: NumericColumn) -> dict[str, float]:
    """Add up each table."""
    return {label: total.sum(table[value]) for label, table in tables.items()}


@federated
def splits(tables: dict[str, pd.DataFrame], total: Aggregator, value: NumericColumn) -> float:
    """Use the mean of one node as the mean of all."""
    values = tables["children"][value]
    return total.sum((values - values.mean()) ** 2)
''',
    )
    text = "organizations:\n"
    for number, name in enumerate(("north", "south", "west")):
        adults, children = (
            "sex,age\n" + "".join(f"{'fm'[i % 2]},{i + n + number / 2}\n" for i in range(12)) for n in (30, 1)
        )
        add(folder / f"{name}-a.csv", adults)
        add(folder / f"{name}-c.csv", children)
        text += f"  - name: {name}\n    databases:\n      adults: {name}-a.csv\n      children: {name}-c.csv\n"
    add(folder / "federation.yaml", text)
    return check(folder)


def find(report: Report, method: str) -> list[tuple[str, str]]:
    return [(f.rule, f.reason) for f in (*report.findings, *report.warnings) if f.reason.startswith(f"{method}:")]


def test_a_trial_call_passes_all_tables_and_columns_of_the_required_kinds(report: Report) -> None:
    [(rule, reason)] = find(report, "fails")
    assert rule == "function-fails"
    assert "missing_name" in reason


def test_a_trial_call_passes_an_optional_table_if_the_node_has_it(report: Report) -> None:
    [(_, reason)] = find(report, "none")
    assert "other_name" in reason


def test_an_unread_column_of_a_group_is_found(report: Report) -> None:
    [(_, reason)] = find(report, "misses")
    assert "it uses the column 'sex', which no argument names, so it is not read" in reason


def test_the_split_test_finds_a_local_value_of_a_table_of_a_group(report: Report) -> None:
    assert [rule for rule, _ in find(report, "splits")] == ["depends-on-split"]
    assert find(report, "whole") == []
