"""Algorithms of the peers in their own interpreters: their wrapper and client, our nodes and our API."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, rpc
from algotools.errors import FederationError, RunsFailed, RunsIncomplete
from algotools.federation.contract.rest import RunRecord
from algotools.task import Database

from ..conftest import COMMAND, algotools, environment
from ..processes import LIMIT
from .analysis import (
    GENERATIONS,
    NODES,
    OURS,
    PARTIAL,
    RESULTS,
    collect_results,
    peer_folder,
    peer_results,
    runs,
    statuses,
)

pytestmark = pytest.mark.peers

PeerPython = Callable[[str], Path]


def federation(generation: str, python: Path, nodes: Any = NODES, **options: Any) -> Federation:
    return Federation(nodes, algorithm=peer_folder(generation), runner="process", python=python, **options)


def get_result(federation: Federation, run: RunRecord) -> Any:
    failure = federation.failure(run)
    assert failure is None, f"{failure}\n{run.log}"
    return federation.answer(run)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_results_statuses_and_order_are_the_same_as_ours(peer_python: PeerPython, generation: str) -> None:
    with federation(generation, peer_python(generation)) as peers:
        assert peers.contract == generation
        assert collect_results(peers) == peer_results(generation)
        peer_statuses = statuses(peers)
    with Federation(NODES, algorithm=OURS, runner="process", contract=generation) as ours:
        assert collect_results(ours) == RESULTS
        assert peer_statuses == statuses(ours) == dict.fromkeys(("fails", "exits", "missing"), peer_statuses["fails"])
    assert peer_statuses["fails"] == ["crashed"] * 2


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_failure_is_in_the_log_and_visible_to_the_master(peer_python: PeerPython, generation: str) -> None:
    method = "RPC_fails" if generation == "v3" else "fails"
    with federation(generation, peer_python(generation), NODES[:1]) as peers:
        with pytest.raises(RunsFailed, match="it is broken"):
            peers.run("fails", at=[2])
        [run] = peers.tasks()[-1].runs
        failure = peers.failure(run)
        assert failure is not None
        assert failure.message == f"crashed: Error encountered while calling {method}: it is broken"
        assert "Dispatching" in failure.detail
        assert peers.answer(run) is None
        with pytest.warns(RunsIncomplete, match="0 of 1 organization;"):
            result_of_master = peers.run("run_failing_subtask", at=[2])
    assert result_of_master == [{"status": "crashed" if generation == "v4" else "failed", "results": []}]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_log_has_both_streams_in_order_without_delay(peer_python: PeerPython, generation: str) -> None:
    statuses_and_lines: list[tuple[str, str]] = []
    with federation(
        generation, peer_python(generation), listen=lambda run, line: statuses_and_lines.append((run.status, line))
    ) as peers:
        [run] = runs(peers, "prints", [2])
        assert get_result(peers, run) is None
    lines = [line for _, line in statuses_and_lines]
    assert lines == run.log.splitlines()
    start = lines.index("printed")
    assert lines[start : start + 3] == ["printed", "to standard error", "warn > warned"]
    assert {status for status, _ in statuses_and_lines} == {"active"}


def test_all_calls_of_the_v4_client(peer_python: PeerPython) -> None:
    with federation("v4", peer_python("v4")) as peers:
        [run] = runs(peers, "use_every_call", [3])
        assert get_result(peers, run) == {
            "collaboration": "collaboration",
            "organization": "organization_3",
            "parent": run.task_id,
            "runs": [[4, "completed"], [3, "completed"], [2, "completed"]],
            "run": 4,
            "databases": [{"label": "default"}],
            "addresses": [],
        }


def test_all_calls_of_the_v5_client(peer_python: PeerPython) -> None:
    with federation("v5", peer_python("v5")) as peers:
        [run] = runs(peers, "use_every_call", [3])
        result = get_result(peers, run)
    [[table]] = result.pop("databases")
    assert table["type"] == "dataframe"
    assert result == {
        "collaboration": "collaboration",
        "organization": "organization_3",
        "parent": run.task_id,
        "runs": [[id_, "completed", "federated_compute"] for id_ in (4, 3, 2)],
        "run": 4,
    }


def test_all_calls_of_the_new_v3_client_that_the_dockerfile_selects(peer_python: PeerPython, tmp_path: Path) -> None:
    folder = tmp_path / "peer_v3"
    shutil.copytree(peer_folder("v3"), folder)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("use_new_client=False", "use_new_client=True"))
    with Federation(NODES, algorithm=folder, runner="process", python=peer_python("v3")) as peers:
        [run] = runs(peers, "use_new_client", [3], column="age")
        assert get_result(peers, run) == {
            "order": [2, 1, 3],
            "collaboration": "collaboration",
            "organization": "organization_3",
            "addresses": [],
        }


FILE = """
collaboration: mine
organizations:
  - name: first
    databases:
      default: {{uri: {folder}/ages.csv, user: bob}}
      other: {folder}/other.csv
      base: {folder}/ages.sqlite
      book: {folder}/book.xlsx
    algorithm_env: {{GREETING: hello world}}
