"""``algotools run`` and ``describe`` on the command line."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ..conftest import ALGORITHMS, AVERAGE, SECRET, algotools


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Call ``algotools run`` with the fastest runner, unless the arguments name another one."""
    return algotools("run", "--runner", "inline", *arguments, **options)


@pytest.mark.parametrize(("runner", "contract"), [("inline", "v3"), ("process", "v5")])
def test_the_results_of_a_master_as_json(runner: str, contract: str) -> None:
    completed = run(
        "master", "column_name=age", "--algorithm", str(AVERAGE), "--organizations", "2,3", "--json",
        "--runner", runner, "--contract", contract,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout) == [
        {"organization": {"id": 2, "name": "example_org1"}, "status": "completed", "result": {"average": 53.25}},
        {"organization": {"id": 3, "name": "example_org2"}, "status": "completed", "result": {"average": 53.25}},
    ]
    assert " to 2 of 3 organizations" in completed.stderr


def test_the_defaults_are_the_current_folder_and_all_organizations() -> None:
    completed = algotools("run", "average_partial", "column_name=age", "--json", cwd=AVERAGE)
    assert [item["result"] for item in json.loads(completed.stdout)] == [
        {"sum": 253, "count": 4},
        {"sum": 173, "count": 4},
        {"sum": 190.0, "count": 4},
    ]


def test_results_are_shown_as_a_table() -> None:
    completed = run("average_partial", "column_name=age", "--organizations", "2", cwd=AVERAGE)
    assert "example_org1 (2)" in completed.stdout
    assert '{"sum": 253, "count": 4}' in completed.stdout


def test_the_option_database() -> None:
    completed = run("average_partial", "column_name=age", "--database", "my_other_database", "--json", cwd=AVERAGE)
    assert [item["result"]["sum"] for item in json.loads(completed.stdout)] == [172, 197, 205]


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_the_option_query(tmp_path: Path, contract: str) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "x.sqlite")) as connection, connection:
        connection.executescript("CREATE TABLE people (age INTEGER); INSERT INTO people VALUES (50), (71)")
    command = ["average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--json"]
    command += [
        "--data",
        str(tmp_path / "x.sqlite"),
        "--contract",
        contract,
        "--query",
        "SELECT age FROM people WHERE age > 60",
    ]
    assert [item["result"] for item in json.loads(run(*command).stdout)] == [{"sum": 71, "count": 1}]
    refused = run(*command, "--database", "default", "--database", "other")
    assert refused.returncode == 2
    assert "Invalid value for '--query': allowed with only one --database" in refused.stderr


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_query_for_a_database_without_queries_is_refused(contract: str) -> None:
    command = ("average_partial", "column_name=age", "--organizations", "2", "--json", "--contract", contract)
    completed = run(*command, "--query", "select 1", cwd=AVERAGE)
    assert completed.returncode == 61
    (item,) = json.loads(completed.stdout)
    assert item["error"]["code"] == 11
    assert "has a query for database 'default' of type 'csv'" in item["error"]["message"]
    assert "remove the query" in item["error"]["message"]


def test_each_option_data_is_a_node(tmp_path: Path) -> None:
    for name, ages in (("a", "1\n2"), ("b", "30")):
        (tmp_path / f"{name}.csv").write_text(f"age\n{ages}\n")
    data = ["--data", str(tmp_path / "a.csv"), "--data", str(tmp_path / "b.csv")]
    completed = run("master", "column_name=age", "--algorithm", str(AVERAGE), "--json", *data)
    assert [item["result"] for item in json.loads(completed.stdout)] == [{"average": 11.0}] * 2


def write_sites(folder: Path, *names: str) -> None:
    """Write a file for each name. The sum of its column ``age`` is the position of the name."""
    for position, name in enumerate(names, start=1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"age\n{position - 4}\n1\n1\n2\n")


def test_each_file_of_a_pattern_is_a_node_in_sorted_order(tmp_path: Path) -> None:
    write_sites(tmp_path, "sites/west.csv", "sites/north.csv", "sites/10.csv", "one.csv", "a[1].csv", "sites/notes.txt")
    data = ("--data", "one.csv", "--data", "sites/*.csv", "--data", "a[1].csv", "--algorithm", str(AVERAGE), "--json")
    completed = run("average_partial", "column_name=age", *data, cwd=tmp_path)
    results = [(*item["organization"].values(), item["result"]["sum"]) for item in json.loads(completed.stdout)]
    names = ["organization_2", "10.csv", "north", "west", "organization_6"]
    assert results == list(zip(range(2, 7), names, [4, 3, 2, 1, 5], strict=True))
    chosen = run("average_partial", "column_name=age", *data, "--organizations", "west,10.csv", cwd=tmp_path)
    assert [item["result"]["sum"] for item in json.loads(chosen.stdout)] == [1, 3]


