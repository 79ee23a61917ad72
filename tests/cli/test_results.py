"""``algotools run`` and ``ask``: complete results, incomplete results, and files of results."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from ..conftest import ALGORITHMS, AVERAGE, algotools, default_policy

TALLY = str(ALGORITHMS / "tally")


def call(*arguments: str, width: str = "80", **options: Any) -> subprocess.CompletedProcess[str]:
    """Call a command with the fastest runner, in a terminal of 80 columns."""
    return algotools(*arguments, "--runner", "inline", "--no-probe", variables={"COLUMNS": width}, **options)


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    """The databases of three nodes; the last one has no column ``x``."""
    options = []
    for number, text in enumerate(["x\n1\n2\n3\n", "x\n6\n7\n", "y\n1\n"]):
        (tmp_path / f"{number}.csv").write_text(text, encoding="utf-8")
        options += ["--data", str(tmp_path / f"{number}.csv")]
    return options


# Results in full


def test_equal_results_are_shown_once_below_the_table() -> None:
    completed = call("run", "master", "column_name=age", cwd=AVERAGE)
    assert completed.stdout.endswith(
        "\n\nexample_org1 (2), example_org2 (3), example_org3 (4)\naverage  51.333333333333336\n"
    )
    assert completed.stdout.count('│ {"average": 51.333333333333336} │') == 3
    assert "each of 3 nodes ran the master; `algotools ask master …` runs it once" in completed.stderr


def test_different_mappings_are_the_rows_of_one_table() -> None:
    completed = call("run", "average_partial", "column_name=age", cwd=AVERAGE)
    assert completed.stdout.partition("┘\n\n")[2].splitlines() == [
        "organization        sum  count",
        "────────────────  ─────  ─────",
        "example_org1 (2)  253        4",
        "example_org2 (3)  173        4",
        "example_org3 (4)  190.0      4",
    ]


def test_a_long_result_is_shown_in_full() -> None:
    arguments = ("--algorithm", str(ALGORITHMS / "misbehaving"))
    completed = call(
        "run", "loaded_modules", "--organizations", "2", *arguments, "--federation", f"{AVERAGE}/federation.yaml"
    )
    table, _, full = completed.stdout.partition("┘\n\n")
    assert "…" in table
    assert "…" not in full
    assert "algotools" in full
    assert max(map(len, completed.stdout.splitlines())) <= 80


# One master


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_ask_runs_a_master_at_one_node(contract: str) -> None:
    completed = call("ask", "master", "column_name=age", "--json", "--contract", contract, cwd=AVERAGE)
    assert json.loads(completed.stdout) == [
        {
            "organization": {"id": 2, "name": "example_org1"},
            "status": "completed",
            "result": {"average": 51.333333333333336},
        }
    ]
    assert "algotools ask" not in completed.stderr
    assert "sent average_partial to 3 of 3 organizations" in completed.stderr


def test_ask_refuses_an_rpc_for_several_nodes() -> None:
    completed = call("ask", "average_partial", "column_name=age", cwd=AVERAGE)
    assert completed.returncode == 60
    assert "use `algotools run`" in completed.stderr
    assert call("ask", "average_partial", "column_name=age", "--organizations", "3", cwd=AVERAGE).returncode == 0


def test_quiet_shows_only_results_and_failures(data: list[str]) -> None:
    completed = call("run", "master", "column_name=age", "--quiet", cwd=AVERAGE)
    assert completed.stderr == ""
    assert "51.33" in completed.stdout
    completed = call("ask", "mean", "column=x", "--quiet", "--algorithm", TALLY, *data)
    assert completed.returncode == 61
    assert "no column 'x'" in completed.stderr
    assert "info >" not in completed.stderr


@pytest.mark.parametrize("command", [["run", "forgot"], ["run", "forgot", "--grid", "factor:=[1,2]"]])
def test_a_forgotten_return_is_one_warning_also_with_quiet(tmp_path: Path, data: list[str], command: list[str]) -> None:
    source = "import pandas as pd\nfrom algotools import rpc\n\n@rpc\n"
    source += "def forgot(data: pd.DataFrame, factor: int = 1) -> float:\n    data.sum() * factor\n"
    (tmp_path / "one.py").write_text(source, encoding="utf-8")
    completed = call(*command, "--quiet", "--algorithm", str(tmp_path / "one.py"), "--policy", "off", *data)
    assert completed.returncode == 0
    assert completed.stderr.splitlines() == [
        "warning: forgot returned None, but its result is annotated as float; is a `return` missing?"
    ]


# Incomplete results

INCOMPLETE = (
    "incomplete: 2 of 3 organizations; organization_4 failed: no column 'x' in database 'default' [exit code 16]"
)


def test_a_result_over_fewer_nodes_is_marked(data: list[str]) -> None:
    arguments = ("ask", "mean", "column=x", "quorum:=1", "--algorithm", TALLY, *data)
    completed = call(*arguments)
    assert completed.returncode == 0, completed.stderr
    [row] = [line for line in completed.stdout.splitlines() if "tally: organization_4 (4)" in line]
    assert "crashed" in row
    assert completed.stdout.splitlines()[-1] == INCOMPLETE

    completed = call(*arguments, "--json")
    [item] = json.loads(completed.stdout)
    assert item["result"]["mean"] == 3.8
    assert item["incomplete"] == {
        "expected": [2, 3, 4],
        "contributed": [2, 3],
        "missing": [
            {
                "organization": {"id": 4, "name": "organization_4"},
                "error": {"code": 16, "message": "no column 'x' in database 'default'"},
            }
        ],
    }
    assert INCOMPLETE in completed.stderr


UNREAD = """
import pandas as pd
from algotools import AlgorithmClient, master, rpc

