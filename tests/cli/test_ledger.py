"""``algotools ledger``, and the ledger that ``algotools run`` keeps in a project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from algotools.errors import Withheld

from ..conftest import AVERAGE, algotools
from ..disclosure.ledgers import ROWS, RecordingNode

ALL = np.arange(ROWS)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "ledger"
    folder.mkdir()
    node = RecordingNode(folder)
    node.run(ALL, value=123456.75)
    with pytest.raises(Withheld):
        node.run(ALL[1:])
    node.run(ALL, column="age")
    (tmp_path / "logs.txt").write_text("\n".join(f"info > {line}" for line in node.log))
    return folder


def test_show_lists_each_number_with_its_records_and_each_refusal_with_its_rule(ledger):
    process = algotools("ledger", "show", str(ledger), variables={"COLUMNS": "120"})
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:] if line[:5].strip()] == ["1", "2", "3"]
    assert any("['sum']" in line and "1000" in line and "aggregate.sum of cost" in line for line in lines)
    assert any("rule ledger, entry 1" in line for line in lines)
    assert any("withheld (54)" in line for line in lines)
    assert "123456" not in process.stdout


def test_show_does_not_count_the_rows_of_a_database_that_was_not_read(tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(
        '{"number":1,"verdict":"withheld","exit_code":54,"method":"mean","databases":[{"label":"default"}]}\n'
    )
    process = algotools("ledger", "show", str(ledger))
    assert process.stdout.splitlines()[1].split() == ["1", "mean", "withheld", "(54)", "database", "default"]


def test_show_as_json(ledger):
    process = algotools("ledger", "show", str(ledger / "ledger.jsonl"), "--last", "2", "--json")
    entries = json.loads(process.stdout)["entries"]
    assert [entry["number"] for entry in entries] == [2, 3]
    assert [entry["verdict"] for entry in entries] == ["withheld", "left"]
    assert entries[0]["refusals"] == [{"rule": "ledger", "earlier": 1}]
    assert "row_sets" not in entries[0]


def test_verify_accepts_an_intact_ledger_and_its_logs(ledger, tmp_path):
    process = algotools("ledger", "verify", str(ledger), "--log", str(tmp_path / "logs.txt"))
    assert process.returncode == 0, process.stderr
    assert "3 entries, intact" in process.stdout
    assert "algotools.ledger 3 sha256:" in process.stdout


def test_verify_finds_a_change(ledger):
    path = ledger / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"withheld"', b'"left"'))
    process = algotools("ledger", "verify", str(ledger))
    assert process.returncode == 59
    assert "line 3 does not have the hash of the line before" in process.stderr


def test_verify_finds_with_the_logs_that_the_last_entry_was_removed(ledger, tmp_path):
    path = ledger / "ledger.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert algotools("ledger", "verify", str(ledger)).returncode == 0
    process = algotools("ledger", "verify", str(ledger), "--log", str(tmp_path / "logs.txt"), "--json")
    assert process.returncode == 59
    assert [item["number"] for item in json.loads(process.stdout)["missing"]] == [3]


def test_a_missing_ledger_is_reported(tmp_path):
    for command in ("show", "verify", "export"):
        process = algotools("ledger", command, cwd=tmp_path)
        assert process.returncode == 60
        assert "the ledger '.algotools' does not exist; `algotools run` makes the ledger of a project" in process.stderr


def test_export_has_the_keys_of_acro_and_no_value(ledger, tmp_path):
    process = algotools("ledger", "export", str(ledger), cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    text = (tmp_path / "evidence.json").read_text()
    document = json.loads(text)
    assert "123456" not in text
    assert list(document["results"]) == ["output_1", "output_2", "output_3"]
    keys = {"uid", "status", "type", "properties", "files", "outcome", "command", "summary", "timestamp", "comments"}
    for uid, result in document["results"].items():
        assert result["uid"] == uid
        assert keys | {"exception"} <= set(result)
    first, second, _ = document["results"].values()
    assert (first["status"], second["status"]) == ("pass", "fail")
    (evidence,) = first["evidence"]
    assert (evidence["kind"], evidence["records"], evidence["dof"]) == ("aggregate.sum", ROWS, ROWS - 1)
    assert {"top_1_share", "top_2_share"} <= set(evidence)
    assert second["outcome"] == {"result['sum']": "ledger; "}


def test_export_to_standard_output(ledger):
    process = algotools("ledger", "export", str(ledger), "--output", "-")
    assert len(json.loads(process.stdout)["results"]) == 3


def test_run_records_in_the_ledger_of_the_project(tmp_path):
    (tmp_path / "pyproject.toml").write_text((AVERAGE / "pyproject.toml").read_text())
    (tmp_path / "src").symlink_to(AVERAGE / "src")
    data = tmp_path / "data.csv"
    data.write_text("age\n" + "\n".join(map(str, range(30))))
    call = ("run", "average_partial", "column_name=age", "--data", str(data), "--policy", "standard")
    process = algotools(*call, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / ".algotools" / ".gitignore").exists()
    shown = json.loads(algotools("ledger", "show", "--json", cwd=tmp_path).stdout)["entries"]
    assert [(entry["method"], entry["verdict"]) for entry in shown] == [("average_partial", "left")]