"""


@pytest.fixture
def federation_file(tmp_path: Path, peer_python: PeerPython) -> Path:
    """A federation file with one organization, which has databases of several types."""
    (tmp_path / "ages.csv").write_text("age\n1\n2\n")
    (tmp_path / "other.csv").write_text("height\n3\n")
    with sqlite3.connect(tmp_path / "ages.sqlite") as base:
        base.execute("create table people (age integer)")
        base.executemany("insert into people values (?)", [(1,), (20,), (30,)])
    base.close()
    sheets = "with pd.ExcelWriter('book.xlsx') as book:\n" + "".join(
        f"    pd.DataFrame({{'{column}': [1]}}).to_excel(book, sheet_name='{sheet}', index=False)\n"
        for sheet, column in (("first", "a"), ("second", "b"))
    )
    subprocess.run([peer_python("v4"), "-c", f"import pandas as pd\n{sheets}"], check=True, cwd=tmp_path)
    file = tmp_path / "federation.yaml"
    file.write_text(FILE.format(folder=tmp_path))
    return file


def test_v4_databases_queries_sheets_variables_and_the_jobs_folder(
    peer_python: PeerPython, federation_file: Path
) -> None:
    with Federation.from_file(
        federation_file, algorithm=peer_folder("v4"), runner="process", python=peer_python("v4")
    ) as peers:
        # v4's decorator passes several databases in reverse order (reference, 11.2)
        assert peers.run("two", databases=["default", "other"]) == [[["height"], ["age"]]]
        query = Database("base", query="select age from people where age > 18")
        assert peers.run("queries", databases=query) == [{"age": [20, 30]}]
        assert peers.run("sheet", databases=Database("book", sheet_name="second")) == [{"b": [1]}]
        assert peers.run("sheet", databases=Database("book")) == [{"a": [1]}]
        first = peers.run("variables", databases=["default"])
        assert first == [
            {
                "greeting": "hello world",
                "kept": ["kept"],
                "labels": "default,other,base,book",
                "type": "csv",
                "option": "bob",
                "ids": [5, 1, 1, 2],
                "files": [True, True, True],
            }
        ]
        with pytest.raises(RunsFailed, match="'MISSING_DATABASE_URI'"):
            peers.run("partial", databases="missing", arguments={"column": "age"})


def test_v3_variables_and_an_unknown_label(peer_python: PeerPython, tmp_path: Path, federation_file: Path) -> None:
    file = tmp_path / "v3.yaml"
    file.write_text(federation_file.read_text().replace(", user: bob", ""))
    with Federation.from_file(file, algorithm=peer_folder("v3"), runner="process", python=peer_python("v3")) as peers:
        labels = '["default", "other", "base", "book"]'
        expected = {"greeting": "hello world", "kept": ["kept"], "labels": labels, "type": "csv"}
        assert peers.run("variables") == [expected]
        # The wrapper then exits with code 0, so the run is completed, as at a real node (reference, 3.4).
        assert peers.run("partial", databases="missing", column="age") == [None]


def test_v3_pickles_pass_through_without_unpickling(peer_python: PeerPython, tmp_path: Path) -> None:
    with federation("v3", peer_python("v3")) as peers:
        task = peers.post([2], b'json.{"method": "table"}', [Database("default")])
        assert peers.wait(task.id, LIMIT)
        pickled = peers.answer(task.runs[0])
    assert isinstance(pickled, bytes)
    assert pickled[:1] == b"\x80"
    (tmp_path / "ages.csv").write_text("age\n1\n")
    (tmp_path / "input").write_bytes(b'json.{"method": "table"}')
    arguments = ["run", "--input", str(tmp_path / "input"), "--data", str(tmp_path / "ages.csv")]
    arguments += ["--algorithm", str(peer_folder("v3")), "--python", str(peer_python("v3"))]
    [item] = json.loads(algotools(*arguments, "--json").stdout)
    assert base64.b64decode(item["result_base64"])[:1] == b"\x80"
    assert "result" not in item
    assert "bytes, pickle, not opened>" in algotools(*arguments).stdout


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return result


def read_waiting_pid(log: str) -> int:
    """Return the process id that a waiting function logged; 0 without such a line."""
    result = re.search(r"waiting (\d+)", log)
    return int(result[1]) if result else 0


def test_overdue_runs_and_runs_of_a_closed_federation_are_stopped(peer_python: PeerPython) -> None:
    with federation("v4", peer_python("v4"), timeout=5) as peers:
        [run] = runs(peers, "waits", [2], seconds=600)
        failure = peers.failure(run)
        assert failure is not None
        assert (failure.exit_code, failure.message) == (45, "the run did not end within its limit of 5 s")
        assert not is_alive(read_waiting_pid(run.log))
    with federation("v4", peer_python("v4")) as peers:
        task = peers.client().task.create(
            collaboration=1, organizations=[2], input={"method": "waits", "kwargs": {"seconds": 600}}
        )
        [run] = peers.task(task["id"]).runs
        pid = wait_until(lambda: read_waiting_pid(run.log))
        assert is_alive(pid)
    assert run.status == "killed by user"
    wait_until(lambda: not is_alive(pid))


@pytest.mark.parametrize(("sent_signal", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_command_leaves_no_processes(
    peer_python: PeerPython, tmp_path: Path, sent_signal: signal.Signals, code: int
) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n")
    arguments = [
        "run",
        "waits",
        "seconds:=600",
        "--algorithm",
        str(peer_folder("v4")),
        "--python",
        str(peer_python("v4")),
    ]
    with subprocess.Popen(
        [*COMMAND, *arguments, "--data", str(tmp_path / "ages.csv")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as command:
        assert command.stderr is not None
        pid = next(filter(None, map(read_waiting_pid, command.stderr)))
        command.send_signal(sent_signal)
        assert command.wait(LIMIT) == code
        wait_until(lambda: not is_alive(pid))


def test_an_installed_package_by_its_name(peer_python: PeerPython, tmp_path: Path) -> None:
    """Only the package and its interpreter are named, as in the manual of the command line."""
    python = peer_python("v4")
    base = subprocess.run(
        [python, "-c", "import sys; print(sys._base_executable)"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run([base, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    [packages] = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    [peers] = (python.parent.parent / "lib").glob("python3*/site-packages")
    (packages / "peers.pth").write_text(f"{peers}\n")
    shutil.copytree(peer_folder("v4") / "src" / "peer_v4", packages / "my_pkg")
    for file in (packages / "my_pkg").glob("*.py"):
        file.write_text(file.read_text().replace("peer_v4", "my_pkg"))
    for name, ages in (("a", "1\n2"), ("b", "30")):
        (tmp_path / f"{name}.csv").write_text(f"age\n{ages}\n")
    completed = algotools(
        "run", "partial", "column=age", "--algorithm", "my_pkg", "--runner", "process", "--json",
        "--python", str(tmp_path / "venv" / "bin" / "python"), "--data", "a.csv", "--data", "b.csv", cwd=tmp_path,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr
    expected = [{"sum": 3.0, "count": 2}, {"sum": 30.0, "count": 1}]
    assert [item["result"] for item in json.loads(completed.stdout)] == expected


def test_the_command_line_detects_the_role_of_a_method(peer_python: PeerPython, tmp_path: Path) -> None:
    (tmp_path / "ages.csv").write_text("age\n1\n2\n")
    arguments = ["--data", str(tmp_path / "ages.csv"), "--python", str(peer_python("v3")), "--json"]
    completed = algotools("run", "central", "column=age", *arguments, cwd=peer_folder("v3"))
    assert json.loads(completed.stdout)[0]["result"]["average"] == 1.5, completed.stderr


def test_environment_variables_of_the_user_do_not_reach_a_run(
    peer_python: PeerPython, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """v4's wrapper decodes every variable that looks like base32, and crashes if the result is not text."""
    for name in ("TEAM", "USER", "TERM", "LC_TEAM"):
        monkeypatch.setenv(name, "ABCDEFGH")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path))
    (tmp_path / "pandas.py").write_text("raise SystemExit(9)")
    with federation("v4", peer_python("v4")) as peers:
        assert peers.run("partial", at=[2], column="age") == PARTIAL[:1]


