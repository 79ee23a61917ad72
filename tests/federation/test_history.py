"""The history of a federation: complete, private, and never a reason for a run to fail."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from algotools import AlgorithmClient, Federation, RunsFailed, log, master, rpc
from algotools.errors import FederationError, RunsIncomplete
from algotools.federation import ContributorsChanged, Wrong, _file_hashes, _fingerprints, history
from algotools.federation._file_hashes import hash_file
from algotools.federation._fingerprints import DataFingerprints, remove_credentials
from algotools.federation.configuration import Member
from algotools.federation.history import HistoryEntry, StoredTask, TaskHistory
from algotools.task import Database

from ..processes import LIMIT

NODES = {"north": pd.DataFrame({"x": range(10)}), "south": pd.DataFrame({"x": range(20)})}


@rpc(name="history_sum")
def add_up(data: pd.DataFrame, factor: float = 1.0, note: str = "") -> dict[str, float]:
    log(f"adding {note}")
    if factor < 0:
        raise ValueError("negative")
    return {"sum": float(data["x"].sum()) * factor}


@master(name="history_total")
def total(client: AlgorithmClient, factor: float = 1.0) -> float:
    return sum(part["sum"] for part in client.run(add_up, factor=factor))


@master(name="history_some")
def total_of_some(client: AlgorithmClient) -> float:
    return sum(part["sum"] for part in client.run(add_up, quorum=1, wait_for_all=True))


FUNCTIONS = [add_up, total, total_of_some]


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOTOOLS_HISTORY", "on")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".algotools" / "history.sqlite3"


def read(file: Path, number: int) -> StoredTask:
    entry = TaskHistory(file).find_entry(number)
    assert entry is not None
    stored = TaskHistory(file).read_task(entry)
    assert stored is not None
    return stored


@pytest.mark.parametrize("contract", ["v3", "v4", "v5"])
def test_a_task_is_recorded_with_its_call_surroundings_results_and_log(file: Path, contract: str) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, contract=contract, history=file) as federation:
        federation.run(add_up, factor=2.0, note="all")
        assert federation.ask(total, factor=3.0) == 235 * 3
    rpc_entry, master_entry = TaskHistory(file).list_entries()
    assert (rpc_entry.number, rpc_entry.method, rpc_entry.status) == (1, "history_sum", "completed")
    assert rpc_entry.arguments == {"factor": 2.0, "note": "all"}
    assert (rpc_entry.contract, rpc_entry.runner, rpc_entry.recipients) == (contract, "inline", [2, 3])
    assert rpc_entry.started <= str(rpc_entry.finished)
    assert set(rpc_entry.versions) == {"algotools", "python", "algorithm", "packages", "pandas", "numpy"}
    assert {labels["default"].kind for labels in rpc_entry.data.values()} == {"frame"}
    assert rpc_entry.data["north"] != rpc_entry.data["south"]
    assert (master_entry.asked, master_entry.contributors) == (2, ["north", "south"])
    first, second = read(file, 1), read(file, 2)
    assert [first.answer(run) for run in first.runs] == [{"sum": 90.0}, {"sum": 380.0}]
    assert all("info > adding all" in run.log for run in first.runs)
    assert [second.answer(run) for run in second.runs] == [705.0]
    assert [task.method for task in second.subtasks(second.main_task.id)] == ["history_sum"]


def test_the_same_question_and_conditions_have_the_same_hash_in_every_process(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nimport pandas as pd\nfrom algotools import Federation, rpc\nLIMITS = (1, 2)\n"
        "def check(value):\n    return value in {'a', 'b', 'c'} or LIMITS\n"
        "@rpc\ndef count(data: pd.DataFrame, names: list[str]) -> int:\n    check('a')\n    return len(data)\n"
        "with Federation([pd.DataFrame({'x': range(5)})], algorithm=[count], history=sys.argv[1]) as federation:\n"
        "    federation.run(count, names=['a', 'b'])\n"
    )
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, script, file], check=True, env=environ, timeout=LIMIT)
    first, second = TaskHistory(file).list_entries()
    assert (first.question, first.conditions) == (second.question, second.conditions)
    script.write_text(script.read_text().replace("LIMITS = (1, 2)", "LIMITS = (1, 3)"))
    subprocess.run([sys.executable, script, file], check=True, timeout=LIMIT)
    third = TaskHistory(file).list_entries()[-1]
    assert third.question == first.question
    assert third.versions["algorithm"] != first.versions["algorithm"]


def test_only_the_owner_can_read_the_file_and_git_ignores_it(file: Path) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.parent / ".gitignore").read_text() == "*\n"
    assert sorted(path.name for path in file.parent.iterdir()) == [".gitignore", "history.sqlite3"]
    file.chmod(0o644)
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("postgresql://reader:secret@db.example.org:5432/register", "postgresql://db.example.org:5432/register"),
        ("mysql+pymysql://u:se%40cret@db/x?password=secret", "mysql+pymysql://db/x"),
        ("https://user:secret@sparql.example.org/a", "https://sparql.example.org/a"),
        ("postgresql://u:pw/secret@h/db", "postgresql://"),
        ("postgresql://u:pw#secret@h/db", "postgresql://"),
        ("postgresql://h/db?password=sec@ret", "postgresql://"),
        ("postgresql://u:secret", "postgresql://"),
        ("postgresql://[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("mongodb://u:secret@h1:1,h2:2/db", "mongodb://h1:1,h2:2/db"),
        ("jdbc:sqlserver://h:1433;user=sa;password=secret", "jdbc:sqlserver://h:1433"),
        ("Driver={X};PWD=secret", ""),
    ],
)
def test_credentials_are_removed_from_a_uri(uri: str, expected: str) -> None:
    assert remove_credentials(uri) == expected


def test_the_file_contains_no_password_of_a_database(file: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n3\n4\n")
    nodes = {
        "north": str(tmp_path / "a.csv"),
        "south": "postgresql://reader:S3cret@db.example.org/register?p=S3cret",
        "east": "postgresql://reader:not/S3cret@db.example.org/register",
        "west": "Driver={X};Server=db.example.org;PWD=S3cret",
        "centre": "jdbc:oracle:thin:reader/S3cret@//db.example.org/register",
    }
    with Federation(nodes, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up, at="north")
        with pytest.raises(RunsFailed):
            federation.run(add_up, at="west")
    entry = TaskHistory(file).list_entries()[0]
    assert entry.data["south"]["default"].name == "postgresql://db.example.org/register"
    assert entry.data["south"]["default"].hash == ""
    assert entry.call is None
    assert b"S3cret" not in file.read_bytes()


def test_the_hash_of_a_file_is_cached_until_its_status_changes(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(_file_hashes, "SETTLED_NS", -(10**15))
    data = tmp_path / "a.csv"
    data.write_text("x\n1\n")
    members = [Member("north", {"default": Database("default", str(data))})]
    hashed: list[Path] = []
    monkeypatch.setattr(
        _fingerprints, "hash_file", lambda path, status: (hashed.append(path), hash_file(path, status))[1]
    )

    def fingerprint() -> str:
        return DataFingerprints(members, TaskHistory(file), tmp_path / "none").read()["north"]["default"].hash

    first = fingerprint()
    assert fingerprint() == first
    assert hashed == [data], "the file was read once"
    status = data.stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    data.write_text("x\n2\n")
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert fingerprint() != first, "size, inode and time of modification are the same"
    data.write_text("x\n1\n")
    assert fingerprint() == first


def test_the_hash_of_a_new_file_is_not_cached(file: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    members = [Member("north", {"default": Database("default", str(tmp_path / "a.csv"))})]
    DataFingerprints(members, TaskHistory(file), tmp_path / "none").read()
    assert not file.exists(), "two changes within a tick of the clock have the same time"


def read_fingerprint(database: Database, folder: Path) -> str:
    history = TaskHistory(folder / "none.sqlite3")
    return DataFingerprints([Member("a", {"x": database})], history, folder / "none").read()["a"]["x"].hash


def test_the_settings_of_a_database_belong_to_its_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1,5\n")
    uri = str(tmp_path / "a.csv")
    databases = [
        Database("x", uri), Database("x", uri, "csv"), Database("x", uri, "csv", {"DECIMAL": ","}),
        Database("x", uri, "csv", {"THOUSANDS": ","}),
    ]  # fmt: skip
    assert len({read_fingerprint(database, tmp_path) for database in databases}) == 4


def test_changes_in_the_journal_of_an_open_database_change_its_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        first = read_fingerprint(Database("x", f"sqlite:///{path}"), tmp_path)
        content = path.read_bytes()
        writer.executescript("UPDATE t SET x = 2")
        assert path.read_bytes() == content
        assert read_fingerprint(Database("x", f"sqlite:///{path}"), tmp_path) != first


def test_a_folder_with_a_link_to_another_folder_has_unknown_content(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x\n1\n")
    (tmp_path / "other").mkdir()
    assert read_fingerprint(Database("x", str(tmp_path / "data")), tmp_path)
    (tmp_path / "data" / "link").symlink_to(tmp_path / "other")
    assert read_fingerprint(Database("x", str(tmp_path / "data")), tmp_path) == ""


def test_a_history_of_the_first_version_is_upgraded(file: Path) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.executescript(
            "DROP TABLE file_hashes; PRAGMA user_version = 1; CREATE TABLE files (path TEXT PRIMARY KEY, size INTEGER, "
            "modified_ns INTEGER, inode INTEGER, hash TEXT)"
        )
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    assert [entry.number for entry in TaskHistory(file).list_entries()] == [1, 2]
    with contextlib.closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM file_hashes").fetchone() == (0,)


def test_failures_and_killed_tasks_are_recorded(file: Path) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        with pytest.raises(RunsFailed):
            federation.run(add_up, factor=-1.0)
        task = federation.client().task.create(
            organizations=[2, 3], input={"method": "history_sum", "kwargs": {"factor": 1.0}}, name="mine"
        )
    failed, created = TaskHistory(file).list_entries()
    assert (failed.status, failed.contributors) == ("crashed", [])
    assert "ValueError" in str(failed.missing[2])
    stored = read(file, 1)
    assert stored.failure(stored.runs[0]).exit_code == 40  # type: ignore[union-attr]
    assert (created.number, created.method) == (2, "history_sum")
    assert created.status in ("completed", "killed by user")
    assert task["id"] == 2


def damage(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"SQLite format 3\x00" + b"damaged" * 1000)


def make_folder_a_file(file: Path) -> None:
    file.parent.write_text("not a folder")


def use_other_database(file: Path) -> None:
    file.parent.mkdir()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()


def write_with_newer_version(file: Path) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


@pytest.mark.parametrize("prepare", [damage, make_folder_a_file, use_other_database, write_with_newer_version])
def test_a_history_that_cannot_be_used_is_reported_once_and_left_alone(file: Path, prepare, capfd) -> None:
    prepare(file)
    before = file.read_bytes() if file.parent.is_dir() else b""
    capfd.readouterr()
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        assert federation.run(add_up)[0] == {"sum": 45.0}
        assert federation.ask(total) == 235.0
    messages = capfd.readouterr().err.splitlines()
    assert len(messages) == 1
    assert messages[0].startswith("note: ")
    assert messages[0].endswith("; tasks are not recorded")
    assert (file.read_bytes() if file.parent.is_dir() else b"") == before


def test_a_history_that_is_damaged_while_a_task_runs_is_reported_once(file: Path, capfd) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
        file.write_bytes(b"damaged" * 1000)
        assert federation.run(add_up)[0] == {"sum": 45.0}
        assert federation.run(add_up)[0] == {"sum": 45.0}
    assert capfd.readouterr().err.count("tasks are not recorded") == 1


WRITER = """
import sys
import pandas as pd
from algotools import Federation, rpc

