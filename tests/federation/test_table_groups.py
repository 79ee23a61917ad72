"""Any number of tables: dicts of tables, and tables that may be missing, in all generations and with the gate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import polars as pl
import pytest

from algotools import (
    Aggregator,
    AlgorithmClient,
    CategoryColumn,
    Columns,
    Database,
    Federation,
    NumericColumn,
    aggregate,
    federated,
    log,
    master,
    rpc,
)
from algotools.errors import AlgotoolsError, FederationError, NodesDisagree, RunsFailed, UnknownLabel, WrongColumnKind

from ..conftest import algotools, default_policy

pytestmark = pytest.mark.usefixtures("nothing_registered")

ADULTS = pd.DataFrame({"age": [30.0, 40.5, 50.0, 60.0, 70.0, 80.0], "sex": list("fmfmfm")})
CHILDREN = pd.DataFrame({"age": [1, 2, 3, 4, 5, 6, 7, 8], "school": [0, 1] * 4})
NODE: dict[str, Any] = {"adults": ADULTS, "children": CHILDREN}


@pytest.fixture(params=["v3", "v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def declare() -> list[Any]:
    @rpc
    def count(
        tables: dict[str, pd.DataFrame], extra: Annotated[pd.DataFrame | None, Database("extra")] = None
    ) -> dict[str, int]:
        for label, table in tables.items():
            log(f"{label} has {len(table.columns)} columns")
        counts = {label: len(table) for label, table in tables.items()}
        return counts if extra is None else {**counts, "extra": len(extra)}

    @rpc
    def second(first: pd.DataFrame, other: pd.DataFrame | None) -> int:
        return -1 if other is None else len(other)

    @rpc
    def mean(tables: dict[str, pl.LazyFrame], column: NumericColumn, by: CategoryColumn | None = None) -> list[float]:
        return [float(table.select(pl.col(column).mean()).collect().item()) for table in tables.values()]

    @rpc
    def columns(tables: Annotated[dict[str, pd.DataFrame], Columns.of("sex")]) -> dict[str, list[str]]:
        return {label: list(table.columns) for label, table in tables.items()}

    @master
    def ask(client: AlgorithmClient) -> list[Any]:
        return list(client.run(count))

    @federated(minimum_organizations=1)
    def sums(tables: dict[str, pd.DataFrame], total: Aggregator, column: NumericColumn) -> dict[str, float]:
        return {label: total.sum(table[column]) for label, table in tables.items()}

    @federated(minimum_organizations=1)
    def with_extra(data: pd.DataFrame, extra: pd.DataFrame | None, total: Aggregator) -> float:
        return total.count(data["age"]) + (1000 if extra is None else 0)

    return [count, second, mean, columns, ask, sums, with_extra]


@pytest.fixture
def nodes(contract: str) -> Iterator[Federation]:
    with Federation([NODE, {**NODE, "extra": ADULTS}], algorithm=declare(), contract=contract) as federation:
        yield federation


def name_databases(contract: str) -> Any:
    """Return the databases of a task: v3 has one, and v5 may group them."""
    return {"v3": "adults", "v4": ["adults", "children"], "v5": [["adults", "children"]]}[contract]


def test_a_dict_receives_the_tables_of_the_task_by_label(nodes: Federation, contract: str) -> None:
    expected = {"adults": 6} if contract == "v3" else {"adults": 6, "children": 8}
    databases = name_databases(contract)
    # Only on v5 a node does not provide databases that the task does not request.
    extra = {} if contract == "v5" else {"extra": 6}
    assert nodes.run("count", databases=databases) == [expected, {**expected, **extra}]
    assert nodes.ask("ask", databases=databases) == [expected, {**expected, **extra}]


def test_an_optional_table_is_none_if_the_task_does_not_request_it(nodes: Federation, contract: str) -> None:
    assert nodes.run("second", databases="adults") == [-1, -1]
    if contract != "v3":
        assert nodes.run("second", databases=["adults", "children"]) == [8, 8]


def test_a_typo_in_a_label_is_an_error_although_tables_may_be_missing(nodes: Federation, contract: str) -> None:
    databases = "chlidren" if contract == "v3" else ["adults", "chlidren"]
    with pytest.raises(UnknownLabel, match=r"did you mean 'children'\?"):
        nodes.run("second", databases=databases)


def test_pooled_functions_take_dicts_and_optional_tables(nodes: Federation, contract: str) -> None:
    expected = {"adults": 661.0} if contract == "v3" else {"adults": 661.0, "children": 72.0}
    assert nodes.ask("sums", databases=name_databases(contract), column="age") == expected
    assert nodes.ask("with_extra", databases="adults") == 1012
    with pytest.raises(WrongColumnKind, match="contains texts, but the function needs a column of numbers"):
        nodes.ask("sums", databases="adults", column="sex")


def test_a_column_of_another_kind_is_refused_before_the_call(nodes: Federation, contract: str) -> None:
    databases = name_databases(contract)
    with pytest.raises(WrongColumnKind) as caught:
        nodes.run("mean", databases=databases, column="sex")
    message = "column 'sex' in database 'adults' contains texts, but the function needs a column of numbers"
    assert message in str(caught.value)
    assert nodes.run("mean", databases="adults", column="age", by="sex") == [[pytest.approx(330.5 / 6)]] * 2


def test_columns_of_a_group_are_in_any_of_its_tables(nodes: Federation, contract: str) -> None:
    expected = {"adults": ["sex"]} if contract == "v3" else {"adults": ["sex"], "children": []}
    assert nodes.run("columns", databases=name_databases(contract)) == [expected, expected]


def test_only_v5_has_groups(contract: str) -> None:
    with Federation([NODE], algorithm=declare(), contract=contract) as federation:
        if contract == "v5":
            assert federation.run("count", databases=[[{"label": "children"}, "adults"]]) == [
                {"children": 8, "adults": 6}
            ]
            with pytest.raises(FederationError, match="a group has the database 'adults' twice"):
                federation.run("count", databases=[["adults", "adults"]])
            with pytest.raises(FederationError, match="either by label or by id"):
                federation.run("count", databases=[["adults", 1]])
        else:
            with pytest.raises(FederationError, match=f"{contract} has no groups of tables"):
                federation.run("count", databases=[["adults", "children"]])


def test_the_gate_judges_every_table_of_a_group() -> None:
    few = {"adults": ADULTS, "few": ADULTS.head(2)}
    options: dict[str, Any] = {"algorithm": declare(), "policy": {"minimum_rows": 5}}
    with Federation([few], **options) as federation:
        assert federation.run("count", databases="adults") == [{"adults": 6}]
        with pytest.raises(RunsFailed, match=r"rule rows"):
            federation.run("count", databases=["adults", "few"])
    options["policy"] = {"databases": ["adults"]}
    with Federation([few], **options) as federation, pytest.raises(RunsFailed, match=r"exit code 54"):
        federation.run("count", databases=["adults", "few"])


def test_probing_leaves_out_rows_of_each_table_of_a_group() -> None:
    @rpc
    def largest(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
        return {label: float(table["age"].max()) / 3 + 100 for label, table in tables.items()}

    @rpc
    def means(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
        return {label: float(table["age"].mean()) + 0.125 for label, table in tables.items()}

    many = pd.DataFrame({"age": [float(i % 37) + i / 1000 for i in range(200)]})
    nodes = [{"a": many, "b": many * 2}]
    with Federation(nodes, algorithm=[largest, means], policy={"undeclared": "probe"}) as federation:
        assert list(federation.run("means", databases=["a", "b"])[0]) == ["a", "b"]
        with pytest.raises(RunsFailed, match=r"rule few"):
            federation.run("largest", databases=["a", "b"])


def test_evidence_counts_the_records_of_each_table() -> None:
    @rpc
    def sums(tables: dict[str, pd.DataFrame]) -> dict[str, float]:
        return {label: aggregate.sum(table["age"]) for label, table in tables.items()}

    nodes = [{**NODE, "few": pd.DataFrame({"age": [91.5, 97.25]})}]
    with default_policy(), Federation(nodes, algorithm=[sums]) as federation:
        assert federation.run("sums", databases=["adults", "children"]) == [{"adults": 330.5, "children": 36.0}]
        with pytest.raises(RunsFailed, match=r"fewer than 3 records"):
            federation.run("sums", databases=["adults", "few"])


def test_the_split_test_takes_the_rows_of_a_group() -> None:
    sums, with_extra = declare()[-2:]

    @federated
    def largest(tables: dict[str, pd.DataFrame], total: Aggregator) -> float:
        return total.sum(tables["adults"]["age"]) + float(tables["children"]["age"].max())

    expected = {"adults": 330.5, "children": 36.0}
    assert Federation.prove(sums, NODE, column="age") == expected
    assert Federation.prove(sums, {"tables": NODE}, column="age") == expected
    assert Federation.prove(with_extra, {"data": ADULTS}) == 1006
    assert Federation.prove(with_extra, {"data": ADULTS, "extra": CHILDREN}) == 6
    with pytest.raises(NodesDisagree):
        Federation.prove(largest, NODE)
    with pytest.raises(AlgotoolsError, match="contains texts") as caught:
        Federation.prove(sums, NODE, column="sex")
    assert caught.value.exit_code == 18


@pytest.mark.parametrize(
    ("contract", "options", "expected"),
    [
        ("v3", ["--database", "b"], {"b": 7, "extra": 9}),
        ("v4", ["--database", "a", "--database", "b"], {"a": 5, "b": 7, "extra": 9}),
        ("v5", ["--database", "a,b"], {"a": 5, "b": 7}),
    ],
)
def test_the_option_database_is_repeated_or_names_a_group(
    tmp_path: Path, contract: str, options: list[str], expected: dict[str, int]
) -> None:
    """A worker process opens every table, also one that its function names and the task does not request."""
    (tmp_path / "sizes.py").write_text(
        "from typing import Annotated\n\nimport pandas as pd\nfrom algotools import Database, rpc\n\n\n"
        "@rpc\ndef sizes(tables: dict[str, pd.DataFrame],\n"
        "          extra: Annotated[pd.DataFrame | None, Database('extra')]) -> dict[str, int]:\n"
        "    named = tables if extra is None else {**tables, 'extra': extra}\n"
        "    return {label: len(table) for label, table in named.items()}\n"
    )
    for label, count in (("a", 5), ("b", 7), ("extra", 9)):
        pd.DataFrame({"x": range(count)}).to_csv(tmp_path / f"{label}.csv", index=False)
    (tmp_path / "federation.yaml").write_text(
        "organizations:\n  - name: one\n    databases:\n      a: a.csv\n      b: b.csv\n      extra: extra.csv\n"
    )
    command = ["run", "sizes", "--algorithm", "sizes", "--contract", contract, "--runner", "process", "--json"]
    completed = algotools(*command, *options, cwd=tmp_path)
    assert completed.returncode == 0, completed.stderr
    [item] = json.loads(completed.stdout)
    assert item["result"] == expected