def test_our_algorithm_in_another_interpreter(tmp_path: Path) -> None:
    with Federation(NODES, algorithm=OURS, runner="process", python=sys.executable) as ours:
        assert collect_results(ours) == RESULTS
        [run] = runs(ours, "fails", [2])
        failure = ours.failure(run)
        assert failure is not None
        assert failure.exit_code == 40  # read from the last line of the log
        assert "it is broken" in failure.detail


@rpc
def rows(data: pd.DataFrame) -> int:
    return len(data)


@pytest.mark.parametrize("first", [0, 1])
def test_federations_can_be_closed_in_any_order(first: int) -> None:
    """A federation of functions is a fork of this process, with all of its open files."""
    other_interpreter = Federation(NODES, algorithm=OURS, runner="process", python=sys.executable)
    federations = [other_interpreter, Federation(NODES, algorithm=[rows], runner="process")]
    assert federations[1].run(rows) == [3, 1, 3]
    assert federations[0].run("partial", column="age") == PARTIAL
    federations[first].close()
    federations[1 - first].close()


def test_options_that_conflict_with_another_interpreter_are_refused(peer_python: PeerPython) -> None:
    with pytest.raises(FederationError, match="needs runner process, not inline"):
        Federation(NODES, algorithm=peer_folder("v4"), python=peer_python("v4"))
    with pytest.raises(FederationError, match="the name of a module there, or a folder"):
        Federation(NODES, algorithm=[os.getcwd], runner="process", python=peer_python("v4"))


def test_the_contract_option_overrides_the_generation_of_an_algorithm(peer_python: PeerPython) -> None:
    with federation("v4", peer_python("v4"), contract="v3") as peers:  # the wrong contract: the wrapper fails
        [run] = runs(peers, "partial", [2], column="age")
        assert run.status == "crashed"


def test_a_group_of_databases_is_a_dict_for_the_dataframes_of_v5(peer_python: PeerPython) -> None:
    first, second = pd.DataFrame({"age": [1, 2]}), pd.DataFrame({"weight": [80.5]})
    nodes = [{"default": first, "second": second, "third": first}]
    with federation("v5", peer_python("v5"), nodes) as peers:
        two = {"default": ["age"], "second": ["weight"]}
        assert peers.run("grouped", databases=[["default", "second"]]) == [two]
        assert peers.run("grouped", databases=[[{"label": "default"}, {"label": "second"}], "third"]) == [two]
        assert peers.run("grouped", databases=[["second", "third", "default"]]) == [{**two, "third": ["age"]}]
        # Without the inner list, each database is an argument of its own.
        assert peers.run("grouped", databases=["default"]) == [{"default": ["age"]}]
