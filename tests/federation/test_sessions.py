"""Sessions and their tables, as a v5 researcher makes and uses them: extracted, prepared, computed with."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.contract.platform import Run
from algotools.errors import FederationError
from algotools.federation import Dead, Wrong
from algotools.task import Database

from ..conftest import ALGORITHMS

PREPARES = ALGORITHMS / "prepares"
TABLES = [
    pd.DataFrame({"name": ["Ada", "Jane", "Tim"], "age": [36, 71, 9]}),
    pd.DataFrame({"name": ["Ida", "John"], "age": [58, 17]}),
]
"""What the organizations 2 and 3 have, in each of their databases."""


def of_node(folder: Path, table: pd.DataFrame) -> dict[str, Any]:
    """One table as databases of every type; the second sheet and ``default`` have all of it."""
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
    return [of_node(folder / str(number), table) for number, table in enumerate(TABLES)]


@pytest.fixture(params=["inline", "process"])
def runner(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Make = Callable[..., Federation]


@pytest.fixture
def make(runner: str, sources: list[dict[str, Any]]) -> Iterator[Make]:
    """Makes federations of two nodes, closed at the end."""
    made: list[Federation] = []

    def make(**options: Any) -> Federation:
        made.append(Federation(sources, **{"algorithm": PREPARES, "runner": runner, "contract": "v5", **options}))
        return made[-1]

    yield make
    for federation in made:
        federation.close()


@pytest.fixture
def nodes(make: Make) -> Federation:
    return make()


@pytest.fixture
def inline(sources: list[dict[str, Any]]) -> Iterator[Federation]:
    """For what does not depend on the runner."""
    with Federation(sources, algorithm=PREPARES, contract="v5") as federation:
        yield federation


def made(nodes: Federation, table: dict[str, Any]) -> dict[str, Any]:
    """A table when the task that makes it has ended."""
    assert nodes.wait(table["last_session_task"]["id"], 60)
    return nodes.client().dataframe.get(table["id"])


def extracted(nodes: Federation, method: str = "read_csv", label: str = "default", **more: Any) -> dict[str, Any]:
    """A table, extracted at all nodes."""
    return made(nodes, nodes.client().dataframe.create(label, method=method, **more))


def prepared(nodes: Federation, table: dict[str, Any], method: str, **arguments: object) -> dict[str, Any]:
    return made(nodes, nodes.client().dataframe.preprocess(table["id"], method=method, arguments=arguments))


def runs(nodes: Federation, tables: list[Any], method: str, /, **arguments: object) -> list[Run]:
    """The ended runs of a task on tables."""
    client = nodes.client()
    databases = [{"dataframe_id": table["id"]} for table in tables]
    task = client.task.create(1, [2, 3], method=method, arguments=arguments, databases=databases)
    assert nodes.wait(task["id"], 60)
    return nodes.task(task["id"]).runs


def answers(nodes: Federation, tables: list[Any], method: str, /, **arguments: object) -> list[Any]:
    """What the nodes answer to a task on tables; a failure of one is its answer."""
    return [nodes.failure(run) or nodes.answer(run) for run in runs(nodes, tables, method, **arguments)]


def makers(nodes: Federation, table: dict[str, Any]) -> list[Run]:
    """The runs that made a table what it is."""
    return nodes.task(table["last_session_task"]["id"]).runs


def failures(nodes: Federation, found: list[Run]) -> list[tuple[int, str]]:
    told = [failure for run in found if (failure := nodes.failure(run)) is not None]
    assert len(told) == len(found)
    return [(failure.exit_code, failure.message) for failure in told]


# Making tables


@pytest.mark.parametrize(
    ("label", "method", "arguments"),
    [
        ("default", "read_csv", {}),
        ("columns", "read_parquet", {}),
        ("book", "read_excel", {"sheet_name": "all"}),
        ("register", "read_sql_database", {"query": "SELECT * FROM people"}),
    ],
)
def test_every_algorithm_has_readers(nodes: Federation, label: str, method: str, arguments: dict[str, str]) -> None:
    table = extracted(nodes, method, label, arguments=arguments)
    assert table["ready"] is True
    assert answers(nodes, [table], "total", column="age") == [116, 75]


def test_a_reader_takes_what_its_arguments_say(nodes: Federation) -> None:
    assert answers(nodes, [extracted(nodes, "read_excel", "book")], "total", column="age") == [36, 58]
    asked = {"query": "SELECT age FROM people WHERE age > 17"}
    table = extracted(nodes, "read_sql_database", "register", arguments=asked)
    assert [column["name"] for column in table["columns"]] == ["age", "age"]
    assert answers(nodes, [table], "total", column="age") == [107, 58]


def test_an_author_extracts_what_the_author_likes(nodes: Federation) -> None:
    assert answers(nodes, [extracted(nodes, "grown_ups")], "total", column="age") == [107, 58]
    older = extracted(nodes, "grown_ups", arguments={"at_least": 40})
    assert answers(nodes, [older], "total", column="age") == [71, 58]


@pytest.mark.parametrize("label", ["default", "columns", "others"])
def test_an_author_may_have_the_database_read(nodes: Federation, label: str) -> None:
    table = extracted(nodes, "born", label, arguments={"year": 2000})
    more = 300 if label == "others" else 0
    assert answers(nodes, [table], "total", column="born") == [6000 - 116 - more, 4000 - 75 - more * 2 // 3]
    assert answers(nodes, [table], "total", column="organization") == [6, 6]


def test_preparing_changes_a_table_for_all_that_comes_later(nodes: Federation) -> None:
    table = extracted(nodes)
    before = runs(nodes, [table], "total", column="age")
    table = prepared(nodes, table, "younger", column="age", by=2)
    assert answers(nodes, [table], "total", column="age") == [110, 71]
    table = prepared(nodes, table, "shortened", rows=1)
    assert answers(nodes, [table], "total", column="age") == [34, 56]
    assert [nodes.answer(run) for run in before] == [116, 75]


def test_preparing_sees_all_columns_whichever_an_argument_names(nodes: Federation) -> None:
    table = prepared(nodes, extracted(nodes), "younger", column="age")
    assert [c["name"] for c in table["columns"] if c["node_id"] == 1] == ["name", "age"]


def test_a_table_may_be_given_back_as_arrows(nodes: Federation) -> None:
    pytest.importorskip("pyarrow")
    table = prepared(nodes, extracted(nodes), "as_arrow")
    columns = [(column["name"], column["dtype"]) for column in table["columns"] if column["node_id"] == 2]
    assert columns[1:] == [("age", "int64"), ("half", "double")]  # a text's type is as pyarrow likes it
    assert answers(nodes, [table], "total", column="half") == [58, 37]


def test_a_table_tells_how_far_it_is_and_what_it_has(inline: Federation) -> None:
    client = inline.client()
    session = client.session.create(name="study")
    table = client.dataframe.create("default", session=session["id"], name="people")
    assert (table["id"], table["name"], table["db_label"], table["session"]["id"]) == (1, "people", "default", 1)
    found = made(inline, table)
    assert (found["ready"], found["organizations_ready"]) == (True, [2, 3])
    assert found.keys() == table.keys()
    for node in (1, 2):
        columns = [column for column in found["columns"] if column["node_id"] == node]
        assert [column["name"] for column in columns] == ["name", "age"]
        assert columns[1] == {"node_id": node, "name": "age", "dtype": "int64"}
        assert columns[0]["dtype"] in ("string", "large_string")  # as the installed pandas has texts
    assert client.dataframe.list(1)["data"] == [client.dataframe.get(1)]
    session = client.session.get(1)
    assert (session["name"], session["scope"], session["ready"]) == ("study", "collaboration", True)
    assert client.session.list()["data"] == [session]


def test_a_table_that_is_not_there_yet_is_not_ready(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    assert table["ready"] is False
    assert client.session.get(table["session"]["id"])["ready"] is False
    file.touch()
    assert made(nodes, table)["ready"] is True
    assert client.session.get(table["session"]["id"])["ready"] is True


def test_a_researcher_gets_no_table(nodes: Federation) -> None:
    table = prepared(nodes, extracted(nodes), "younger", column="age")
    for task in (1, 2):
        items = nodes.client().result.list(task=task)["data"]
        assert [(item["status"], item["result"]) for item in items] == [("completed", None)] * 2
        assert [run.output for run in nodes.task(task).runs] == [b""] * 2
    assert table["ready"] is True


def test_what_has_been_done_stands_in_the_sessions_file(inline: Federation) -> None:
    prepared(inline, extracted(inline, name="people"), "shortened", rows=1)
    for node in (2, 3):
        folder = inline._folder / f"node-{node}" / "session-1"
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
def test_several_tables_come_in_the_order_of_the_task(nodes: Federation, order: list[int]) -> None:
    client = nodes.client()
    session = client.session.create()["id"]
    one, other = (
        extracted(nodes, session=session),
        extracted(nodes, "born", "others", arguments={"year": 0}, session=session),
    )
    expected = [[[36, 71, 9], [136, 171, 109]], [[58, 17], [158, 117]]]
    found = answers(nodes, [[one, other][place] for place in order], "ages")
    assert found == [[pair[place] for place in order] for pair in expected]


def test_tables_of_one_argument_are_taken_one_by_one(nodes: Federation) -> None:
    """v5 can group tables for an argument; our functions have a parameter for each."""
    client = nodes.client()
    session = client.session.create()["id"]
    born = {"method": "born", "arguments": {"year": 2000}, "session": session}
    ids = [extracted(nodes, label=label, **born)["id"] for label in ("others", "default")]
    task = client.task.create(1, 3, method="ages", databases=[[{"dataframe_id": id_} for id_ in ids]])
    assert nodes.wait(task["id"], 60)
    assert nodes.answer(nodes.task(task["id"]).runs[0]) == [[158, 117], [58, 17]]


def test_databases_by_label_come_in_the_order_of_the_task_too(nodes: Federation) -> None:
    for labels in (["default", "others"], ["others", "default"]):
        expected = [
            ages if label == "default" else [age + 100 for age in ages] for label in labels for ages in [[58, 17]]
        ]
        assert nodes.run("ages", at=3, databases=labels) == [expected]


def test_a_label_may_be_one_that_needs_more_than_a_label(nodes: Federation) -> None:
    asked = [Database("register", query="SELECT age FROM people WHERE age < 60"), Database("book", sheet_name="all")]
    assert nodes.run("ages", databases=asked) == [[[36, 9], [36, 71, 9]], [[58, 17], [58, 17]]]


def test_one_database_may_be_asked_in_several_ways(nodes: Federation) -> None:
    """Even in one session, where each is a table of its own; asked the same way again, it is the same table."""
    young, old = (Database("register", query=f"SELECT age FROM people WHERE age {how} 40") for how in ("<", ">"))
    assert nodes.run("ages", at=2, databases=[young, old]) == [[[36, 9], [71]]]
    client = nodes.client()
    session = client.session.create()["id"]
    for asked, expected in ((young, 45), (old, 71), (young, 45)):
        databases = [{"label": "register", "query": asked.query}]
        arguments = {"column": "age"}
        task = client.task.create(1, 2, method="total", arguments=arguments, databases=databases, session=session)
        assert nodes.wait(task["id"], 60)
        assert nodes.answer(nodes.task(task["id"]).runs[0]) == expected
    assert [table["name"] for table in client.dataframe.list(session)["data"]] == ["register", "register_2"]


def test_a_label_means_the_table_of_that_name_if_there_is_one(nodes: Federation) -> None:
    assert nodes.run("total", column="age") == [116, 75]
    prepared(nodes, extracted(nodes, name="default"), "shortened", rows=1)
    assert nodes.run("total", column="age") == [36, 58]


def test_subtasks_have_their_masters_tables_and_session(nodes: Federation) -> None:
    table = prepared(nodes, extracted(nodes), "shortened", rows=1)
    found = runs(nodes, [table], "totals", column="age")
    assert [nodes.answer(run) for run in found] == [[36, 58]] * 2
    parent = nodes.task(found[0].task_id)
    for task in nodes.subtasks(parent.id):
        assert (task.session_id, task.databases) == (parent.session_id, parent.databases)
        assert (task.role, task.step, task.method) == ("rpc", "compute", "total")
    assert len(nodes.subtasks(parent.id)) == 2


def test_a_function_that_reads_by_itself_gets_the_tables_path(nodes: Federation) -> None:
    table = extracted(nodes, name="people")
    for node, found in zip((2, 3), answers(nodes, [table], "file_of"), strict=True):
        path = nodes._folder / f"node-{node}" / "session-1" / "people.parquet"
        assert found == {"label": "people", "type": "parquet", "path": str(path)}


def test_runs_of_a_session_share_a_temporary_folder_in_which_no_table_is(nodes: Federation) -> None:
    table, other = extracted(nodes), extracted(nodes)
    assert answers(nodes, [table], "keeps", text="a") == ["", ""]
    assert answers(nodes, [table], "keeps", text="b") == ["a", "a"]
    assert answers(nodes, [other], "keeps", text="c") == ["", ""], "another session"
    for found in answers(nodes, [table], "surroundings"):
        folder = Path(found["temporary"])
        assert [path.name for path in folder.iterdir()] == ["kept"]
        assert {path.name for path in folder.parent.iterdir()} == {folder.name, "df_1.parquet", "session_state.parquet"}


def test_an_rpc_knows_its_run_without_any_token(nodes: Federation) -> None:
    table = extracted(nodes)
    found = answers(nodes, [table], "surroundings")
    assert [(a["task"], a["node"], a["organization"], a["collaboration"]) for a in found] == [
        (2, 1, 2, 1),
        (2, 2, 3, 1),
    ]
    assert all({"CONTAINER_TOKEN", "TOKEN_FILE"}.isdisjoint(answer["environment"]) for answer in found)


@pytest.mark.parametrize("runner", ["process"], indirect=True)
def test_a_masters_code_reaches_the_others_and_finds_no_token(nodes: Federation) -> None:
    for found in answers(nodes, [extracted(nodes)], "environment_of_a_master"):
        assert found["organizations"] == [2, 3]
        assert not [name for name in found["environment"] if name.startswith(("CONTAINER_TOKEN", "DB_PARAM_"))]


# Order


def test_a_task_waits_for_the_table_that_it_works_on(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    change = client.dataframe.preprocess(table["id"], method="shortened", arguments={"rows": 1})
    databases = [{"dataframe_id": table["id"]}]
    task = client.task.create(1, [2, 3], method="total", arguments={"column": "age"}, databases=databases)
    first, second, third = (nodes.task(number) for number in (1, 2, task["id"]))
    assert (second.depends_on, third.depends_on) == ((1,), (2,))
    # What others ask goes on: when it has been answered, all that could begin has begun.
    assert nodes.wait(first.id, 0) is False
    assert nodes.run("total", at=2, column="age") == [116]
    assert nodes.run("total", at=2, column="age") == [116]
    assert [run.status for waits in (second, third) for run in waits.runs] == ["pending"] * 4
    file.touch()
    assert nodes.wait(third.id, 60)
    assert [nodes.answer(run) for run in third.runs] == [36, 58]
    for before, after in ((first, second), (second, third)):
        assert max(str(run.finished_at) for run in before.runs) <= min(str(run.started_at) for run in after.runs)
    assert change["id"] == table["id"]


def test_what_depends_on_what_failed_fails_at_once(nodes: Federation) -> None:
    table = extracted(nodes, "fails_at", arguments={"organization": 3})
    assert [run.status for run in makers(nodes, table)] == ["completed", "crashed"]
    assert (table["ready"], table["organizations_ready"]) == (False, [2])
    change = prepared(nodes, table, "shortened", rows=1)
    found = [*makers(nodes, change), *runs(nodes, [table], "total", column="age")]
    assert [run.status for run in found] == ["depended on failed task"] * 4
    assert all(run.started_at is None for run in found)
    why = "depended on failed task: a task that this one depends on has failed"
    assert failures(nodes, found) == [(1, why)] * 4
    assert nodes.client().task.get(found[-1].task_id)["status"] == "failed"


def test_a_failure_while_others_wait_reaches_them(nodes: Federation, tmp_path: Path) -> None:
    client, file = nodes.client(), tmp_path / "now"
    table = client.dataframe.create("default", method="waits_for", arguments={"file": str(file)})
    client.dataframe.preprocess(table["id"], method="shortened", arguments={"rows": "one"})
    task = client.task.create(1, [2], method="total", arguments={"column": "age"}, databases=[{"dataframe_id": 1}])
    file.touch()
    assert nodes.wait(task["id"], 60)
    assert [run.status for number in (1, 2, 3) for run in nodes.task(number).runs] == [
        *["completed"] * 2, *["crashed"] * 2, "depended on failed task",
    ]  # fmt: skip


def test_closing_ends_what_waits(make: Make, tmp_path: Path) -> None:
    nodes = make(faults={3: Dead()})
    client = nodes.client()
    table = client.dataframe.create("default", name="people")
    task = client.task.create(1, [2, 3], method="total", arguments={"column": "age"}, databases=[table["id"]])
    nodes.close()
    assert nodes.wait(task["id"], 30)
    assert {run.status for run in nodes.task(task["id"]).runs} <= {"killed by user", "depended on failed task"}


# What cannot be


@pytest.mark.parametrize(("method", "arguments"), [("no_table", {}), ("grown_ups", {"at_least": "many"})])
def test_an_extraction_without_a_table_makes_none(nodes: Federation, method: str, arguments: dict[str, object]) -> None:
    table = extracted(nodes, method, name="people", arguments=arguments)
    codes = {code for code, _ in failures(nodes, makers(nodes, table))}
    assert codes == ({42} if method == "no_table" else {15})
    assert [run.status for run in makers(nodes, table)] == ["crashed"] * 2
    assert (table["ready"], table["columns"]) == (False, [])
    assert not list(nodes._folder.rglob("people.parquet"))


def test_an_output_that_is_no_table_is_named_and_not_quoted(nodes: Federation) -> None:
    table = extracted(nodes, "no_table")
    for code, message in failures(nodes, makers(nodes, table)):
        assert code == 42
        assert "must return one, of pandas, Polars, Arrow, DuckDB or Ibis, not" in message
        assert "dict" in message
        assert not any(name in message for name in ("Ada", "Ida"))


def test_an_output_that_is_no_parquet_file_is_unexpected(make: Make) -> None:
    """As other tools' functions may write one, and as a node that answers something else does."""
    nodes = make(faults={3: Wrong({"no": "table"})})
    table = extracted(nodes, name="people")
    assert [run.status for run in makers(nodes, table)] == ["completed", "unexpected output"]
    assert table["organizations_ready"] == [2]
    assert not (nodes._folder / "node-3" / "session-1" / "people.parquet").exists()
    failure = nodes.failure(makers(nodes, table)[1])
    assert failure is not None
    assert failure.message.startswith("table 'people': ")


