"""A call is refused before the start if every node has a fault; otherwise the runs report the faults."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pytest

from algotools import (
    Aggregator,
    AlgorithmClient,
    CategoryColumn,
    Column,
    Database,
    Federation,
    NodeVariable,
    NumericColumn,
    federated,
    master,
    rpc,
)
from algotools.errors import AlgotoolsError, DatabaseUnreadable, NodeVariableError, RunsFailed, WrongColumnKind

AGES = pd.DataFrame({"age": [50, 60, 70], "sex": ["f", "m", "f"]})


@rpc
def sum_of_ages(data: pd.DataFrame, column: Column) -> int:
    return int(data[column].count())


@rpc
def numbers(data: pd.DataFrame, column: NumericColumn) -> float:
    return float(data[column].sum())


@rpc
def categories(data: pl.LazyFrame, column: CategoryColumn) -> int:
    return int(data.select(pl.col(column).n_unique()).collect().item())


@rpc
def guarded(
    data: pd.DataFrame, site: Annotated[str, NodeVariable("SITE")], rows: Annotated[int, NodeVariable("ROWS")] = 1
) -> int:
    return rows


@rpc
def size_of(data: Path) -> int:
    return data.stat().st_size


@rpc
def opens_nothing(data: Database) -> int:
    return 1


@master
def central(client: AlgorithmClient, column: Column) -> int:
    return sum(client.run(sum_of_ages, column=column))


@master
def alone(client: AlgorithmClient, text: str = "") -> int:
    return 1


@federated(minimum_organizations=1)
def pooled(
    data: pd.DataFrame, together: Aggregator, column: NumericColumn, rows: Annotated[int, NodeVariable("ROWS")] = 1
) -> float:
    return float(together.sum(data[column]))


FUNCTIONS = [sum_of_ages, numbers, categories, guarded, size_of, opens_nothing, central, alone, *pooled.parts]


@pytest.fixture(params=["v3", "v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def refuse(nodes: Federation, kind: type[AlgotoolsError], method: str, **arguments: Any) -> str:
    """Return the message of a refused call; no run has started."""
    before = len(nodes.tasks())
    with pytest.raises(kind) as raised:
        nodes.run(method, **arguments)
    assert len(nodes.tasks()) == before
    assert "\n" not in raised.value.message
    return str(raised.value.message)


# Files


def test_a_file_that_no_node_has_is_one_error_before_the_start(tmp_path: Path, contract: str) -> None:
    paths = [tmp_path / "north.csv", tmp_path / "south.parquet"]
    with Federation(paths, algorithm=FUNCTIONS, contract=contract) as nodes:
        message = refuse(nodes, DatabaseUnreadable, "sum_of_ages", column="age")
        assert message.startswith(
            "sum_of_ages would fail at every node: organization_2 (id 2): the file of database 'default'"
        )
        assert all(str(path) in message for path in paths)
        assert str(paths[0]) in refuse(nodes, DatabaseUnreadable, "central", column="age")
        if contract != "v5":  # the session of a v5 task reads the table
            assert nodes.ask(alone) == 1


def test_a_path_needs_its_file_and_a_database_does_not(tmp_path: Path) -> None:
    with Federation([tmp_path / "absent.csv"], algorithm=FUNCTIONS) as nodes:
        refuse(nodes, DatabaseUnreadable, "size_of")
        assert nodes.run(opens_nothing) == [1]


def test_the_columns_of_the_other_nodes_are_compared(tmp_path: Path) -> None:
    with Federation([tmp_path / "absent.csv", AGES], algorithm=FUNCTIONS) as nodes:
        for method in ("sum_of_ages", "central"):
            with pytest.raises(AlgotoolsError, match="did you mean 'age'") as raised:
                nodes.run(method, column="aeg")
            assert raised.value.exit_code == 16
        assert nodes.tasks() == []
        with pytest.raises(RunsFailed, match="does not exist") as failed:
            nodes.run(sum_of_ages, column="age")
        assert list(failed.value.failures) == [2]


# Variables


def test_variables_are_checked_before_the_start(contract: str) -> None:
    variables = {"SITE": "x", "ROWS": "ten"}
    with Federation([AGES, AGES], algorithm=FUNCTIONS, contract=contract, variables=variables) as nodes:
        message = refuse(nodes, NodeVariableError, "guarded")
        assert "the node variable ROWS is malformed" in message
        assert "variables={…}" in message
        assert "ten" not in message
        assert "ROWS is malformed" in refuse(nodes, NodeVariableError, "pooled", column="age")
    with Federation([AGES, AGES], algorithm=FUNCTIONS, contract=contract) as nodes:
        assert "the node variable SITE (str) is not set" in refuse(nodes, NodeVariableError, "guarded")


def test_a_node_with_the_variables_runs(contract: str) -> None:
    variables = {"organization_3": {"SITE": "x", "ROWS": 4}}
    with Federation([AGES, AGES], algorithm=FUNCTIONS, contract=contract, variables=variables) as nodes:
        with pytest.raises(RunsFailed, match="SITE") as failed:
            nodes.run(guarded)
        assert list(failed.value.failures) == [2]
        assert nodes.run(guarded, at=3) == [4]
        refuse(nodes, NodeVariableError, "guarded", at=2)


def test_nodes_with_different_faults_are_one_error(tmp_path: Path) -> None:
    variables = {"organization_3": {"SITE": "x"}}
    with Federation([AGES, tmp_path / "absent.csv"], algorithm=FUNCTIONS, variables=variables) as nodes:
        message = refuse(nodes, NodeVariableError, "guarded")
    assert "organization_2 (id 2): the node variable SITE" in message
    assert "organization_3 (id 3): the file of database 'default' does not exist" in message


# Kinds of columns


@pytest.mark.parametrize("source", ["frame", "csv", "parquet"])
def test_kinds_of_columns_are_checked_before_the_start(tmp_path: Path, contract: str, source: str) -> None:
    AGES.to_csv(tmp_path / "a.csv", index=False)
    AGES.to_parquet(tmp_path / "a.parquet")
    node = AGES if source == "frame" else tmp_path / f"a.{source}"
    with Federation([node, node], algorithm=FUNCTIONS, contract=contract) as nodes:
        reason = "column 'sex' in database 'default' contains texts, but the function needs a column of numbers"
        assert refuse(nodes, WrongColumnKind, "numbers", column="sex") == f"numbers would fail at every node: {reason}"
        assert reason in refuse(nodes, WrongColumnKind, "pooled", column="sex")
        assert nodes.run(numbers, column="age") == [180.0, 180.0]
        assert nodes.run(categories, column="sex") == [2, 2]


def test_one_node_with_the_kind_is_enough(tmp_path: Path) -> None:
    other = pd.DataFrame({"age": ["old"], "sex": [1]})
    with Federation([other, AGES, tmp_path / "absent.csv"], algorithm=FUNCTIONS) as nodes:
        with pytest.raises(RunsFailed, match="contains texts") as failed:
            nodes.run(numbers, column="age")
        assert list(failed.value.failures) == [2, 4]
        refuse(nodes, WrongColumnKind, "numbers", column="age", at=[2, 4])


def test_a_pooled_function_at_other_organizations_is_left_to_the_runs() -> None:
    other = pd.DataFrame({"age": ["old"]})
    with Federation([other, AGES], algorithm=FUNCTIONS, policy="off") as nodes:
        assert nodes.ask("pooled", column="age", organizations=[3], at=2) == 180.0
        refuse(nodes, WrongColumnKind, "pooled", column="age", at=2)