@rpc
def count(data: pd.DataFrame) -> int:
    return len(data)

@master
def forward(client: AlgorithmClient) -> list[int]:
    return client.run(count)
"""


def test_a_failed_master_has_no_missing_organizations(tmp_path: Path, data: list[str]) -> None:
    failed = call("ask", "mean", "column=x", "--algorithm", TALLY, *data).stdout
    assert [line.split("│")[1].strip() for line in failed.splitlines() if line.startswith("│")] == [
        "organization_2 (2)", "tally: organization_4 (4)"
    ]  # fmt: skip
    (tmp_path / "one.py").write_text(UNREAD, encoding="utf-8")
    completed = call("ask", "forward", "--algorithm", str(tmp_path / "one.py"), *data)
    assert completed.returncode == 61
    assert "organization_3" not in completed.stdout
    assert completed.stderr.count("wrap it in list(…)") == 1
    assert "never read" not in completed.stderr


def test_require_all_makes_an_incomplete_result_an_error(tmp_path: Path, data: list[str]) -> None:
    file = tmp_path / "result.json"
    arguments = ("ask", "mean", "column=x", "quorum:=1", "--algorithm", TALLY, "--require-all", "--output", str(file))
    completed = call(*arguments, *data)
    assert completed.returncode == 69
    assert f"error (69): {INCOMPLETE}" in completed.stderr
    assert not file.exists()
    assert call(*arguments, *data[:4]).returncode == 0
    assert json.loads(file.read_bytes())["is_complete"]


# Files of results


def test_a_json_file_names_nodes_rows_and_versions(tmp_path: Path, data: list[str]) -> None:
    file = tmp_path / "result.json"
    (tmp_path / "0.csv").write_text("x,y\n10,1\n12,1\n,1\n14,1\n11,1\n", encoding="utf-8")
    (tmp_path / "1.csv").write_text("x\n10\n12\n14\n11\n", encoding="utf-8")
    arguments = ("--algorithm", str(AVERAGE), *data[:4], "--output", str(file))
    with default_policy():
        completed = call("ask", "master", "column_name=x", *arguments)
    assert completed.returncode == 0, completed.stderr
    record = json.loads(file.read_bytes())
    assert record["task"]["arguments"] == {"column_name": "x"}
    assert [time[-6:] for time in (record["task"]["created_at"], record["task"]["finished_at"])] == ["+00:00"] * 2
    assert record["versions"]["algorithm"] == {"name": "average", "version": "1.0.0"}
    assert {"algotools", "python", "contract", "runner", "image"} < record["versions"].keys()
    assert [item["result"] for item in record["results"]] == [{"average": 11.75}]
    first, second = record["nodes"]
    assert first["organization"] == {"id": 2, "name": "organization_2"}
    assert (first["rows"], first["rows_used"], first["rows_missing"], first["withheld_cells"]) == (5, 4, 1, 0)
    assert (second["rows"], second["rows_used"], second["rows_missing"], second["contributed"]) == (4, 4, 0, True)


def test_csv_and_parquet_files_can_be_read_with_pandas(tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        file = tmp_path / f"sums.{suffix}"
        completed = call("run", "average_partial", "column_name=age", "--output", str(file), cwd=AVERAGE)
        assert completed.returncode == 0, completed.stderr
        frame = pd.read_csv(file) if suffix == "csv" else pd.read_parquet(file)
        assert frame.to_dict("list") == {
            "organization_id": [2, 3, 4],
            "organization": ["example_org1", "example_org2", "example_org3"],
            "sum": [253, 173, 190.0],
            "count": [4, 4, 4],
        }
    metadata = json.loads((tmp_path / "sums.csv.json").read_bytes())
    in_parquet = json.loads(pq.read_schema(tmp_path / "sums.parquet").metadata[b"algotools"])
    assert metadata.keys() == in_parquet.keys() == {"format", "task", "versions", "is_complete", "nodes"}
    assert metadata["nodes"] == in_parquet["nodes"]
    assert not list(tmp_path.glob(".*"))


def test_a_file_has_the_results_of_the_nodes_that_did_not_fail(tmp_path: Path, data: list[str]) -> None:
    file = tmp_path / "sums.csv"
    completed = call("run", "tally", "column=x", "--algorithm", TALLY, *data, "--output", str(file))
    assert completed.returncode == 61
    with file.open(encoding="utf-8", newline="") as stream:
        assert [row["organization"] for row in csv.DictReader(stream)] == ["organization_2", "organization_3"]
    nodes = json.loads((tmp_path / "sums.csv.json").read_bytes())["nodes"]
    assert [node["contributed"] for node in nodes] == [True, True, False]
    assert nodes[2]["error"]["code"] == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [("result.txt", ".parquet"), ("no/result.json", "create it first"), ("old.csv", "--overwrite")],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_task(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "old.csv.json").write_text("old", encoding="utf-8")
    command = ("run", "master", "column_name=age", "--output", str(tmp_path / name))
    completed = call(*command, cwd=AVERAGE)
    assert completed.returncode == 2
    assert message in completed.stderr
    assert "info >" not in completed.stderr
    if name == "old.csv":
        (tmp_path / "old.csv").write_text("old", encoding="utf-8")
        both = call(*command, cwd=AVERAGE, width="1000")
        assert f"'{tmp_path / name}' and '{tmp_path / name}.json' exist; choose" in both.stderr
        assert (tmp_path / "old.csv.json").read_text(encoding="utf-8") == "old"
        assert call(*command, "--overwrite", cwd=AVERAGE).returncode == 0
        assert json.loads((tmp_path / "old.csv.json").read_bytes())["is_complete"]