@rpc
def count(data: pd.DataFrame, number: int) -> int:
    return len(data)

with Federation([pd.DataFrame({"x": range(5)})], algorithm=[count], history=sys.argv[1]) as federation:
    for number in range(int(sys.argv[2])):
        federation.run(count, number=number)
        print(number, flush=True)
"""


def test_processes_that_write_at_once_and_are_killed_lose_no_finished_task(file: Path, tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    command = [sys.executable, str(script), str(file)]
    finished = 0
    with contextlib.ExitStack() as stack:

        def start(number: str) -> Any:
            process = subprocess.Popen([*command, number], stdout=subprocess.PIPE, text=True)
            return stack.enter_context(process)

        complete, killed = [start("15"), start("15")], [start("10000"), start("10000")]
        for process in killed:
            finished += len([process.stdout.readline() for _ in range(6)])
            process.send_signal(signal.SIGKILL)
        for process in [*killed, *complete]:
            finished += len(process.stdout.read().splitlines())
        assert [process.wait(LIMIT) for process in complete] == [0, 0]
    entries = TaskHistory(file).list_entries()
    completed = [entry for entry in entries if entry.status == "completed"]
    assert finished <= len(completed) <= finished + len(killed)
    assert all(entry.status in ("completed", "interrupted") for entry in entries)
    assert len(entries) - len(completed) <= len(killed)
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up)
    assert TaskHistory(file).list_entries()[-1].number == len(entries) + 1


def test_large_results_are_left_out_and_old_results_are_removed(file: Path, monkeypatch) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.run(add_up, note="first")
        monkeypatch.setattr(history, "LARGEST_RECORD", 10)
        federation.run(add_up, note="large")
        monkeypatch.setattr(history, "LARGEST_RECORD", 1 << 20)
        monkeypatch.setattr(history, "LARGEST_TOTAL", 1)
        federation.run(add_up, note="last")
        first, large, last = TaskHistory(file).list_entries()
        assert "removed" in first.note
        assert "larger than" in large.note
        assert last.note == ""
        assert TaskHistory(file).read_task(first) is None
        assert read(file, 3).answer(read(file, 3).runs[0]) == {"sum": 45.0}
        monkeypatch.setattr(history, "MOST_TASKS", 2)
        federation.run(add_up, note="newest")
    assert [entry.number for entry in TaskHistory(file).list_entries()] == [3, 4]


def test_a_warning_names_the_nodes_if_others_contributed_to_the_same_question(file: Path) -> None:
    with Federation(NODES, algorithm=FUNCTIONS, history=file) as federation:
        federation.ask(total)
        match = r"in task 1 of the history: north, south; now north\. "
        with pytest.warns(ContributorsChanged, match=match) as recorded:
            federation.run(total, at="north", arguments={})
        assert [warning.filename for warning in recorded] == [__file__]
        federation.ask(total, factor=2.0)  # another question
        federation.ask(total_of_some)
    broken = Federation(NODES, algorithm=FUNCTIONS, history=file, faults={2: Wrong(ValueError())})
    match = r"in task 4 of the history: north, south; now south\. "
    with broken, pytest.warns(RunsIncomplete), pytest.warns(ContributorsChanged, match=match):
        assert broken.ask(total_of_some) == 190.0


def test_unrelated_federations_are_not_compared(file: Path, tmp_path: Path, recwarn) -> None:
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for path in paths:
        path.write_text("x\n" + "1\n2\n3\n4\n5\n" * 4)
    first, second, third = map(str, paths)

    def run(nodes: Any) -> list[str]:
        recwarn.clear()
        with Federation(nodes, algorithm=FUNCTIONS, history=file) as federation:
            federation.run(add_up)
        return [str(item.message) for item in recwarn if item.category is ContributorsChanged]

    assert run({"north": first, "south": second}) == []
    assert run([first]) == []
    assert run([second, third]) == []
    (text,) = run({"north": first})
    assert "in task 1 of the history: north, south; now north." in text


def test_a_federation_of_a_projects_file_records_in_the_project(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n2\n3\n4\n")
    (tmp_path / "federation.yaml").write_text("organizations: [{name: north, databases: {default: a.csv}}]\n")
    file = tmp_path / ".algotools" / "history.sqlite3"

    def run(**options) -> None:
        with Federation.from_file(tmp_path / "federation.yaml", algorithm=FUNCTIONS, **options) as federation:
            federation.run(add_up)

    run(history=None)
    monkeypatch.setenv("ALGOTOOLS_HISTORY", "off")
    run()
    assert not file.exists()
    monkeypatch.delenv("ALGOTOOLS_HISTORY")
    run()
    run(history=tmp_path / "elsewhere")
    assert [entry.data["north"]["default"].kind for entry in TaskHistory(file).list_entries()] == ["file"]
    assert len(TaskHistory(tmp_path / "elsewhere").list_entries()) == 1
    monkeypatch.setenv("ALGOTOOLS_HISTORY", "of")
    with pytest.raises(FederationError, match="must be on or off, not 'of'"):
        run()


def test_an_entry_of_a_later_version_with_more_fields_is_readable() -> None:
    entry = HistoryEntry(
        started="2026-01-01T00:00:00", method="m", question="q", conditions="c", organizations={2: "north"},
        recipients=[2], databases=[], contract="v4", runner="inline", versions={}, data={},
    )  # fmt: skip
    content = {**msgspec.to_builtins(entry, str_keys=True), "new_field": 1}
    assert msgspec.json.decode(msgspec.json.encode(content), type=HistoryEntry) == entry