def test_a_variable_names_the_file_of_a_pattern(tmp_path: Path) -> None:
    write_sites(tmp_path, "north.csv", "west.csv")
    call = ("average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--data", f"{tmp_path}/*.csv")
    assert run(*call, "--variable", "SITE@west=1").returncode == 0
    refused = run(*call, "--variable", "SITE@organization_2=1")
    assert refused.returncode == 60
    assert "organization_2" in refused.stderr


def test_a_folder_of_parquet_files_that_matches_a_pattern_is_one_node(tmp_path: Path) -> None:
    for name, ages in (("a", [1, 2, 3]), ("b", [4, 5, 6])):
        (tmp_path / "sites" / "north.parquet").mkdir(parents=True, exist_ok=True)
        pd.DataFrame({"age": ages}).to_parquet(tmp_path / "sites" / "north.parquet" / f"{name}.parquet")
    call = ("average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--json", "--data", "sites/*")
    (item,) = json.loads(run(*call, cwd=tmp_path).stdout)
    assert (item["organization"]["name"], item["result"]) == ("north", {"sum": 21, "count": 6})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none/*.csv", "Invalid value for '--data': no file matches the pattern 'none/*.csv' (in "),
        ("*/data.csv", "two nodes would have the name 'data': north/data.csv and west/data.csv; rename a file"),
    ],
)
def test_a_pattern_without_a_node_or_with_one_name_for_two_nodes_is_refused(
    tmp_path: Path, pattern: str, message: str
) -> None:
    write_sites(tmp_path, "north/data.csv", "west/data.csv")
    refused = run("average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--data", pattern, cwd=tmp_path)
    assert refused.returncode == 2
    assert message in " ".join(refused.stderr.split())
    assert refused.stdout == ""


@pytest.mark.parametrize("contract", ["v3", "v4"])
def test_the_raw_input_of_a_task(tmp_path: Path, contract: str) -> None:
    file = tmp_path / "input"
    content = b'{"method": "average_partial", "kwargs": {"column_name": "age"}}'
    file.write_bytes(b"json." + content if contract == "v3" else content)
    completed = run("--input", str(file), "--json", "--contract", contract, cwd=AVERAGE)
    assert json.loads(completed.stdout)[0]["result"] == {"sum": 253, "count": 4}


def test_a_raw_input_of_v5_requires_the_method(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(b'{"column_name": "age"}')
    command = ("--input", str(file), "--json", "--contract", "v5")
    completed = run(*command, cwd=AVERAGE)
    assert completed.returncode == 2
    assert "Invalid value for 'METHOD': required on v5" in completed.stderr
    completed = run("average_partial", *command, cwd=AVERAGE)
    assert json.loads(completed.stdout)[0]["result"] == {"sum": 253, "count": 4}


def test_json_values_of_arguments() -> None:
    completed = run("master", "column_name=age", "organizations:=[2, 3]", "--organizations", "4", "--json", cwd=AVERAGE)
    assert json.loads(completed.stdout)[0]["result"] == {"average": 53.25}


def test_arguments_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age\n1\n")
    (tmp_path / "weights.json").write_text("[1, 2.5]")
    np.save(tmp_path / "weights.npy", np.arange(4.0))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "empty.npy").touch()
    command = ("sum_weights", "--algorithm", str(ALGORITHMS / "at_size"), "--data", "a.csv", "--json")
    for name, expected in (("weights.json", 3.5), ("weights.npy", 6.0)):
        completed = run(*command, f"weights:=@{name}", cwd=tmp_path)
        assert json.loads(completed.stdout)[0]["result"] == expected
    for name in ("objects.npy", "empty.npy"):
        completed = run(*command, f"weights:=@{name}", cwd=tmp_path)
        assert completed.returncode == 2
        assert f"the file '{name}' is not an array of numpy without Python objects" in completed.stderr


def test_the_option_organizations_can_be_repeated() -> None:
    completed = run(
        "average_partial",
        "column_name=age",
        "--organizations",
        "4",
        "--organizations",
        "2",
        "--json",
        cwd=AVERAGE,
    )
    assert [item["organization"]["id"] for item in json.loads(completed.stdout)] == [4, 2]


