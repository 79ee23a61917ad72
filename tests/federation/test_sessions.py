"""Sessions and their tables on v5: tables are extracted, preprocessed and used in tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.errors import FederationError
from algotools.federation import Dead, Wrong
from algotools.federation.contract.rest import RunRecord
from algotools.task import Database

from ..conftest import ALGORITHMS
from ..processes import LIMIT

PREPARES = ALGORITHMS / "prepares"
TABLES = [
    pd.DataFrame({"name": ["Ada", "Jane", "Tim"], "age": [36, 71, 9]}),
    pd.DataFrame({"name": ["Ida", "John"], "age": [58, 17]}),
]
"""The rows of the organizations 2 and 3, in each of their databases."""


def write_databases(folder: Path, table: pd.DataFrame) -> dict[str, Any]:
    """Write a table as databases of every type. ``default`` and the second sheet have all rows."""
    folder.mkdir()
    table.to_csv(folder / "a.csv", index=False)
    table.to_parquet(folder / "a.parquet", index=False)
    with pd.ExcelWriter(folder / "a.xlsx") as book:
        table.head(1).to_excel(book, sheet_name="first", index=False)
        table.to_excel(book, sheet_name="all", index=False)
    with closing(sqlite3.connect(folder / "a.db")) as connection:
        table.to_sql("people", connection, index=False)
        connection.commit()
    return {
        "default": folder / "a.csv",
        "columns": folder / "a.parquet",
        "book": folder / "a.xlsx",
        "register": Database("register", f"sqlite:///{folder / 'a.db'}", "sql"),
        "others": table.assign(age=table["age"] + 100),
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sources")
    return [write_databases(folder / str(number), table) for number, table in enumerate(TABLES)]


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> str:
    """The runner: inline, unless a test chooses."""
    return str(getattr(request, "param", "inline"))


by_each_runner = pytest.mark.parametrize("runner", ["inline", "process"], indirect=True)
"""For tables, folders and variables that travel between processes."""


Make = Callable[..., Federation]


@pytest.fixture
def make(runner: str, sources: list[dict[str, Any]]) -> Iterator[Make]:
    """Creates federations of two nodes, and closes them after the test."""
    federations: list[Federation] = []

    def make(**options: Any) -> Federation:
        federations.append(
            Federation(sources, **{"algorithm": PREPARES, "runner": runner, "contract": "v5", **options})
        )
        return federations[-1]

    yield make
    for federation in federations:
        federation.close()


@pytest.fixture
def nodes(make: Make) -> Federation:
    return make()


def wait_for_table(nodes: Federation, table: dict[str, Any]) -> dict[str, Any]:
    """Wait until the task that creates a table has finished, and return the table."""
    assert nodes.wait(table["last_session_task"]["id"], LIMIT)
    return nodes.client().dataframe.get(table["id"])


def extract(nodes: Federation, method: str = "read_csv", label: str = "default", **options: Any) -> dict[str, Any]:
    """Extract a table at all nodes."""
    return wait_for_table(nodes, nodes.client().dataframe.create(label, method=method, **options))


def preprocess(nodes: Federation, table: dict[str, Any], method: str, **arguments: object) -> dict[str, Any]:
    return wait_for_table(nodes, nodes.client().dataframe.preprocess(table["id"], method=method, arguments=arguments))


def run_task(nodes: Federation, tables: list[Any], method: str, /, **arguments: object) -> list[RunRecord]:
    """Run a task on tables, and return its finished runs."""
    client = nodes.client()
    databases = [{"dataframe_id": table["id"]} for table in tables]
    task = client.task.create(1, [2, 3], method=method, arguments=arguments, databases=databases)
    assert nodes.wait(task["id"], LIMIT)
    return nodes.task(task["id"]).runs


def get_results(nodes: Federation, tables: list[Any], method: str, /, **arguments: object) -> list[Any]:
    """Run a task on tables, and return the result or the failure of each node."""
    return [nodes.failure(run) or nodes.answer(run) for run in run_task(nodes, tables, method, **arguments)]


def get_table_runs(nodes: Federation, table: dict[str, Any]) -> list[RunRecord]:
    """Return the runs of the last task that changed a table."""
    return nodes.task(table["last_session_task"]["id"]).runs


def get_failures(nodes: Federation, runs_: list[RunRecord]) -> list[tuple[int, str]]:
    failures = [failure for run in runs_ if (failure := nodes.failure(run)) is not None]
    assert len(failures) == len(runs_)
    return [(failure.exit_code, failure.message) for failure in failures]


# Creating tables


@pytest.mark.parametrize(
    ("label", "method", "arguments"),
    [
        ("default", "read_csv", {}),
        ("columns", "read_parquet", {}),
        ("book", "read_excel", {"sheet_name": "all"}),
        ("register", "read_sql_database", {"query": "SELECT * FROM people"}),
    ],
)
def test_every_algorithm_has_the_built_in_readers(
    nodes: Federation, label: str, method: str, arguments: dict[str, str]
) -> None:
    table = extract(nodes, method, label, arguments=arguments)
    assert table["ready"] is True
    assert get_results(nodes, [table], "total", column="age") == [116, 75]


def test_a_reader_uses_its_arguments(nodes: Federation) -> None:
    assert get_results(nodes, [extract(nodes, "read_excel", "book")], "total", column="age") == [36, 58]
    arguments = {"query": "SELECT age FROM people WHERE age > 17"}
    table = extract(nodes, "read_sql_database", "register", arguments=arguments)
    assert [column["name"] for column in table["columns"]] == ["age", "age"]
    assert get_results(nodes, [table], "total", column="age") == [107, 58]


def test_an_author_can_write_an_extraction(nodes: Federation) -> None:
    assert get_results(nodes, [extract(nodes, "grown_ups")], "total", column="age") == [107, 58]
    older = extract(nodes, "grown_ups", arguments={"at_least": 40})
    assert get_results(nodes, [older], "total", column="age") == [71, 58]


@by_each_runner
@pytest.mark.parametrize("label", ["default", "columns", "others"])
def test_an_extraction_can_receive_the_database_as_a_frame(nodes: Federation, label: str) -> None:
    table = extract(nodes, "born", label, arguments={"year": 2000})
    difference = 300 if label == "others" else 0
    assert get_results(nodes, [table], "total", column="born") == [
        6000 - 116 - difference,
        4000 - 75 - difference * 2 // 3,
    ]
    assert get_results(nodes, [table], "total", column="organization") == [6, 6]


@by_each_runner
def test_preprocessing_changes_a_table_for_later_tasks(nodes: Federation) -> None:
    table = extract(nodes)
    before = run_task(nodes, [table], "total", column="age")
    table = preprocess(nodes, table, "younger", column="age", by=2)
    assert get_results(nodes, [table], "total", column="age") == [110, 71]
    table = preprocess(nodes, table, "shortened", rows=1)
    assert get_results(nodes, [table], "total", column="age") == [34, 56]
    assert [nodes.answer(run) for run in before] == [116, 75]


def test_preprocessing_gets_all_columns(nodes: Federation) -> None:
    table = preprocess(nodes, extract(nodes), "younger", column="age")
    assert [c["name"] for c in table["columns"] if c["node_id"] == 1] == ["name", "age"]


@by_each_runner
def test_a_function_may_return_an_arrow_table(nodes: Federation) -> None:
    pytest.importorskip("pyarrow")
    table = preprocess(nodes, extract(nodes), "as_arrow")
    columns = [(column["name"], column["dtype"]) for column in table["columns"] if column["node_id"] == 2]
    assert columns[1:] == [("age", "int64"), ("half", "double")]  # the type of a text depends on pyarrow
    assert get_results(nodes, [table], "total", column="half") == [58, 37]


def test_a_table_has_its_status_and_columns(nodes: Federation) -> None:
    client = nodes.client()
    session = client.session.create(name="study")
    table = client.dataframe.create("default", session=session["id"], name="people")
    assert (table["id"], table["name"], table["db_label"], table["session"]["id"]) == (1, "people", "default", 1)
    finished_table = wait_for_table(nodes, table)
    assert (finished_table["ready"], finished_table["organizations_ready"]) == (True, [2, 3])
    assert finished_table.keys() == table.keys()
    for node in (1, 2):
        columns = [column for column in finished_table["columns"] if column["node_id"] == node]
        assert [column["name"] for column in columns] == ["name", "age"]
        assert columns[1] == {"node_id": node, "name": "age", "dtype": "int64"}
        assert columns[0]["dtype"] in ("string", "large_string")  # depends on the version of pandas
    assert client.dataframe.list(1)["data"] == [client.dataframe.get(1)]
    session = client.session.get(1)
    assert (session["name"], session["scope"], session["ready"]) == ("study", "collaboration", True)
    assert client.session.list()["data"] == [session]


def test_a_table_is_not_ready_before_its_task_has_finished(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    assert table["ready"] is False
    assert client.session.get(table["session"]["id"])["ready"] is False
    file.touch()
    assert wait_for_table(nodes, table)["ready"] is True
    assert client.session.get(table["session"]["id"])["ready"] is True


def test_a_researcher_does_not_get_the_table(nodes: Federation) -> None:
    table = preprocess(nodes, extract(nodes), "younger", column="age")
    for task in (1, 2):
        items = nodes.client().result.list(task=task)["data"]
        assert [(item["status"], item["result"]) for item in items] == [("completed", None)] * 2
        assert [run.output for run in nodes.task(task).runs] == [b""] * 2
    assert table["ready"] is True


def test_the_session_file_lists_the_actions(nodes: Federation) -> None:
    preprocess(nodes, extract(nodes, name="people"), "shortened", rows=1)
    for node in (2, 3):
        folder = nodes._platform.folders.base / f"node-{node}" / "session-1"
        state = pd.read_parquet(folder / "session_state.parquet")
        assert list(state.columns) == ["action", "file", "timestamp", "message", "dataframe"]
        assert state[["action", "file", "dataframe"]].to_numpy().tolist() == [
            ["data_extraction", "people.parquet", "people"],
            ["preprocessing", "people.parquet", "people"],
        ]
        assert state["timestamp"].is_monotonic_increasing
        assert len(pd.read_parquet(folder / "people.parquet")) == 1


# Computing with tables


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_several_tables_have_the_order_of_the_task(nodes: Federation, order: list[int]) -> None:
    client = nodes.client()
    session = client.session.create()["id"]
    first, second = (
        extract(nodes, session=session),
        extract(nodes, "born", "others", arguments={"year": 0}, session=session),
    )
    expected = [[[36, 71, 9], [136, 171, 109]], [[58, 17], [158, 117]]]
    results = get_results(nodes, [[first, second][position] for position in order], "ages")
    assert results == [[pair[position] for position in order] for pair in expected]


def test_grouped_tables_become_separate_arguments(nodes: Federation) -> None:
    """v5 can group tables for one argument; functions of algotools have a parameter for each table."""
    client = nodes.client()
    session = client.session.create()["id"]
    born = {"method": "born", "arguments": {"year": 2000}, "session": session}
    ids = [extract(nodes, label=label, **born)["id"] for label in ("others", "default")]
    task = client.task.create(1, 3, method="ages", databases=[[{"dataframe_id": id_} for id_ in ids]])
    assert nodes.wait(task["id"], LIMIT)
    assert nodes.answer(nodes.task(task["id"]).runs[0]) == [[158, 117], [58, 17]]


def test_databases_by_label_have_the_order_of_the_task(nodes: Federation) -> None:
    for labels in (["default", "others"], ["others", "default"]):
        expected = [
            ages if label == "default" else [age + 100 for age in ages] for label in labels for ages in [[58, 17]]
        ]
        assert nodes.run("ages", at=3, databases=labels) == [expected]


def test_a_database_may_have_a_query_or_a_sheet(nodes: Federation) -> None:
    databases = [
        Database("register", query="SELECT age FROM people WHERE age < 60"),
        Database("book", sheet_name="all"),
    ]
    assert nodes.run("ages", databases=databases) == [[[36, 9], [36, 71, 9]], [[58, 17], [58, 17]]]


def test_one_database_may_have_several_queries(nodes: Federation) -> None:
    """In a session, each query makes a table. The same query uses the same table again."""
    young, old = (
        Database("register", query=f"SELECT age FROM people WHERE age {operator} 40") for operator in ("<", ">")
    )
    assert nodes.run("ages", at=2, databases=[young, old]) == [[[36, 9], [71]]]
    client = nodes.client()
    session = client.session.create()["id"]
    for database, expected in ((young, 45), (old, 71), (young, 45)):
        databases = [{"label": "register", "query": database.query}]
        arguments = {"column": "age"}
        task = client.task.create(1, 2, method="total", arguments=arguments, databases=databases, session=session)
        assert nodes.wait(task["id"], LIMIT)
        assert nodes.answer(nodes.task(task["id"]).runs[0]) == expected
    assert [table["name"] for table in client.dataframe.list(session)["data"]] == ["register", "register_2"]


def test_a_label_means_the_table_of_that_name_if_there_is_one(nodes: Federation) -> None:
    assert nodes.run("total", column="age") == [116, 75]
    preprocess(nodes, extract(nodes, name="default"), "shortened", rows=1)
    assert nodes.run("total", column="age") == [36, 58]


def test_subtasks_have_their_masters_tables_and_session(nodes: Federation) -> None:
    table = preprocess(nodes, extract(nodes), "shortened", rows=1)
    masters = run_task(nodes, [table], "totals", column="age")
    assert [nodes.answer(run) for run in masters] == [[36, 58]] * 2
    parent = nodes.task(masters[0].task_id)
    for task in nodes.subtasks(parent.id):
        assert (task.session_id, task.databases) == (parent.session_id, parent.databases)
        assert (task.role, task.step, task.method) == ("rpc", "compute", "total")
    assert len(nodes.subtasks(parent.id)) == 2


@by_each_runner
def test_a_function_that_reads_a_file_gets_the_path_of_the_table(nodes: Federation) -> None:
    table = extract(nodes, name="people")
    for node, result in zip((2, 3), get_results(nodes, [table], "file_of"), strict=True):
        path = nodes._platform.folders.base / f"node-{node}" / "session-1" / "people.parquet"
        assert result == {"label": "people", "type": "parquet", "path": str(path)}


@by_each_runner
def test_runs_of_a_session_share_a_temporary_folder_without_tables(nodes: Federation) -> None:
    table, other_table = extract(nodes), extract(nodes)
    assert get_results(nodes, [table], "keeps", text="a") == ["", ""]
    assert get_results(nodes, [table], "keeps", text="b") == ["a", "a"]
    assert get_results(nodes, [other_table], "keeps", text="c") == ["", ""], "another session"
    for result in get_results(nodes, [table], "surroundings"):
        folder = Path(result["temporary"])
        assert [path.name for path in folder.iterdir()] == ["kept"]
        assert {path.name for path in folder.parent.iterdir()} == {folder.name, "df_1.parquet", "session_state.parquet"}


@by_each_runner
def test_an_rpc_knows_its_run_without_a_token(nodes: Federation) -> None:
    table = extract(nodes)
    results = get_results(nodes, [table], "surroundings")
    assert [(a["task"], a["node"], a["organization"], a["collaboration"]) for a in results] == [
        (2, 1, 2, 1),
        (2, 2, 3, 1),
    ]
    assert all({"CONTAINER_TOKEN", "TOKEN_FILE"}.isdisjoint(answer["environment"]) for answer in results)


@pytest.mark.parametrize("runner", ["process"], indirect=True)
def test_a_master_reaches_other_nodes_and_does_not_see_the_token(nodes: Federation) -> None:
    for result in get_results(nodes, [extract(nodes)], "master_environment"):
        assert result["organizations"] == [2, 3]
        assert not [name for name in result["environment"] if name.startswith(("CONTAINER_TOKEN", "DB_PARAM_"))]


# Order


def test_a_task_waits_for_its_table(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    change = client.dataframe.preprocess(table["id"], method="shortened", arguments={"rows": 1})
    databases = [{"dataframe_id": table["id"]}]
    task = client.task.create(1, [2, 3], method="total", arguments={"column": "age"}, databases=databases)
    first, second, third = (nodes.task(number) for number in (1, 2, task["id"]))
    assert (second.depends_on, third.depends_on) == ((1,), (2,))
    # Other tasks run meanwhile. When they have finished, every run that could start has started.
    assert nodes.wait(first.id, 0) is False
    assert nodes.run("total", at=2, column="age") == [116]
    assert nodes.run("total", at=2, column="age") == [116]
    assert [run.status for waits in (second, third) for run in waits.runs] == ["pending"] * 4
    file.touch()
    assert nodes.wait(third.id, LIMIT)
    assert [nodes.answer(run) for run in third.runs] == [36, 58]
    for before, after in ((first, second), (second, third)):
        assert max(str(run.finished_at) for run in before.runs) <= min(str(run.started_at) for run in after.runs)
    assert change["id"] == table["id"]


def test_a_task_that_depends_on_a_failed_task_fails_at_once(nodes: Federation) -> None:
    table = extract(nodes, "fails_at", arguments={"organization": 3})
    assert [run.status for run in get_table_runs(nodes, table)] == ["completed", "crashed"]
    assert (table["ready"], table["organizations_ready"]) == (False, [2])
    change = preprocess(nodes, table, "shortened", rows=1)
    all_runs = [*get_table_runs(nodes, change), *run_task(nodes, [table], "total", column="age")]
    assert [run.status for run in all_runs] == ["depended on failed task"] * 4
    assert all(run.started_at is None for run in all_runs)
    reason = "depended on failed task: a task that this one depends on has failed"
    assert get_failures(nodes, all_runs) == [(1, reason)] * 4
    assert nodes.client().task.get(all_runs[-1].task_id)["status"] == "failed"


def test_a_failure_reaches_waiting_tasks(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    client.dataframe.preprocess(table["id"], method="shortened", arguments={"rows": "one"})
    task = client.task.create(1, [2], method="total", arguments={"column": "age"}, databases=[{"dataframe_id": 1}])
    file.touch()
    assert nodes.wait(task["id"], LIMIT)
    assert [run.status for number in (1, 2, 3) for run in nodes.task(number).runs] == [
        *["completed"] * 2, *["crashed"] * 2, "depended on failed task",
    ]  # fmt: skip


def test_closing_cancels_waiting_tasks(make: Make, tmp_path: Path) -> None:
    nodes = make(faults={3: Dead()})
    client = nodes.client()
    table = client.dataframe.create("default", name="people")
    task = client.task.create(1, [2, 3], method="total", arguments={"column": "age"}, databases=[table["id"]])
    nodes.close()
    assert nodes.wait(task["id"], LIMIT)
    assert {run.status for run in nodes.task(task["id"]).runs} <= {"killed by user", "depended on failed task"}


# Errors


@pytest.mark.parametrize(("method", "arguments"), [("no_table", {}), ("grown_ups", {"at_least": "many"})])
def test_an_extraction_that_fails_creates_no_table(
    nodes: Federation, method: str, arguments: dict[str, object]
) -> None:
    table = extract(nodes, method, name="people", arguments=arguments)
    codes = {code for code, _ in get_failures(nodes, get_table_runs(nodes, table))}
    assert codes == ({42} if method == "no_table" else {15})
    assert [run.status for run in get_table_runs(nodes, table)] == ["crashed"] * 2
    assert (table["ready"], table["columns"]) == (False, [])
    assert not list(nodes._platform.folders.base.rglob("people.parquet"))


@by_each_runner
def test_an_output_that_is_not_a_table_is_refused_without_its_values(nodes: Federation) -> None:
    table = extract(nodes, "no_table")
    for code, message in get_failures(nodes, get_table_runs(nodes, table)):
        assert code == 42
        assert "must return a table of pandas, Polars, Arrow, DuckDB or Ibis, not" in message
        assert "dict" in message
        assert not any(name in message for name in ("Ada", "Ida"))


@by_each_runner
def test_an_output_that_is_not_a_parquet_file_is_unexpected(make: Make) -> None:
    """Functions of other tools, and a node with a wrong result, can write such an output."""
    nodes = make(faults={3: Wrong({"no": "table"})})
    table = extract(nodes, name="people")
    assert [run.status for run in get_table_runs(nodes, table)] == ["completed", "unexpected output"]
    assert table["organizations_ready"] == [2]
    assert not (nodes._platform.folders.base / "node-3" / "session-1" / "people.parquet").exists()
    failure = nodes.failure(get_table_runs(nodes, table)[1])
    assert failure is not None
    assert failure.message.startswith("table 'people': ")


@by_each_runner
def test_a_failed_change_leaves_the_table_unchanged(nodes: Federation) -> None:
    table = extract(nodes, name="people")
    changed = preprocess(nodes, table, "only_names")
    assert {code for code, _ in get_failures(nodes, get_table_runs(nodes, changed))} == {42}
    for node, before in zip((2, 3), TABLES, strict=True):
        remaining = pd.read_parquet(nodes._platform.folders.base / f"node-{node}" / "session-1" / "people.parquet")
        assert remaining["age"].tolist() == before["age"].tolist()


def test_a_database_that_a_node_does_not_have_is_reported(nodes: Federation) -> None:
    all_runs = get_table_runs(nodes, extract(nodes, label="nowhere"))
    assert [run.status for run in all_runs] == ["failed"] * 2
    message = "this node has no database 'nowhere'; it has: book, columns, default, others, register"
    assert get_failures(nodes, all_runs) == [(30, message)] * 2
    task = nodes.client().task.create(1, [2, 3], method="total", arguments={"column": "age"}, database="nowhere")
    assert nodes.wait(task["id"], LIMIT)
    all_runs = nodes.task(task["id"]).runs
    assert [run.status for run in all_runs] == ["dataframe not found"] * 2
    assert get_failures(nodes, all_runs) == [(30, message)] * 2


CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "grown_ups": ("data_extraction", {}),
    "shortened": ("preprocessing", {"rows": 1}),
    "total": ("compute", {"column": "age"}),
    "totals": ("compute", {"column": "age"}),
}
"""Method -> its step, and valid arguments."""


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("step", ["data_extraction", "preprocessing", "compute"])
def test_a_function_is_called_only_for_its_step(nodes: Federation, method: str, step: str) -> None:
    own_step, arguments = CALLS[method]
    table = extract(nodes)
    if step == "data_extraction":
        all_runs = get_table_runs(nodes, extract(nodes, method, arguments=arguments))
    elif step == "preprocessing":
        all_runs = get_table_runs(nodes, preprocess(nodes, table, method, **arguments))
    else:
        all_runs = run_task(nodes, [table], method, **arguments)
    if step == own_step:
        assert [run.status for run in all_runs] == ["completed"] * 2
    else:
        failures = get_failures(nodes, all_runs)
        assert [code for code, _ in failures] == [14, 14], failures
        assert [run.output for run in all_runs] == [b""] * 2


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize("method", ["grown_ups", "shortened"])
def test_a_function_that_makes_tables_sends_no_rows(make: Make, contract: str, method: str) -> None:
    nodes = make(contract=contract)
    input_ = {"method": method, "kwargs": {"rows": 9} if method == "shortened" else {}, "master": False}
    task = nodes.client().task.create(1, [2, 3], input=input_)
    assert nodes.wait(task["id"], LIMIT)
    all_runs = nodes.task(task["id"]).runs
    assert [run.output for run in all_runs] == [b""] * 2
    assert [code for code, _ in get_failures(nodes, all_runs)] == [14, 14]
    assert "only tasks of a v5 session create tables" in all_runs[0].log


def test_the_readers_exist_only_for_extraction(nodes: Federation) -> None:
    table = extract(nodes)
    (code, message), _ = get_failures(nodes, run_task(nodes, [table], "read_csv"))
    assert code == 13
    assert "has no method 'read_csv'" in message
    (code, message), _ = get_failures(nodes, get_table_runs(nodes, extract(nodes, "read_csvs")))
    assert code == 13
    assert "did you mean 'read_csv'?" in message


@pytest.mark.parametrize("name", ["a,b", "a;b", "a/b", "a\\b", ".hidden", "line\nbreak"])
def test_an_invalid_name_of_a_table_is_refused(nodes: Federation, name: str) -> None:
    with pytest.raises(FederationError, match="a table cannot be called"):
        nodes.client().dataframe.create("default", name=name)


def test_the_name_of_the_session_file_is_refused(nodes: Federation) -> None:
    with pytest.raises(FederationError, match="a table cannot be called 'session_state'"):
        nodes.client().dataframe.create("default", name="session_state")


def test_names_of_sessions_and_tables_are_unique(nodes: Federation) -> None:
    client = nodes.client()
    session = client.session.create(name="study")
    client.dataframe.create("default", name="people", session=session["id"])
    other_session = client.session.create()["id"]
    with pytest.raises(
        FederationError, match="a table 'people' exists already; table names are unique in a collaboration"
    ):
        client.dataframe.create("others", name="people", session=other_session)
    with pytest.raises(FederationError, match="a session 'study' exists already"):
        client.session.create(name="study")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.session.get(9), "unknown session 9 (existing sessions: 1)"),
        (lambda client: client.session.create(collaboration=2), "unknown collaboration 2"),
        (lambda client: client.dataframe.get(9), "unknown dataframe 9 (existing dataframes: 1)"),
        (lambda client: client.dataframe.list(9), "unknown session 9"),
        (lambda client: client.dataframe.create("default", session=9), "unknown session 9"),
        (lambda client: client.dataframe.preprocess(9, method="shortened"), "unknown dataframe 9"),
        (
            lambda client: client.task.create(1, [2], method="total", databases=[{"dataframe_id": 9}]),
            "unknown dataframe 9",
        ),
        (
            lambda client: client.task.create(1, [2], method="total", databases=[{"dataframe_id": 1}, {"label": "a"}]),
            "either tables by their ids, or databases by label",
        ),
        (
            lambda client: client.task.create(
                1, [2], method="total", databases=[{"dataframe_id": 1}], session=client.session.create()["id"]
            ),
            "the tables of one session",
        ),
        (
            lambda client: client.task.create(1, [2], method="total", action="preprocessing"),
            "unknown action 'preprocessing'",
        ),
        (
            lambda client: client.task.create(1, [2], method="total", databases=[{"dataframe_id": "people"}]),
            'items {"label": "default"} or {"dataframe_id": 1}',
        ),
        (lambda client: client.task.create(1, [2], input={"kwargs": {}}), "a task on v5 needs the name of its method"),
    ],
)
def test_an_invalid_call_is_refused_with_a_reason(
    nodes: Federation, call: Callable[[Any], object], message: str
) -> None:
    extract(nodes)
    with pytest.raises(FederationError) as raised:
        call(nodes.client())
    assert message in str(raised.value)


@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_only_v5_has_sessions(make: Make, contract: str) -> None:
    client = make(contract=contract).client()
    with pytest.raises(FederationError, match=f"{contract} has no sessions; create the Federation with contract='v5'"):
        client.session.create()
    with pytest.raises(FederationError, match=f"{contract} has no sessions"):
        client.dataframe.create("default")
    with pytest.raises(FederationError, match=f"{contract} has no sessions: name databases by label"):
        client.task.create(1, [2], method="total", action="federated_compute", databases=[{"dataframe_id": 1}])


def test_an_action_decides_the_role(nodes: Federation) -> None:
    table = extract(nodes)
    client = nodes.client()
    for method, action, code in (
        ("total", "central_compute", 14), ("totals", "federated_compute", 14), ("totals", "central_compute", None),
        ("total", "federated_compute", None),
    ):  # fmt: skip
        task = client.task.create(
            1, [2], method=method, action=action, arguments={"column": "age"}, databases=[table["id"]]
        )
        assert nodes.wait(task["id"], LIMIT)
        failure = nodes.failure(nodes.task(task["id"]).runs[0])
        assert (failure.exit_code if failure else None) == code
        if failure:
            right = "central_compute" if method == "totals" else "federated_compute"
            assert f'; create the task with action="{right}", or call another method' in failure.message
