"""A mistake in a call is one error before any run. The runs report a mistake that only some nodes can know."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pytest

from algotools import AlgorithmClient, Column, Columns, Database, Federation, Organization, master, rpc
from algotools.declare.description import describe
from algotools.declare.functions import Algorithm
from algotools.errors import (
    AlgorithmImportError,
    AlgorithmNotFound,
    AlgotoolsError,
    ArgumentsError,
    FederationError,
    RunsFailed,
    UnknownColumn,
    UnknownLabel,
    UnknownMethod,
    UnknownOrganization,
)
from algotools.federation.contract import get_contract
from algotools.federation.runners._described import check_described
from algotools.runtime.dispatch.checking import CheckedCall, NodeDatabases, check
from algotools.task import Database as TaskDatabase
from tests.conftest import ALGORITHMS

AGES = pd.DataFrame({"age": [50.0, 60.0, 70.0], "sex": ["f", "m", "f"]})


@rpc
def mean_part(data: pd.DataFrame, column: Column, weights: list[float] | None = None) -> float:
    return float(data[column].mean())


@rpc
def with_sex(data: Annotated[pd.DataFrame, Columns.of("sex")], column: Column) -> int:
    return len(data)


@rpc
def compare(first: pd.DataFrame, second: pd.DataFrame) -> list[int]:
    return [len(first), len(second)]


@rpc
def joined(data: pd.DataFrame, other: Annotated[pd.DataFrame, Database("events")], column: Column) -> int:
    return len(data) + len(other)


@rpc
def opens(data: Path, column: Column, kind: Literal["a", "b"] = "a") -> int:
    return 1


@master(name="mean_of_parts")
def average_of_parts(client: AlgorithmClient, column: Column, organizations: list[Organization] | None = None) -> float:
    parts = client.run(mean_part, column=column, organizations=organizations)
    return sum(parts) / len(parts)


@rpc(step="data_extraction")
def read_decades(source: Database) -> pd.DataFrame:
    data = pd.read_csv(source.uri)
    return data.assign(decade=data["age"] // 10)[["age", "decade"]]


FUNCTIONS = [mean_part, with_sex, compare, joined, opens, average_of_parts]


@pytest.fixture(params=["v3", "v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def nodes(contract: str) -> Iterator[Federation]:
    with Federation([AGES, AGES, AGES], algorithm=FUNCTIONS, contract=contract) as federation:
        yield federation


def assert_nothing_ran(federation: Federation) -> None:
    assert federation.tasks() == []


MISTAKES: dict[str, tuple[Callable[[Federation], object], type[AlgotoolsError], str]] = {
    "a method": (lambda f: f.run("mean_prt", column="age"), UnknownMethod, "did you mean 'mean_part'"),
    "the name of a function": (
        lambda f: f.ask("average_of_parts", column="age"),
        UnknownMethod,
        "did you mean 'mean_of_parts' (the function average_of_parts)?",
    ),
    "an argument": (lambda f: f.ask("mean_of_parts", colum="age"), ArgumentsError, "unknown: colum; missing: column"),
    "a type": (lambda f: f.run(mean_part, column=3), ArgumentsError, "column: expected str, got int"),
    "a column": (lambda f: f.run(mean_part, column="agee"), UnknownColumn, "did you mean 'age'? (columns: age, sex)"),
    "a column of a master": (
        lambda f: f.ask(average_of_parts, column="agee"),
        UnknownColumn,
        "no node has a column 'agee'",
    ),
    "an organization": (
        lambda f: f.ask(average_of_parts, column="age", organizations=[2, 9]),
        UnknownOrganization,
        ": 9;",
    ),
    "a label": (lambda f: f.run(mean_part, column="age", databases="defaul"), UnknownLabel, "did you mean 'default'?"),
    "too few databases": (lambda f: f.run(compare), UnknownLabel, "compare takes 2 databases (first, second), "),
    "no database with a label": (lambda f: f.run(joined, column="age"), UnknownLabel, "takes a database 'events'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_error_before_any_run(nodes: Federation, mistake: str) -> None:
    call, kind, text = MISTAKES[mistake]
    with pytest.raises(kind) as raised:
        call(nodes)
    assert text in str(raised.value)
    assert "\n" not in raised.value.message
    assert_nothing_ran(nodes)


def test_a_real_server_creates_the_task_and_the_nodes_refuse_it(nodes: Federation) -> None:
    client = nodes.client()
    task = client.task.create(organizations=[2, 3], input={"method": "mean_prt", "kwargs": {"column": "age"}})
    nodes.wait(task["id"])
    failures = [nodes.failure(run) for run in nodes.task(task["id"]).runs]
    assert [failure.exit_code for failure in failures if failure] == [13, 13]


def test_a_call_runs_if_one_node_can_run_it(contract: str) -> None:
    other = pd.DataFrame({"years": [1.0, 2.0, 3.0]})
    with Federation([other, AGES], algorithm=FUNCTIONS, contract=contract) as nodes:
        with pytest.raises(RunsFailed, match="no column 'age'") as raised:
            nodes.run(mean_part, column="age")
        assert list(raised.value.failures) == [2]
        assert nodes.run(mean_part, at=3, column="age") == [60.0]
        with pytest.raises(UnknownColumn):
            nodes.run(mean_part, at=2, column="age")


def test_the_labels_of_the_nodes_are_suggested_for_two_tables() -> None:
    with Federation([{"before": AGES, "after": AGES}], algorithm=FUNCTIONS) as nodes:
        with pytest.raises(UnknownLabel) as raised:
            nodes.run(compare, databases="before")
        assert 'databases=["before", "after"] (--database before --database after)' in str(raised.value)
        assert nodes.run(compare, databases=["before", "after"]) == [[3, 3]]


@rpc
def first_and_rest(first: pd.DataFrame, rest: dict[str, pd.DataFrame]) -> int:
    return len(rest)


@pytest.mark.parametrize("contract", ["v4", "v5"])
def test_a_database_for_each_table_is_suggested(contract: str) -> None:
    with Federation([AGES], algorithm=[compare, first_and_rest], contract=contract) as nodes:
        with pytest.raises(
            UnknownLabel, match=r'databases=\["FIRST", "SECOND"\] \(--database FIRST --database SECOND\)'
        ):
            nodes.run(compare)
        with pytest.raises(UnknownLabel, match="first_and_rest takes at least 2 databases"):
            nodes.run(first_and_rest)


def test_on_v3_a_second_table_needs_a_label_because_a_task_has_one_database() -> None:
    @rpc
    def labelled(first: pd.DataFrame, second: Annotated[pd.DataFrame, Database("SECOND")]) -> list[int]:
        return [len(first), len(second)]

    node = {"default": AGES, "SECOND": AGES[:2]}
    with Federation([node], algorithm=[compare, first_and_rest, labelled], contract="v3") as nodes:
        with pytest.raises(UnknownLabel) as raised:
            nodes.run(compare)
        assert "a task of v3 requests only one database" in raised.value.message
        assert 'second: Annotated[…, Database("SECOND")]' in raised.value.message
        assert "--database" not in raised.value.message
        assert nodes.run(labelled) == [[3, 2]]  # the advice works
        with pytest.raises(UnknownLabel, match=r'first: Annotated\[…, Database\("FIRST"\)\]$'):
            nodes.run(first_and_rest)


def test_a_column_of_the_annotation_is_checked_too() -> None:
    with Federation([AGES[["age"]]], algorithm=FUNCTIONS) as nodes, pytest.raises(UnknownColumn, match="'sex'"):
        nodes.run(with_sex, column="age")


def test_unknown_columns_are_left_to_the_runs(tmp_path: Path) -> None:
    """A path has no columns, a database is not asked, and a name can be written in several ways."""
    frame = pd.DataFrame({"café": [1.0, 2.0, 3.0], "b": 1})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "one.csv").write_text("age;sex\n1;f\n2;m\n3;f\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with Federation([tmp_path / "a.csv", tmp_path / "a.parquet"], algorithm=FUNCTIONS) as nodes:
        assert nodes.run(mean_part, column="cafe\u0301 ") == [2.0, 2.0]
        assert nodes.run(opens, column="nowhere") == [1, 1]
        with pytest.raises(UnknownColumn, match="'cafe'"):
            nodes.run(mean_part, column="cafe")
    for name in ("one.csv", "broken.parquet"):
        with Federation([tmp_path / name], algorithm=FUNCTIONS) as nodes, pytest.raises(RunsFailed):
            nodes.run(mean_part, column="age")


def test_a_master_may_name_a_column_of_any_database() -> None:
    with Federation([{"default": AGES, "events": pd.DataFrame({"day": [1.0]})}] * 2, algorithm=FUNCTIONS) as nodes:
        with pytest.raises(RunsFailed):
            nodes.ask(average_of_parts, column="day")  # its rpc reads another database
        with pytest.raises(UnknownColumn):
            nodes.ask(average_of_parts, column="dya")


@rpc
def count_derived(data: pd.DataFrame, outcome: str) -> int:
    return int(data.assign(is_old=data["age"] > 60)[outcome].sum())


@master
def total_of_derived(client: AlgorithmClient, outcome: Column) -> int:
    return sum(client.run(count_derived, outcome=outcome))


def test_a_message_lists_at_most_ten_labels_and_columns() -> None:
    tables = {f"table{i:02}": pd.DataFrame({f"x{i}": [1.0]}) for i in range(40)}
    with Federation([tables], algorithm=FUNCTIONS) as nodes:
        with pytest.raises(UnknownColumn) as raised:
            nodes.ask(average_of_parts, column="age")
        assert "'table09', 30 more" in raised.value.message
        assert raised.value.message.endswith("x8, x9, 30 more)")
        with pytest.raises(UnknownLabel, match="table09, 30 more"):
            nodes.ask(average_of_parts, column="x1", databases="nothing")


def test_a_column_that_an_rpc_derives_is_not_refused_in_its_master(contract: str) -> None:
    functions = [*FUNCTIONS, count_derived, total_of_derived]
    with Federation([AGES, AGES], algorithm=functions, contract=contract) as nodes:
        assert nodes.ask(total_of_derived, outcome="is_old") == 2 * int((AGES["age"] > 60).sum())


def test_a_master_may_name_a_column_that_only_a_table_of_the_session_has(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    pd.DataFrame({"age": [20, 30, 40], "born": [2000, 1990, 1980]}).to_csv(file, index=False)
    functions = [read_decades, mean_part, average_of_parts]
    with Federation([file], algorithm=functions, contract="v5") as nodes:
        client = nodes.client()
        session = client.session.create(name="s")
        table = client.dataframe.create(label="default", method="read_decades", session=session["id"], name="people")
        nodes.wait(table["last_session_task"]["id"])
        for databases in (["people"], [table["id"]]):
            assert nodes.ask(average_of_parts, databases=databases, column="decade") == 3.0
            with pytest.raises(UnknownColumn, match="'born'"):
                nodes.ask(average_of_parts, databases=databases, column="born")


def test_the_columns_of_a_finished_table_of_a_session_are_known() -> None:
    frame = pd.DataFrame({"age": [20, 30, 40], "born": [2000, 1990, 1980]})
    with Federation([frame], algorithm=ALGORITHMS / "prepares", contract="v5") as nodes:
        client = nodes.client()
        arguments = {"year": 2020}
        session = client.session.create("s")["id"]
        table = client.dataframe.create(label="default", method="born", arguments=arguments, session=session)
        for task in nodes.tasks():
            nodes.wait(task.id)
        number = len(nodes.tasks())
        with pytest.raises(UnknownColumn, match="did you mean 'age'"):
            nodes.run("total", column="agee", databases=[{"dataframe_id": table["id"]}])
        assert len(nodes.tasks()) == number


# The author's code


@pytest.mark.parametrize("runner", ["inline", "process"])
@pytest.mark.parametrize(
    ("name", "kind"), [("raises_at_import", AlgorithmImportError), ("registers_nothing", AlgorithmNotFound)]
)
def test_a_mistake_of_the_author_is_one_error(name: str, kind: type[AlgotoolsError], runner: Any) -> None:
    with Federation([AGES, AGES], algorithm=ALGORITHMS / name, runner=runner) as nodes:
        with pytest.raises(kind):
            nodes.run("anything")
        assert_nothing_ran(nodes)


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
def test_the_check_runs_confined_in_another_process(tmp_path: Path) -> None:
    """The module tries to read a private file and to leave a trace; neither happens, and nothing is imported here."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "curious.py").write_text(
        "import pathlib\nfrom algotools import rpc\n\n"
        f"pathlib.Path({str(tmp_path / 'secret.txt')!r}).read_text()\n\n@rpc\ndef one() -> int:\n    return 1\n"
    )
    AGES.to_csv(tmp_path / "a.csv", index=False)
    options: dict[str, Any] = {"algorithm": folder / "curious.py", "runner": "process"}
    with Federation([tmp_path / "a.csv"], confined=True, **options) as nodes:
        with pytest.raises(AlgorithmImportError, match="the sandbox allows only the files of the algorithm"):
            nodes.run("one")
        assert nodes.find_role("one") is None
    with Federation([tmp_path / "a.csv"], **options) as nodes:
        assert nodes.run("one") == [1]
        assert nodes.find_role("one") == "rpc"
    assert "curious" not in sys.modules