def test_an_organization_has_an_id_or_a_name(tmp_path: Path) -> None:
    """A name may contain blanks and commas, and may look like another organization's id."""
    (tmp_path / "a.csv").write_text("age\n1\n2\n3\n")
    names = ["St. Mary, Leiden", "4", "North, 2", "north"]
    members = "".join(f"  - {{name: {json.dumps(name)}, databases: {{default: a.csv}}}}\n" for name in names)
    (tmp_path / "federation.yaml").write_text(f"organizations:\n{members}")
    command = ("average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--federation", "federation.yaml")
    for text, expected in {
        "St. Mary, Leiden": [2],
        "north, St. Mary, Leiden,4": [5, 2, 4],  # 4 is an id before it is the name of organization 3
        "North, 2, 2": [4, 2],
        "3,north": [3, 5],
    }.items():
        completed = run(*command, "--organizations", text, "--json", cwd=tmp_path)
        assert [item["organization"]["id"] for item in json.loads(completed.stdout)] == expected, completed.stderr


def test_a_value_of_the_wrong_type_gets_a_hint() -> None:
    completed = run("average_partial", "column_name:=3", "--organizations", "2", cwd=AVERAGE)
    assert completed.returncode == 15
    assert "column_name: expected str, got int" in completed.stderr
    assert "column_name:=… passes JSON; to pass a string, write column_name=…" in completed.stderr


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("organizations=2,3", "organizations=… passes a string; write organizations:='[2,3]'\n"),
        ("organizations=[2, 3]", "organizations=… passes a string; write organizations:='[2, 3]'\n"),
        ("organizations=first,second", 'write organizations:=\'["first", "second"]\'\n'),
        ("organisations:=3", ""),
    ],
)
def test_only_an_argument_that_looks_like_json_gets_a_hint_about_json(argument: str, hint: str) -> None:
    completed = run("master", "column_name=age", argument, "--organizations", "2", cwd=AVERAGE)
    assert completed.returncode == 15
    assert hint in completed.stderr
    assert ("passes" in completed.stderr) == bool(hint)


def test_a_failed_run_is_an_item_and_an_exit_code(tmp_path: Path) -> None:
    """Only one of two nodes has the column, so the run at the other node fails."""
    (tmp_path / "a.csv").write_text("age,sex\n1,f\n2,m\n3,f\n")
    (tmp_path / "b.csv").write_text("years,sex\n1,f\n2,m\n3,f\n")
    command = ("average_partial", "column_name=age", "--json", "--data", "a.csv", "--data", "b.csv")
    completed = run(*command, "--algorithm", str(AVERAGE), cwd=tmp_path)
    assert completed.returncode == 61
    item = json.loads(completed.stdout)[1]
    assert item == {
        "organization": {"id": 3, "name": "organization_3"},
        "status": "crashed",
        "error": {"code": 16, "message": "no column 'age' in database 'default'"},
    }
    assert "columns of default: years, sex" in completed.stderr


