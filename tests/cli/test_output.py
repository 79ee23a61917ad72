"""The file of ``--output``: unusual results and arguments, and files that cannot be written."""

from __future__ import annotations

import base64
import csv
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer

from algotools.cli._grid import make_json_items, parse_grid
from algotools.cli._output import check_output, write_grid, write_output
from algotools.federation import Answers, Cell, Grid
from algotools.federation.folders import make_folder

from ..conftest import COMMAND, algotools, environment
from ..processes import LIMIT

NAMES = {2: "north", 3: "south"}

FUNCTIONS = """
import time
import pandas as pd
from algotools import rpc

@rpc
def wait(data: pd.DataFrame, file: str) -> int:
    open(file, "w").close()
    time.sleep(60)
    return 1

@rpc
def fail(data: pd.DataFrame, number: int = 1) -> int:
    return number // 0
"""


def write(folder: Path, *results: object) -> tuple[Any, list[list[str]], dict[str, list[Any]]]:
    """Write results in each format, and return the contents: the results in JSON, the lines of CSV, the columns."""
    items = [
        {"organization": {"id": id_, "name": NAMES[id_]}, "status": "completed", "result": result}
        for id_, result in zip(NAMES, results, strict=False)
    ]
    for suffix in ("json", "csv", "parquet"):
        write_output(folder / f"file.{suffix}", {"format": 1, "results": items})
    with (folder / "file.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    text = (folder / "file.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=pytest.fail)
    columns = pq.read_table(folder / "file.parquet").to_pydict()
    return [item["result"] for item in content["results"]], lines[1:], columns


@pytest.mark.parametrize("large", [10**400, 2**53 + 1])
def test_a_large_integer_beside_a_float_keeps_its_digits(tmp_path: Path, large: int) -> None:
    in_json, in_csv, in_parquet = write(tmp_path, {"n": large}, {"n": 1.5})
    assert in_json == [{"n": large}, {"n": 1.5}]
    assert [line[2] for line in in_csv] == [str(large), "1.5"]
    assert in_parquet["n"] == [str(large), "1.5"]
    assert write(tmp_path, {"n": 2**53}, {"n": 1.5})[2]["n"] == [2.0**53, 1.5]


def test_results_that_are_not_strict_json_or_not_unicode_are_written(tmp_path: Path) -> None:
    in_json, in_csv, in_parquet = write(tmp_path, {"n": float("nan"), "\ud800": "\udfff"}, {"n": 1.5, "\ud800": "é"})
    assert in_json == [{"n": None, "\ud800": "\udfff"}, {"n": 1.5, "\ud800": "é"}]
    assert [line[3] for line in in_csv] == [r"\udfff", "é"]
    assert in_parquet[r"\ud800"] == [r"\udfff", "é"]


def test_labels_that_are_not_scalars_are_part_of_a_value(tmp_path: Path) -> None:
    table = {"index": [[["a"]]], "columns": ["x"], "data": [[1]], "index_names": [None], "column_names": [None]}
    assert json.loads(write(tmp_path, table)[1][0][2]) == [[["a"]]]
    _, lines, _ = write(tmp_path, {column: {'["a",["b"]]': 1, '["b",{}]': 2} for column in "xy"})
    assert lines == [["2", "north", '["a",["b"]]', "1", "1"], ["2", "north", '["b",{}]', "2", "2"]]


def test_a_deeply_nested_result_is_written(tmp_path: Path) -> None:
    value: dict[str, Any] = {"last": 1}
    for _ in range(400):
        value = {"k": value}
    in_json, lines, columns = write(tmp_path, value)
    assert in_json == [value]
    assert (list(columns)[2].count("k"), lines[0][2].count("k")) == (50, 350)
    assert lines[0][2].endswith('{"last": 1}' + "}" * 350)


def test_equal_names_have_different_columns(tmp_path: Path) -> None:
    _, lines, columns = write(tmp_path, {"a": {"b": 110.0}, "a.b": 220.0, "organization": "other"})
    assert lines == [["2", "north", "110.0", "220.0", "other"]]
    assert list(columns) == ["organization_id", "organization", "a.b", "a.b_2", "organization_2"]


def test_arrays_and_bytes_in_a_grid_are_values_of_json(tmp_path: Path) -> None:
    cell = Cell({"k": 1, "weights": np.array([1.0, np.nan])}, Answers([b"\x00\x01"], {2: "north"}))
    grid = Grid([cell], None, NAMES)
    encoded = base64.b64encode(b"\x00\x01").decode()
    for suffix in ("json", "csv", "parquet"):
        write_grid(tmp_path / f"grid.{suffix}", grid, "f")
    [task] = json.loads((tmp_path / "grid.json").read_bytes())["tasks"]
    assert task["arguments"] == {"k": 1, "weights": [1.0, None]}
    assert task["results"] == [{"organization": {"id": 2, "name": "north"}, "result_base64": encoded}]
    assert make_json_items(grid)[0]["results"] == task["results"]
    assert (tmp_path / "grid.csv").read_text().splitlines()[1] == f'1,"[1.0, null]",north,{encoded}'
    assert pq.read_table(tmp_path / "grid.parquet").to_pydict()["weights"] == ["[1.0, null]"]


def test_a_limit_of_a_range_with_too_many_digits_is_a_usage_error() -> None:
    with pytest.raises(typer.BadParameter, match="range of 'k' has too many digits"):
        parse_grid([f"k:={'1' * 5000}..2"], {})


def test_a_name_that_is_too_long_is_refused_and_the_longest_is_written(tmp_path: Path) -> None:
    longest = tmp_path / f"{'a' * 250}.json"
    assert check_output(longest, overwrite=False) == longest
    write_output(longest, {"results": []})
    assert list(tmp_path.iterdir()) == [longest]
    with pytest.raises(typer.BadParameter, match="too long"):
        check_output(tmp_path / f"{'a' * 250}.csv", overwrite=False)  # the record would have the name a….csv.json


def test_a_dangling_link_is_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "result.json"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(typer.BadParameter, match="--overwrite"):
        check_output(link, overwrite=False)
    assert check_output(link, overwrite=True) == link


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "data.csv").write_text("x\n1\n2\n")
    return ["--algorithm", "functions.py", "--data", "data.csv", "--runner", "inline", "--output", "old.json"]


def test_a_failure_reports_that_an_earlier_file_is_unchanged(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "old.json").write_text("old")
    completed = algotools("run", "fail", *arguments, "--overwrite", cwd=tmp_path)
    assert completed.returncode == 61
    assert (tmp_path / "old.json").read_text() == "old"
    assert "old.json is unchanged; it does not have the results of this command" in completed.stderr
    completed = algotools("run", "fail", *arguments, "--overwrite", "--grid", "number:=[1]", cwd=tmp_path)
    assert completed.returncode == 61
    assert [task["status"] for task in json.loads((tmp_path / "old.json").read_bytes())["tasks"]] == ["failed"]
    assert "is unchanged" not in completed.stderr


def test_the_ledger_of_a_killed_command_is_removed_by_the_next_federation(tmp_path: Path, arguments: list[str]) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [*COMMAND, "run", "wait", f"file={tmp_path / 'started'}", *arguments, "--quiet"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**environment({}), "TMPDIR": str(temporary)}, stdout=subprocess.DEVNULL
    )
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(LIMIT)
    assert list(temporary.iterdir())
    make_folder(temporary).rmdir()
    assert not list(temporary.iterdir())