# A single file


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_single_file_is_an_algorithm(tmp_path: Path, runner: Any) -> None:
    """Files beside it may have the names of other modules."""
    source = "import random\nfrom algotools import rpc\n@rpc\ndef draws() -> float:\n    return random.random()\n"
    (tmp_path / "alone.py").write_text(source)
    (tmp_path / "random.py").write_text("raise RuntimeError\n")
    (tmp_path / "json.py").write_text(source)
    with Federation([AGES], algorithm=tmp_path / "alone.py", runner=runner) as nodes:
        assert 0 < nodes.run("draws")[0] < 1
    with pytest.raises(AlgorithmNotFound, match="rename the file"):
        Federation([AGES], algorithm=tmp_path / "json.py")
    with pytest.raises(AlgorithmNotFound, match="does not exist"):
        Federation([AGES], algorithm=tmp_path / "absent.py")
    with pytest.raises(FederationError, match="not in an image"):
        Federation([AGES], algorithm=tmp_path / "alone.py", runner="container")


# An image, whose label has the description


CALLS: list[tuple[str, dict[str, Any], bool]] = [
    ("mean_part", {"column": "age"}, True),
    ("mean_part", {"column": "age", "weights": [1, 2.5]}, True),
    ("mean_part", {"column": "age", "weights": None}, True),
    ("mean_part", {"column": "age", "weights": ["x"]}, False),
    ("mean_part", {"column": 3}, False),
    ("mean_part", {}, False),
    ("mean_part", {"column": "age", "more": 1}, False),
    ("opens", {"column": "x", "kind": "b"}, True),
    ("opens", {"column": "x", "kind": "c"}, False),
    ("compare", {}, False),
    ("average_of_parts", {"column": "age"}, False),
    ("mean_of_parts", {"column": "age", "organizations": [2]}, True),
    ("mean_of_parts", {"column": "age", "organizations": "2"}, False),
    ("total_of_derived", {"outcome": "is_old"}, True),
]