def test_a_change_that_fails_leaves_the_table_as_it_was(nodes: Federation) -> None:
    table = extracted(nodes, name="people")
    changed = prepared(nodes, table, "names_alone")
    assert {code for code, _ in failures(nodes, makers(nodes, changed))} == {42}
    for node, before in zip((2, 3), TABLES, strict=True):
        left = pd.read_parquet(nodes._folder / f"node-{node}" / "session-1" / "people.parquet")
        assert left["age"].tolist() == before["age"].tolist()


def test_a_database_that_a_node_does_not_have(nodes: Federation) -> None:
    found = makers(nodes, extracted(nodes, label="nowhere"))
    assert [run.status for run in found] == ["failed"] * 2
    says = "this node has no database 'nowhere'; it has: book, columns, default, others, register"
    assert failures(nodes, found) == [(30, says)] * 2
    task = nodes.client().task.create(1, [2, 3], method="total", arguments={"column": "age"}, database="nowhere")
    assert nodes.wait(task["id"], 60)
    found = nodes.task(task["id"]).runs
    assert [run.status for run in found] == ["dataframe not found"] * 2
    assert failures(nodes, found) == [(30, says)] * 2


CALLS: dict[str, tuple[str, dict[str, object]]] = {
    "grown_ups": ("data_extraction", {}),
    "shortened": ("preprocessing", {"rows": 1}),
    "total": ("compute", {"column": "age"}),
    "totals": ("compute", {"column": "age"}),
}
"""Method -> its step, and arguments that are right."""


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("step", ["data_extraction", "preprocessing", "compute"])
def test_a_function_is_called_for_its_step_alone(nodes: Federation, method: str, step: str) -> None:
    own, arguments = CALLS[method]
    table = extracted(nodes)
    if step == "data_extraction":
        found = makers(nodes, extracted(nodes, method, arguments=arguments))
    elif step == "preprocessing":
        found = makers(nodes, prepared(nodes, table, method, **arguments))
    else:
        found = runs(nodes, [table], method, **arguments)
    if step == own:
        assert [run.status for run in found] == ["completed"] * 2
    else:
        told = failures(nodes, found)
        assert [code for code, _ in told] == [14, 14], told
        assert [run.output for run in found] == [b""] * 2


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize("method", ["grown_ups", "shortened"])
def test_no_rows_leave_by_a_function_that_makes_tables(make: Make, contract: str, method: str) -> None:
    nodes = make(contract=contract)
    input_ = {"method": method, "kwargs": {"rows": 9} if method == "shortened" else {}, "master": False}
    task = nodes.client().task.create(1, [2, 3], input=input_)
    assert nodes.wait(task["id"], 60)
    found = nodes.task(task["id"]).runs
    assert [run.output for run in found] == [b""] * 2
    assert [code for code, _ in failures(nodes, found)] == [14, 14]
    assert "tables are made in a session's tasks, which only v5 has" in found[0].log


