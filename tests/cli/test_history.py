"""``algotools history`` and ``algotools run --grid``: recorded tasks are shown, repeated, compared and continued."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from itertools import product
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from algotools.cli._grid import parse_grid
from algotools.errors import FederationError
from algotools.federation.history import HistoryEntry, TaskHistory

from ..conftest import AVERAGE, COMMAND, algotools, environment
from ..processes import LIMIT

ON = {"ALGOTOOLS_HISTORY": "on"}
CALL = ("run", "master", "column_name=age", "--runner", "inline", "--no-probe")


def call(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return algotools(*arguments, cwd=folder, variables={**ON, **variables})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "average"
    shutil.copytree(AVERAGE, folder, ignore=shutil.ignore_patterns(".algotools", "__pycache__", "*.egg-info"))
    return folder


def get_file(project: Path) -> Path:
    return project / ".algotools" / "history.sqlite3"


def test_a_result_is_found_in_the_history_as_it_was_shown(project: Path) -> None:
    shown = call(project, *CALL)
    assert shown.returncode == 0
    options = ("--runner", "inline", "--no-probe", "--json", "--timeout", "0.001")
    failed = call(project, "run", "master", "column_name=sex", *options)
    listed = call(project, "history")
    assert listed.returncode == 0
    header, first, second = listed.stdout.splitlines()
    assert header.split() == ["task", "time", "took", "call", "status", "nodes"]
    assert first.split()[0] == "1"
    assert first.split()[-4:] == ["completed", "3", "of", "3"]
    assert "run master column_name=age" in first
    assert "run master column_name=sex" in second
    again = call(project, "history", "show", "1")
    assert again.stdout == shown.stdout
    assert "task 1, " in again.stderr
    assert "info > sent average_partial to 3 of 3 organizations" in again.stderr
    assert "data of example_org1: default " in again.stderr
    content = json.loads(call(project, "history", "show", "2", "--json").stdout)
    assert content["results"] == json.loads(failed.stdout)
    assert content["task"]["arguments"] == {"column_name": "sex"}
    tasks = json.loads(call(project / "src", "history", "--json", "--last", "1").stdout)["tasks"]
    assert [(task["number"], task["versions"]["algotools"]) for task in tasks] == [(2, "0.1.0")]


def test_the_whole_call_of_a_task_is_shown(project: Path) -> None:
    options = ("--organizations", "example_org1,example_org2", "--database", "my_other_database", "--policy", "strict")
    command = ("ask", "master", "column_name=age", *options, "--variable", "SITE@example_org2=a b")
    failed = call(project, *command, "--no-probe", "--quiet", "--json")
    assert failed.returncode == 61
    command = (*command[:-1], "SITE@example_org2=…")  # the history does not contain the value
    shown = call(project, "history", "show", "1").stderr
    assert f": algotools {shlex.join(command)}\n" in shown
    assert "data of example_org2: " in shown
    assert "data of example_org3: " not in shown
    (line,) = call(project, "history", "show", "1", "--json").stdout.splitlines()
    assert json.loads(line)["task"]["command"] == f"algotools {shlex.join(command)}"
    listed = call(project, "history", COLUMNS="80").stdout
    words = [word for row in listed.splitlines()[1:] for word in row[30:60].split()]
    assert words[:3] == ["ask", "master", "column_name=age"]
    assert "example_org1,example_org2" in words
    (task,) = json.loads(call(project, "history", "--json").stdout)["tasks"]
    assert task["started"].endswith("+00:00")
    assert task["missing"][0]["organization"] == {"id": 2, "name": "example_org1"}
    assert set(task["missing"][0]["error"]) == {"code", "message"}


@pytest.mark.parametrize("contract", ["v3", "v5"])
def test_the_shown_command_runs_the_same_task(project: Path, contract: str) -> None:
    data = ("--data", "data/org1.csv", "--data", "data/org2.csv", "--contract", contract, "--runner", "inline")
    assert call(project, "run", "average_partial", "column_name=age", *data, "--organizations", "3").returncode == 0
    (first,) = json.loads(call(project, "history", "--json").stdout)["tasks"]
    assert call(project, *shlex.split(first["command"])[1:]).returncode == 0
    _, second = json.loads(call(project, "history", "--json").stdout)["tasks"]
    assert [first[key] for key in ("command", "question", "conditions")] == [
        second[key] for key in ("command", "question", "conditions")
    ]


def test_the_value_of_a_variable_is_not_stored_and_rerun_needs_it(project: Path) -> None:
    assert call(project, *CALL, "--variable", "SITE@example_org2=S3cret").returncode == 0
    assert b"S3cret" not in get_file(project).read_bytes()
    refused = call(project, "history", "rerun", "1")
    assert refused.returncode == FederationError.exit_code
    assert "values the history does not contain: SITE@example_org2; set each with --variable" in refused.stderr
    same = call(project, "history", "rerun", "1", "--variable", "SITE=S3cret")
    assert same.returncode == 0, same.stderr
    assert "another value" not in same.stderr
    changed = call(project, "history", "rerun", "1", "--variable", "SITE@example_org2=other")
    assert "the variable SITE of example_org2 has another value than in task 1" in changed.stderr
    first, second, third = (entry.conditions for entry in TaskHistory(get_file(project)).list_entries())
    assert first == second != third


@pytest.mark.parametrize("width", ["80", "100"])
def test_no_word_and_no_number_of_the_list_is_divided(file_with_tasks: Path, width: str) -> None:
    listed = call(file_with_tasks.parent, "history", "--project", str(file_with_tasks), COLUMNS=width)
    words = " ".join(listed.stdout.splitlines()[1:]).split()
    assert "…" not in listed.stdout
    for word in ("missing_partial", "tolerance:=10.0", "4.0"):
        assert words.count(word) == 2
    assert "killed by user" in listed.stdout


@pytest.fixture
def file_with_tasks(tmp_path: Path) -> Path:
    """A history with long names and times."""
    history = TaskHistory(tmp_path / "history.sqlite3")
    for status in ("completed", "killed by user"):
        entry = HistoryEntry(
            started="2026-12-01T10:00:00",
            finished="2026-12-01T10:00:04",
            status=status,
            method="missing_partial",
            arguments={"tolerance": 10.0},
            question="",
            conditions="",
            organizations={2: "north", 3: "south"},
            recipients=[2, 3],
            asked=2,
            expected=[2, 3],
            databases=[{"label": "default"}],
            contract="v4",
            runner="process",
            versions={},
            data={},
        )
        history.add(entry, "")
    return history.path


def test_the_history_of_another_folder_names_the_nearest_project(project: Path) -> None:
    listed = call(project.parent, "history")
    assert listed.returncode == 60
    assert f"is not in a project; name its folder with --project (the nearest is {project})" in listed.stderr


def test_a_repetition_without_its_files_names_the_option_and_the_file(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text((project / "federation.yaml").read_text().replace("data/", f"{project}/data/"))
    data = shutil.copy(project / "data" / "org1.csv", tmp_path / "a.csv")
    call(project, *CALL, "--federation", str(file))
    call(project, *CALL, "--data", str(data))
    for number, option, used in ((1, "--federation", file), (2, "--data", Path(data))):
        used.unlink()
        repeated = call(project, "history", "rerun", str(number))
        assert repeated.returncode == 60
        assert f"task {number} cannot be run again: it used {option} {used}, which does not exist" in repeated.stderr


@pytest.mark.parametrize("how", [{"option": "--no-history"}, {"ALGOTOOLS_HISTORY": "off"}])
def test_the_history_is_switched_off(project: Path, how: dict[str, str]) -> None:
    options = [how.pop("option")] if "option" in how else []
    assert call(project, *CALL, *options, **how).returncode == 0
    assert not get_file(project).exists()
    missing = call(project, "history")
    assert missing.returncode == 60
    assert "no task was recorded yet" in missing.stderr


def test_a_repetition_reports_what_has_changed(project: Path) -> None:
    call(project, *CALL, "--organizations", "2,3")
    same = call(project, "history", "rerun", "1")
    assert same.returncode == 0
    assert same.stderr.splitlines()[-4:] == [
        "compared with task 1:", "  data: unchanged", "  versions: unchanged", "  results: the same",
    ]  # fmt: skip
    data = project / "data" / "org1.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([lines[0], *lines[2:], *lines[2:]]) + "\n")
    source = project / "src" / "average" / "__init__.py"
    source.write_text(source.read_text() + "\n# changed\n")
    changed = call(project, "history", "rerun", "1", "--json")
    content = json.loads(changed.stdout)
    assert (content["earlier"], content["task"]["number"], content["task"]["recipients"]) == (1, 3, [2, 3])
    assert content["changes"]["data"] == [{"organization": "example_org1", "label": "default", "change": "changed"}]
    assert list(content["changes"]["versions"]) == ["algorithm"]
    assert content["changes"]["nodes"] is None
    assert content["changes"]["results"] == ["example_org1", "example_org2"]
    assert content["results"] == json.loads(call(project, "history", "show", "3", "--json").stdout)["results"]
    unknown = call(project, "history", "rerun", "9")
    assert unknown.returncode == 60
    assert "the history has no task 9" in unknown.stderr


def test_a_task_of_another_set_of_nodes_is_reported(project: Path) -> None:
    call(project, *CALL)
    other = call(project, *CALL, "--organizations", "2")
    assert other.returncode == 0
    (line,) = [line for line in other.stderr.splitlines() if line.startswith("warning: ")]
    assert "in task 1 of the history: example_org1, example_org2, example_org3; now example_org1." in line


def test_a_damaged_history_does_not_stop_a_run(project: Path) -> None:
    get_file(project).parent.mkdir()
    get_file(project).write_bytes(b"damaged" * 1000)
    completed = call(project, *CALL)
    assert completed.returncode == 0
    assert completed.stderr.count("tasks are not recorded") == 1
    way_out = "(file is not a database); delete the file, or move it away, to start a new history"
    assert way_out in completed.stderr
    listed = call(project, "history")
    assert listed.returncode == 60
    assert "cannot be read" in listed.stderr
    assert way_out in listed.stderr


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ("seed", "has no name and values"),
        ("seed:=", "is neither a range nor a JSON list"),
        ("seed:=1..x", "is neither a range nor a JSON list"),
        ("seed:=5..1", "is empty, because 5 is larger than 1"),
        ("seed:=1..999999999999", "has more than 10000 values"),
        ("seed:=3", "is not a list with values"),
        ("seed:=[]", "is not a list with values"),
        ("seed:=[1,1]", "has a value twice"),
        ("column=age,,sex", "has an empty value"),
        ("column_name=age,sex", "is passed twice"),
    ],
)
def test_a_malformed_grid_is_refused(grid: str, reason: str) -> None:
    with pytest.raises(typer.BadParameter, match=reason):
        parse_grid([grid], {"column_name": "age"})


def test_a_malformed_grid_is_a_usage_error_before_anything_starts(project: Path) -> None:
    completed = call(project, *CALL, "--grid", "seed:=1..x")
    assert completed.returncode == 2
    assert "is neither a range nor a JSON list" in " ".join(completed.stderr.replace("│", " ").split())
    assert not get_file(project).exists()


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]+", fullmatch=True),
        st.lists(st.integers() | st.text() | st.booleans(), min_size=1, max_size=4, unique_by=repr),
        min_size=1,
        max_size=3,
    )
)
def test_every_combination_of_the_lists_is_a_task(values: dict[str, list[object]]) -> None:
    combinations = parse_grid([f"{name}:={json.dumps(items)}" for name, items in values.items()], {"extra#": 1})
    assert [{"extra#": 1, **dict(zip(values, items, strict=True))} for items in product(*values.values())] == (
        combinations
    )
    assert parse_grid(["n:=-2..1"], {}) == [{"n": -2}, {"n": -1}, {"n": 0}, {"n": 1}]


GRIDDED = '''
"""An algorithm whose calls a test counts."""

import time
from pathlib import Path

import pandas as pd

from algotools import AlgorithmClient, UserError, master, rpc


class Unlucky(UserError):
    text = "three brings bad luck"


@rpc
def count(data: pd.DataFrame, seed: int, weight: float = 1.0, name: str = "", calls: str = "") -> float:
    if seed == 3:
        raise Unlucky
    if calls:
        time.sleep(0.1)
        with Path(calls).open("a") as file:
            file.write(f"{seed}\\\\n")
    return len(data) * weight + seed


@master
def total(
    client: AlgorithmClient, seed: int, weight: float = 1.0, name: str = "", calls: str = ""
) -> dict[str, float]:
    return {"total": sum(client.run(count, seed=seed, weight=weight, name=name, calls=calls))}
'''


@pytest.fixture
def gridded(project: Path) -> Path:
    (project / "src" / "average" / "__init__.py").write_text(GRIDDED.replace("\\\\n", "\\n"))
    return project


def test_a_grid_is_one_table_of_every_combination(gridded: Path) -> None:
    options = ("--runner", "inline", "--grid", "seed:=1..2", "--grid", "weight:=[0.5,2]", "--grid", "name=a,b")
    completed = call(gridded, "run", "total", *options, "--json")
    assert completed.returncode == 0
    items = json.loads(completed.stdout)
    assert [item["arguments"] for item in items] == [
        {"seed": seed, "weight": weight, "name": name} for seed in (1, 2) for weight in (0.5, 2) for name in "ab"
    ]
    assert {item["status"] for item in items} == {"completed"}
    assert {item["task"] for item in items} == set(range(1, 9))
    assert not any(item["is_reused"] for item in items)
    rows = sum(len((gridded / "data" / f"org{i}.csv").read_text().split()) - 1 for i in (1, 2, 3))
    assert items[0]["results"][0]["result"]["total"] == rows * 0.5 + 3
    table = call(gridded, "run", "total", *options)
    assert "note: 8 of 8 tasks are in the history with the same data and versions" in table.stderr
    assert [cell.strip() for cell in table.stdout.splitlines()[1].split("┃")[1:-1]] == [
        "seed", "weight", "name", "total"
    ]  # fmt: skip
    assert len(table.stdout.splitlines()) == 8 + 4


def test_a_grid_that_is_too_wide_is_divided_by_columns(gridded: Path) -> None:
    source = gridded / "src" / "average" / "__init__.py"
    function = """