def test_the_author_sees_all_details_locally(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"name\n{SECRET}\n")
    completed = run("raises", "--algorithm", str(ALGORITHMS / "misbehaving"), "--data", str(tmp_path / "a.csv"))
    assert completed.returncode == 61
    assert "Traceback" in completed.stderr
    assert SECRET in completed.stderr
    assert SECRET not in completed.stdout


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_printed_output_is_separate_from_the_results(tmp_path: Path, runner: str) -> None:
    (tmp_path / "a.csv").write_text(f"name\n{SECRET}\n")
    algorithm = ["--algorithm", str(ALGORITHMS / "misbehaving"), "--runner", runner]
    completed = run("prints", *algorithm, "--data", str(tmp_path / "a.csv"), "--json")
    assert json.loads(completed.stdout)[0]["result"] == "done"
    assert completed.stderr.count(SECRET) >= 5


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run"], 2, "Invalid value for 'METHOD': required without --input"),
        (["run", "m", "age"], 2, "Invalid value for 'age': write name=text or name:=json"),
        (["run", "m", "n:=three"], 2, "Invalid value for 'n': 'three' is not valid JSON"),
        (["run", "m", "n:=@none.json"], 2, "Invalid value for 'n': the file 'none.json' cannot be read (No such file"),
        (["run", "m", "n:=@none.npy"], 2, "Invalid value for 'n': the file 'none.npy' cannot be read (No such file"),
        (["run", "m", "n:=@pyproject.toml"], 2, "Invalid value for 'n': the file 'pyproject.toml' is not JSON"),
        (["run", "m", "n:=3", "n:=1"], 2, "Invalid value for 'n': passed twice"),
        (["run", "m", "--organizations", "2", "3"], 2, "separate ids with commas"),
        (["run", "m", "--data", "data/org1.csv", "data/org2.csv"], 2, "repeat the option: --data FILE --data FILE"),
        (["run", "m", "--organizations", "two"], 60, "not in the collaboration: two; it has 2 (example_org1)"),
        (["run", "m", "--organizations", "2,exmple_org1"], 60, "did you mean 'example_org1'?"),
        (["run", "m", "--organizations", "1"], 60, "1 is root, the researcher's organization, which has no node"),
        (["run", "m", "--organizations", "7"], 60, "not in the collaboration: 7"),
        (["run", "m", "--algorithm", "nowhere-at-all"], 20, "no algorithm 'nowhere-at-all'"),
        (["run", "m", "--algorithm", "nowhere:1"], 20, "to run an image, use runner='container'"),
        (["run", "m", "--data", "postgresql://ada@db/x"], 2, "accepts files, not URIs; write the URI into federation"),
        (["run", "m", "--federation", "nowhere.yaml"], 60, "nowhere.yaml does not exist"),
        (["run", "m", "--input", "nowhere"], 2, "not allowed with METHOD on v4"),
        (["run", "m", "n:=3", "--input", "nowhere"], 2, "not allowed with arguments"),
        (["run", "--input", "nowhere"], 2, "'nowhere' cannot be read"),
        (["run", "m", "--data", "data/org1.csv", "--federation", "x"], 2, "not allowed with --federation"),
        (["run", "m", "--no-such-option"], 2, "no-such-option"),
        (["describe", "nowhere-at-all"], 20, "no algorithm 'nowhere-at-all'"),
    ],
)
def test_a_mistake_of_the_user_is_a_message_with_an_exit_code(arguments: list[str], code: int, message: str) -> None:
    completed = algotools(*arguments, cwd=AVERAGE)
    assert completed.returncode == code, completed.stderr
    assert message in completed.stderr
    assert "Traceback" not in completed.stderr
    assert completed.stdout == ""


@pytest.mark.parametrize("name", ["nowhere-at-all", "./nowhere"])
def test_outside_a_project_a_wrong_algorithm_is_reported_first(tmp_path: Path, name: str) -> None:
    completed = run("m", "--algorithm", name, cwd=tmp_path)
    assert completed.returncode == 20
    assert f"no algorithm '{name}'" in completed.stderr


def test_outside_a_project_the_message_names_the_folder(tmp_path: Path) -> None:
    completed = run("m", cwd=tmp_path)
    assert completed.returncode == 60
    assert f"{tmp_path} has no federation.yaml; change to the folder of a project" in completed.stderr


def test_in_a_project_without_data_the_message_names_the_ways_to_data(tmp_path: Path) -> None:
    shutil.copytree(AVERAGE, project := tmp_path / "average")
    (project / "federation.yaml").unlink()
    completed = run("master", "column_name=age", cwd=project)
    assert completed.returncode == 60
    assert "has no federation.yaml; name data with --data FILE" in completed.stderr
    assert "change to the folder" not in completed.stderr


def test_the_only_column_of_a_file_with_another_separator_gets_advice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age;sex\n1;f\n")
    command = ("average_partial", "column_name=age", "--algorithm", str(AVERAGE), "--data")
    completed = run(*command, str(tmp_path / "a.csv"))
    assert "each line has semicolons; set its option sep" in completed.stderr
    assert completed.stderr.endswith("error (61): 1 of 1 run failed\n")


def test_the_time_limit_stops_a_run(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    algorithm = ["--algorithm", str(ALGORITHMS / "misbehaving"), "--data", str(tmp_path / "a.csv")]
    completed = run("never_returns", *algorithm, "--runner", "process", "--timeout", "1", "--json")
    assert completed.returncode == 61
    assert json.loads(completed.stdout)[0]["error"]["code"] == 45


def test_a_long_result_is_truncated_in_the_table_and_complete_below_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    command = ("return_long_text", "length:=1000", "--algorithm", str(ALGORITHMS / "slowly"))
    data = ("--data", str(tmp_path / "a.csv"))
    completed = run(*command, *data, variables={"COLUMNS": "60"})
    assert completed.returncode == 0
    table, _, full = completed.stdout.partition("\n\n")
    assert {len(line) for line in table.splitlines()} == {60}
    assert re.fullmatch(r'│ organization_2 \(2\) │ completed │ "x+… │', table.splitlines()[3])
    assert full.splitlines()[0] == "organization_2 (2)"
    assert "".join(full.splitlines()[1:]) == "x" * 1000
    assert json.loads(run(*command, *data, "--json").stdout)[0]["result"] == "x" * 1000


def test_a_failed_master_is_shown_with_its_failed_subtask_runs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    command = ("rounds", "fails_at:=3", "--algorithm", str(ALGORITHMS / "slowly"), "--runner", "inline")
    completed = run(*command, *["--data", str(tmp_path / "a.csv")] * 3)
    assert completed.returncode == 61
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in completed.stdout.splitlines() if "│" in line]
    assert [row[:2] for row in rows] == [
        ["organization_2 (2)", "crashed"],
        ["organization_3 (3)", "crashed"],
        ["organization_4 (4)", "crashed"],
        ["step: organization_3 (3)", "crashed"],
    ]
    assert rows[0][2].startswith("[52] 1 of 3 organizations failed: organization_3 (id 3): crashed: organization 3")
    assert rows[3][2] == "[41] organization 3 does not take part today"
    assert "organization_3 (3): [41] organization 3 does not take part today\n" in completed.stderr
    assert completed.stderr.endswith("error (61): 3 of 3 runs failed\n")