def test_the_readers_are_there_for_extraction_alone(nodes: Federation) -> None:
    table = extracted(nodes)
    (code, message), _ = failures(nodes, runs(nodes, [table], "read_csv"))
    assert code == 13
    assert "has no method 'read_csv'" in message
    (code, message), _ = failures(nodes, makers(nodes, extracted(nodes, "read_csvs")))
    assert code == 13
    assert "did you mean 'read_csv'?" in message


@pytest.mark.parametrize("name", ["a,b", "a;b", "a/b", "a\\b", ".hidden", "line\nbreak"])
def test_a_name_that_is_none_is_refused(inline: Federation, name: str) -> None:
    with pytest.raises(FederationError, match="a table cannot be called"):
        inline.client().dataframe.create("default", name=name)


def test_a_table_is_not_called_as_the_sessions_own_file(inline: Federation) -> None:
    with pytest.raises(FederationError, match="a table cannot be called 'session_state'"):
        inline.client().dataframe.create("default", name="session_state")


def test_names_are_unique(inline: Federation) -> None:
    client = inline.client()
    session = client.session.create(name="study")
    client.dataframe.create("default", name="people", session=session["id"])
    other = client.session.create()["id"]
    with pytest.raises(FederationError, match="there is a table 'people' already; in a collaboration names are unique"):
        client.dataframe.create("others", name="people", session=other)
    with pytest.raises(FederationError, match="there is a session 'study' already"):
        client.session.create(name="study")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda client: client.session.get(9), "there is no session 9; there are: 1"),
        (lambda client: client.session.create(collaboration=2), "there is no collaboration 2"),
        (lambda client: client.dataframe.get(9), "there is no dataframe 9; there are: 1"),
        (lambda client: client.dataframe.list(9), "there is no session 9"),
        (lambda client: client.dataframe.create("default", session=9), "there is no session 9"),
        (lambda client: client.dataframe.preprocess(9, method="shortened"), "there is no dataframe 9"),
        (lambda client: client.task.create(1, [2], method="total", databases=[{"dataframe_id": 9}]), "no dataframe 9"),
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
        (lambda client: client.task.create(1, [2], method="total", action="preprocessing"), "action 'preprocessing'"),
        (
            lambda client: client.task.create(1, [2], method="total", databases=[{"dataframe_id": "people"}]),
            'items {"label": "default"} or {"dataframe_id": 1}',
        ),
        (lambda client: client.task.create(1, [2], input={"kwargs": {}}), "v5 must be told the method"),
    ],
)
def test_a_call_that_cannot_be_right_says_why(inline: Federation, call: Callable[[Any], object], says: str) -> None:
    extracted(inline)
    with pytest.raises(FederationError) as raised:
        call(inline.client())
    assert says in str(raised.value)


@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_only_v5_has_sessions(make: Make, contract: str) -> None:
    client = make(contract=contract, runner="inline").client()
    with pytest.raises(FederationError, match=f"{contract} has no sessions; make the federation with contract='v5'"):
        client.session.create()
    with pytest.raises(FederationError, match=f"{contract} has no sessions"):
        client.dataframe.create("default")
    with pytest.raises(FederationError, match=f"{contract} has no sessions: name databases by label"):
        client.task.create(1, [2], method="total", action="federated_compute", databases=[{"dataframe_id": 1}])


def test_an_action_tells_the_role(nodes: Federation) -> None:
    table = extracted(nodes)
    client = nodes.client()
    for method, action, code in (
        ("total", "central_compute", 14), ("totals", "federated_compute", 14), ("totals", "central_compute", None),
        ("total", "federated_compute", None),
    ):  # fmt: skip
        task = client.task.create(
            1, [2], method=method, action=action, arguments={"column": "age"}, databases=[table["id"]]
        )
        assert nodes.wait(task["id"], 60)
        failure = nodes.failure(nodes.task(task["id"]).runs[0])
        assert (failure.exit_code if failure else None) == code