@rpc
def thirds(data: pd.DataFrame, seed: int) -> dict[str, object]:
    return {"rows": len(data), **{f"value_{i}": {"part": (seed + i) / 3} for i in range(6)}}
"""
    source.write_text(source.read_text() + function)
    command = ("run", "thirds", "--runner", "inline", "--policy", "off", "--no-probe", "--grid", "seed:=[10,20]")
    shown = algotools(*command, cwd=gridded, variables={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "(columns 1 to 3 of 7)" in shown
    assert all(text in shown for text in ("value_5.part", str(10 / 3), str(25 / 3)))
    assert "{" not in shown


def test_a_cell_that_fails_does_not_lose_the_others(gridded: Path) -> None:
    completed = call(gridded, "run", "count", "--runner", "inline", "--grid", "seed:=[2,3,4]", "--json")
    assert completed.returncode == 61
    assert "1 of 3 tasks failed" in completed.stderr
    assert "three brings bad luck" in completed.stderr
    assert "\nseed=3: count failed at 3 of 3 organizations" in f"\n{completed.stderr}"
    first, failed, last = json.loads(completed.stdout)
    assert [len(item["results"]) for item in (first, failed, last)] == [3, 0, 3]
    assert {error["code"] for error in failed["errors"]} == {41}
    again = call(gridded, "run", "count", "--runner", "inline", "--grid", "seed:=[2,3,4]", "--json")
    assert [item["is_reused"] for item in json.loads(again.stdout)] == [True, False, True]
    fresh = call(gridded, "run", "count", "--runner", "inline", "--grid", "seed:=[2,4]", "--json", "--fresh")
    assert not any(item["is_reused"] for item in json.loads(fresh.stdout))


def test_a_grid_is_written_to_a_file(gridded: Path) -> None:
    command = ("ask", "total", "--runner", "inline", "--grid", "seed:=[1,3]", "--quiet")
    written = call(gridded, *command, "--output", "grid.csv")
    assert written.returncode == 61
    header, first, failed = (gridded / "grid.csv").read_text().splitlines()
    assert header == "seed,total,error"
    assert first.startswith("1,")
    assert failed.startswith('3,,"[52] ')
    record = json.loads((gridded / "grid.csv.json").read_text())
    assert [item["arguments"] for item in record["tasks"]] == [{"seed": 1}, {"seed": 3}]
    call(gridded, *command, "--output", "grid.json")
    content = json.loads((gridded / "grid.json").read_text())
    assert [item["status"] for item in content["tasks"]] == ["completed", "failed"]
    refused = call(gridded, "ask", "count", "--runner", "inline", "--grid", "seed:=[1,2]")
    assert refused.returncode == 60
    assert "count is an rpc" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_grid_continues(gridded: Path, tmp_path: Path, number: signal.Signals) -> None:
    calls = tmp_path / "calls"
    command = ("run", "total", f"calls={calls}", "--grid", "seed:=10..39", "--runner", "inline", "--json")
    process = subprocess.Popen(
        [*COMMAND, *command],
        cwd=gridded,
        env=environment(ON),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + LIMIT
    while not calls.exists() or len(calls.read_text().splitlines()) < 54:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    output, messages = process.communicate(timeout=LIMIT)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert output == ""
    if number != signal.SIGKILL:
        assert messages.splitlines()[-1] == "stopped; nothing is left running"
    entries = TaskHistory(get_file(gridded)).list_entries()
    done = {entry.arguments["seed"] for entry in entries if entry.status == "completed"}
    if number != signal.SIGKILL:
        kept = f"note: {len(done)} of 30 tasks are in the history; the same call runs only the others"
        assert messages.splitlines()[-2] == kept
    assert 0 < len(done) < 30
    calls.unlink()
    again = call(gridded, *command)
    assert again.returncode == 0
    assert f"note: {len(done)} of 30 tasks are in the history" in again.stderr
    items = json.loads(again.stdout)
    assert {item["arguments"]["seed"] for item in items if item["is_reused"]} == done
    assert {int(line) for line in calls.read_text().split()} == set(range(10, 40)) - done
    assert os.listdir(gridded / ".algotools").count("history.sqlite3") == 1