def test_many_equal_results_share_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name\nx\n")
    command = ("step", "number:=7", "fails_at:=9", "--algorithm", str(ALGORITHMS / "slowly"))
    completed = run(*command, "--runner", "inline", *["--data", str(tmp_path / "a.csv")] * 30)
    assert completed.returncode == 61
    rows = [line for line in completed.stdout.splitlines() if "│" in line]
    assert len(rows) == 2
    assert "│ organization_2 (2), organization_3 (3), organization_4 (4) and 26 more │ completed │ 7 " in rows[0]
    assert re.search(r"│ organization_9 \(9\) +│ crashed +│ \[41\] organization 9 does not take part", rows[1])


def test_describe_shows_methods_and_arguments() -> None:
    completed = algotools("describe", cwd=AVERAGE)
    assert completed.returncode == 0
    for text in ("average_partial", "(rpc)", "master", "Column", "the column to add up"):
        assert text in completed.stdout
    assert "  leaves the node: dict[str, float]\n" in completed.stdout
    assert "  returns to the researcher: dict[str, float]\n" in completed.stdout
    note = "results are judged by the policy of the node's owner; by default, no number of fewer than 3 records leaves"
    assert note in " ".join(completed.stdout.split())


def test_describe_shows_what_stays_at_the_node_and_the_fewest_rows(tmp_path: Path) -> None:
    (tmp_path / "tables.py").write_text(TABLES)
    completed = algotools("describe", "tables", cwd=tmp_path, variables={"PYTHONPATH": str(tmp_path)})
    assert completed.returncode == 0, completed.stderr
    extraction, count, values = completed.stdout.split("\n\n")[1:4]
    assert "leaves the node: nothing; the table stays at the node, for other tasks of the session" in extraction
    assert "needs at least 50 rows, or more by a node's policy" in count
    assert "leaves the node: Counts (n: int, missing: int)" in count
    assert "leaves the node: any value, because the result has no annotation" in values


TABLES = """
from typing import TypedDict

import pandas as pd

from algotools import Database, rpc


class Counts(TypedDict):
    n: int
    missing: int


@rpc(step="data_extraction")
def extract(source: Database) -> pd.DataFrame:
    return pd.DataFrame()


@rpc(minimum_rows=50)
def count(data: pd.DataFrame) -> Counts:
    return {"n": len(data), "missing": 0}


@rpc
def values(data: pd.DataFrame):
    return len(data)
"""


def test_describe_as_json_contains_the_schema() -> None:
    described = json.loads(algotools("describe", "--json", cwd=AVERAGE).stdout)
    partial, master = described["functions"]
    assert (partial["method"], partial["role"], master["method"]) == ("average_partial", "rpc", "master")
    assert partial["arguments"]["properties"]["column_name"]["type"] == "string"
    assert partial["arguments"]["required"] == ["column_name"]
    assert partial["databases"] == [{"parameter": "data", "form": "pandas", "label": None}]


def test_help_contains_examples() -> None:
    completed = algotools("run", "--help")
    assert "algotools run master column_name=age" in completed.stdout
    assert "name:=json" in completed.stdout


def test_the_version() -> None:
    import algotools as package

    assert algotools("--version").stdout.strip() == f"algotools {package.__version__}"


def test_describe_shows_no_example_of_a_function_that_runs_only_for_its_master():
    completed = algotools("describe", "--no-trial", str(ALGORITHMS / "internal"))
    sections = {section.split()[0]: section for section in completed.stdout.split("\n\n") if section.strip()}
    assert "only for its master" in sections["count_partial"]
    assert "example" not in sections["count_partial"]
    assert "no example: add arguments" in sections["count"]