@pytest.mark.parametrize(("method", "arguments", "is_valid"), CALLS)
def test_a_description_refuses_the_same_calls_as_the_code(
    method: str, arguments: dict[str, Any], is_valid: bool
) -> None:
    algorithm = Algorithm.from_functions([*FUNCTIONS, count_derived, total_of_derived])
    request = get_contract("v4").make_request({"method": method, "kwargs": arguments})
    nodes = (NodeDatabases((TaskDatabase("default", "hidden"),)),)
    call = CheckedCall(generation="v4", input=request.data, nodes=nodes)

    def find_code(function: Callable[[], Any]) -> tuple[int, tuple[str, ...]]:
        try:
            reply = function()
            facts = reply.get_facts()
        except AlgotoolsError as error:
            return error.exit_code, ()
        return 0, facts.columns

    by_label = find_code(lambda: check_described(describe(algorithm)["functions"], call))
    assert by_label == find_code(lambda: check(lambda: algorithm, call))
    assert (by_label[0] == 0) == is_valid


def test_a_label_of_another_tool_checks_nothing() -> None:
    call = CheckedCall(generation="v4", input=b'{"method": "x"}')
    assert check_described([{"method": 3}], call) is None
    assert check_described([], call) is None


# Another interpreter


def test_a_method_that_the_source_does_not_contain_is_refused(tmp_path: Path) -> None:
    """The package is not imported here. So a word of its source may be a method, and the runs decide."""
    AGES.to_csv(tmp_path / "a.csv", index=False)
    package = tmp_path / "survey_of_ages"
    package.mkdir()
    source = "from algotools import rpc\n\n\n@rpc(name='counted')\ndef count() -> int:\n    return 1\n"
    (package / "__init__.py").write_text(source)
    options: dict[str, Any] = {"algorithm": package, "python": sys.executable, "runner": "process"}
    with Federation([tmp_path / "a.csv"], **options) as nodes:
        with pytest.raises(UnknownMethod, match="did you mean 'counted'"):
            nodes.run("conted")
        assert_nothing_ran(nodes)
        with pytest.raises(RunsFailed, match="no method 'count'"):
            nodes.run("count")
    (package / "__init__.py").write_text(source + "\nglobals()['other'] = 1\n")
    with Federation([tmp_path / "a.csv"], **options) as nodes, pytest.raises(RunsFailed, match="no method 'conted'"):
        nodes.run("conted")
