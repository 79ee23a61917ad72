"""``algotools run``, as a person or a script calls it."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path

import pytest

from ..conftest import ALGORITHMS, AVERAGE, SECRET, algotools


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
@pytest.mark.parametrize("runner", ["inline", "process"])
def test_the_master_as_json(runner: str, contract: str) -> None:
    ended = algotools(
        "run", "master", "column_name=age", "--algorithm", str(AVERAGE), "--organizations", "2,3", "--json",
        "--runner", runner, "--contract", contract,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [
        {"organization": {"id": 2, "name": "example_org1"}, "status": "completed", "result": {"average": 53.25}},
        {"organization": {"id": 3, "name": "example_org2"}, "status": "completed", "result": {"average": 53.25}},
    ]
    assert "asked 2 of 3 organizations" in ended.stderr


def test_the_folder_one_stands_in_and_all_organizations_are_the_default() -> None:
    ended = algotools("run", "average_partial", "column_name=age", "--json", cwd=AVERAGE)
    assert [item["result"] for item in json.loads(ended.stdout)] == [
        {"sum": 253, "count": 4},
        {"sum": 173, "count": 4},
        {"sum": 190.0, "count": 4},
    ]


def test_a_table_for_people() -> None:
    ended = algotools("run", "average_partial", "column_name=age", "--organizations", "2", cwd=AVERAGE)
    assert "example_org1 (2)" in ended.stdout
    assert '{"sum": 253, "count": 4}' in ended.stdout


def test_another_database() -> None:
    ended = algotools(
        "run", "average_partial", "column_name=age", "--database", "my_other_database", "--json", cwd=AVERAGE
    )
    assert [item["result"]["sum"] for item in json.loads(ended.stdout)] == [126, 95, 148]


def test_a_query(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection, connection:
        connection.executescript("CREATE TABLE people (age INTEGER); INSERT INTO people VALUES (50), (71)")
    asked = ["run", "average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--json"]
    asked += ["--data", str(tmp_path / "x.sqlite"), "--query", "SELECT age FROM people WHERE age > 60"]
    assert [item["result"] for item in json.loads(algotools(*asked).stdout)] == [{"sum": 71, "count": 1}]
    refused = algotools(*asked, "--database", "default", "--database", "other")
    assert "--query is for one database" in refused.stderr


def test_a_file_for_each_node(tmp_path: Path) -> None:
    for name, ages in (("a", "1\n2"), ("b", "30")):
        (tmp_path / f"{name}.csv").write_text(f"age\n{ages}\n")
    data = ["--data", str(tmp_path / "a.csv"), "--data", str(tmp_path / "b.csv")]
    ended = algotools("run", "master", "column_name=age", "--algorithm", str(AVERAGE), "--json", *data)
    assert [item["result"] for item in json.loads(ended.stdout)] == [{"average": 11.0}] * 2


@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_the_raw_input_of_a_task(tmp_path: Path, contract: str) -> None:
    file = tmp_path / "input"
    content = b'{"method": "average_partial", "kwargs": {"column_name": "age"}}'
    file.write_bytes(b"json." + content if contract == "v3" else content)
    ended = algotools("run", "--input", str(file), "--json", "--contract", contract, cwd=AVERAGE)
    assert json.loads(ended.stdout)[0]["result"] == {"sum": 253, "count": 4}


def test_a_raw_input_of_v5_does_not_tell_the_method(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b'{"column_name": "age"}')
    command = ("--input", str(file), "--json", "--contract", "v5")
    ended = algotools("run", *command, cwd=AVERAGE)
    assert ended.returncode == 60
    assert "name the METHOD as well" in ended.stderr
    ended = algotools("run", "average_partial", *command, cwd=AVERAGE)
    assert json.loads(ended.stdout)[0]["result"] == {"sum": 253, "count": 4}


def test_values_of_other_types_are_json() -> None:
    ended = algotools(
        "run", "master", "column_name=age", "organizations:=[2, 3]", "--organizations", "4", "--json", cwd=AVERAGE
    )
    assert json.loads(ended.stdout)[0]["result"] == {"average": 53.25}


def test_organizations_may_be_named_one_by_one() -> None:
    ended = algotools(
        "run",
        "average_partial",
        "column_name=age",
        "--organizations",
        "4",
        "--organizations",
        "2",
        "--json",
        cwd=AVERAGE,
    )
    assert [item["organization"]["id"] for item in json.loads(ended.stdout)] == [4, 2]


def test_a_text_where_a_number_is_taken_gets_a_hint() -> None:
    ended = algotools("run", "average_partial", "column_name:=3", "--organizations", "2", cwd=AVERAGE)
    assert ended.returncode == 61
    assert "column_name: expected str, got int" in ended.stderr
    assert "name:=json gives numbers" in ended.stderr


def test_a_run_that_fails_is_an_item_and_an_exit_code() -> None:
    ended = algotools("run", "average_partial", "column_name=agee", "--json", "--organizations", "2", cwd=AVERAGE)
    assert ended.returncode == 61
    (item,) = json.loads(ended.stdout)
    assert item == {
        "organization": {"id": 2, "name": "example_org1"},
        "status": "crashed",
        "error": {"code": 16, "message": "no column 'agee' in database 'default'"},
    }
    assert "columns of default: patient, age, sex" in ended.stderr


def test_the_author_sees_everything_at_home(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"name\n{SECRET}\n")
    ended = algotools(
        "run", "raises", "--algorithm", str(ALGORITHMS / "misbehaving"), "--data", str(tmp_path / "a.csv")
    )
    assert ended.returncode == 61
    assert "Traceback" in ended.stderr
    assert SECRET in ended.stderr
    assert SECRET not in ended.stdout


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_what_an_author_prints_does_not_spoil_the_results(tmp_path: Path, runner: str) -> None:
    (tmp_path / "a.csv").write_text(f"name\n{SECRET}\n")
    algorithm = ["--algorithm", str(ALGORITHMS / "misbehaving"), "--runner", runner]
    ended = algotools("run", "prints", *algorithm, "--data", str(tmp_path / "a.csv"), "--json")
    assert json.loads(ended.stdout)[0]["result"] == "done"
    assert ended.stderr.count(SECRET) >= 5


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run"], 60, "name either a METHOD"),
        (["run", "m", "age"], 60, "write name=text or name:=json"),
        (["run", "m", "n:=three"], 60, "is not JSON"),
        (["run", "m", "n:=3", "n:=1"], 60, "argument n is given twice"),
        (["run", "m", "--organizations", "2", "3"], 60, "ids are written with commas"),
        (["run", "m", "--data", "data/org1.csv", "data/org2.csv"], 60, "each file after a --data of its own"),
        (["run", "m", "--organizations", "two"], 60, "takes ids like 2,3"),
        (["run", "m", "--organizations", "7"], 60, "not in the collaboration: 7"),
        (["run", "m", "--runner", "rocket"], 60, "there is no runner 'rocket'; there are inline, process"),
        (["run", "m", "--contract", "v9"], 10, "there is no contract 'v9'"),
        (["run", "m", "--algorithm", "nowhere-at-all"], 20, "no algorithm 'nowhere-at-all'"),
        (["run", "m", "--federation", "nowhere.yaml"], 60, "nowhere.yaml does not exist"),
        (["run", "m", "--input", "nowhere"], 60, "give either METHOD or --input"),
        (["run", "m", "n:=3", "--input", "nowhere"], 60, "the arguments are in the raw input already"),
        (["run", "--input", "nowhere"], 60, "cannot be read"),
        (["run", "m", "--no-such-option"], 2, "no-such-option"),
        (["describe", "nowhere-at-all"], 20, "no algorithm 'nowhere-at-all'"),
    ],
)
def test_a_users_mistake_ends_with_a_message_and_its_code(arguments: list[str], code: int, says: str) -> None:
    ended = algotools(*arguments, cwd=AVERAGE)
    assert ended.returncode == code, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_limit_ends_a_run(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    algorithm = ["--algorithm", str(ALGORITHMS / "misbehaving"), "--data", str(tmp_path / "a.csv")]
    ended = algotools("run", "never_returns", *algorithm, "--timeout", "1", "--json")
    assert ended.returncode == 61
    assert json.loads(ended.stdout)[0]["error"]["code"] == 45


def test_a_long_result_is_cut_in_the_table_and_whole_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    asked = ("run", "talks_at_length", "length:=1000", "--algorithm", str(ALGORITHMS / "slowly"))
    data = ("--data", str(tmp_path / "a.csv"))
    ended = algotools(*asked, *data, variables={"COLUMNS": "60"})
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert {len(line) for line in lines} == {60}
    assert re.fullmatch(r'│ organization_2 \(2\) │ completed │ "x+… │', lines[3])
    assert "--json gives every result whole" in ended.stderr
    assert json.loads(algotools(*asked, *data, "--json").stdout)[0]["result"] == "x" * 1000


def test_a_failed_master_is_shown_with_the_runs_that_failed_under_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    asked = ("run", "rounds", "fails_at:=3", "--algorithm", str(ALGORITHMS / "slowly"), "--runner", "inline")
    ended = algotools(*asked, *["--data", str(tmp_path / "a.csv")] * 3)
    assert ended.returncode == 61
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ended.stdout.splitlines() if "│" in line]
    assert [row[:2] for row in rows] == [
        ["organization_2 (2)", "crashed"],
        ["organization_3 (3)", "crashed"],
        ["organization_4 (4)", "crashed"],
        ["step: organization_3 (3)", "crashed"],
    ]
    assert rows[0][2].startswith("[52] 1 of 3 organizations failed: organization_3 (id 3): crashed: organization 3")
    assert rows[3][2] == "[41] organization 3 does not take part today"
    assert "organization_3 (3): [41] organization 3 does not take part today\n" in ended.stderr
    assert ended.stderr.endswith("error (61): 3 of 3 runs failed\n")


def test_many_answers_that_are_equal_share_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    asked = ("run", "step", "number:=7", "fails_at:=9", "--algorithm", str(ALGORITHMS / "slowly"))
    ended = algotools(*asked, "--runner", "inline", *["--data", str(tmp_path / "a.csv")] * 30)
    assert ended.returncode == 61
    rows = [line for line in ended.stdout.splitlines() if "│" in line]
    assert len(rows) == 2
    assert "│ organization_2 (2), organization_3 (3), organization_4 (4) and 26 more │ completed │ 7 " in rows[0]
    assert re.search(r"│ organization_9 \(9\) +│ crashed +│ \[41\] organization 9 does not take part", rows[1])


def test_describe_shows_what_a_task_can_call() -> None:
    ended = algotools("describe", cwd=AVERAGE)
    assert ended.returncode == 0
    for words in ("average_partial", "(rpc)", "master", "Column", "the column to add up"):
        assert words in ended.stdout


def test_describe_as_json_has_the_schema() -> None:
    described = json.loads(algotools("describe", "--json", cwd=AVERAGE).stdout)
    partial, master = described["functions"]
    assert (partial["method"], partial["role"], master["method"]) == ("average_partial", "rpc", "master")
    assert partial["arguments"]["properties"]["column_name"]["type"] == "string"
    assert partial["arguments"]["required"] == ["column_name"]
    assert partial["databases"] == [{"parameter": "data", "form": "pandas", "label": None}]


def test_help_teaches() -> None:
    ended = algotools("run", "--help")
    assert "algotools run master column_name=age" in ended.stdout
    assert "name:=json" in ended.stdout


def test_the_version() -> None:
    import algotools as package

    assert algotools("--version").stdout.strip() == f"algotools {package.__version__}"
