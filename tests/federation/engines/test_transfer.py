"""Runs on an engine that shares no files with the federation: databases and code travel, and results are the same."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from algotools import Federation, RunsFailed
from algotools.federation.engines import _file_receiver

from ...processes import wait_until
from .elsewhere import make_pool, read_transfers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills processes on behalf of another")

PROJECT = {
    "pyproject.toml": """
[project]
name = "sums"
version = "1"
[project.entry-points."algotools.algorithms"]
sums = "sums"
""",
    "helper.py": "FACTOR = 1\n",
    "sums/codes.txt": "10",
    "sums/__init__.py": """
import os, tempfile, time
from pathlib import Path
import pandas as pd
from algotools import AlgorithmClient, Database, master, rpc
from helper import FACTOR

@rpc
def total(data: pd.DataFrame) -> float:
    return float(data["a"].sum()) * FACTOR

@rpc
def read_codes() -> int:
    return int((Path(__file__).parent / "codes.txt").read_text())

@rpc
def count_foreign_paths(data: Database, parent: str) -> int:
    paths = [data.uri, __file__, tempfile.gettempdir(), parent]
    return sum(not path.startswith(parent) for path in paths)

@rpc
def fail(data: pd.DataFrame) -> int:
    return int(data["a"].iloc[0]) // 0

@rpc
def wait(data: Database, seconds: float) -> int:
    time.sleep(seconds)
    return 1

@master
def sum_of_totals(client: AlgorithmClient) -> float:
    return sum(client.run(total))
""",
}


class Elsewhere(NamedTuple):
    """An engine on another machine."""

    pool: ProcessPoolExecutor
    folder: Path
    """Its folder for temporary files."""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    folder = tmp_path / "elsewhere"
    with make_pool(folder) as pool:
        yield Elsewhere(pool, folder)
        wait_until(lambda: not os.listdir(folder))  # the federations of the test are closed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "project"


@pytest.fixture
def nodes(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "node 1.csv", tmp_path / "nöde 2.csv"]
    for number, path in enumerate(paths):
        path.write_text(f"a,b\n{number},x\n10,y\n", encoding="utf-8")
    return paths


def test_databases_and_code_travel_and_are_removed_at_the_end(elsewhere, project, nodes):
    with Federation(nodes, algorithm=project, runner=elsewhere.pool) as federation:
        assert federation.run("total") == [10.0, 11.0]
        assert federation.ask("sum_of_totals") == 21.0
        assert federation.run("read_codes") == [10, 10]
        assert federation.run("count_foreign_paths", parent=str(elsewhere.folder)) == [0, 0]
        assert os.listdir(elsewhere.folder)
    wait_until(lambda: not os.listdir(elsewhere.folder))


def test_each_file_travels_once_per_process(elsewhere, project, nodes):
    with Federation([nodes[0]] * 8, algorithm=project, runner=elsewhere.pool) as federation:
        for _ in range(3):
            assert federation.run("total") == [10.0] * 8
    transfers = read_transfers(elsewhere.folder)
    assert len(transfers) == len(set(transfers)) <= 2


def test_a_changed_database_travels_again(elsewhere, project, nodes):
    with Federation(nodes[:1], algorithm=project, runner=elsewhere.pool) as federation:
        assert federation.run("total") == [10.0]
        nodes[0].write_text("a\n5\n", encoding="utf-8")
        assert federation.run("total") == [5.0]


def test_an_edit_of_the_code_holds_for_the_next_run(elsewhere, project, nodes):
    with Federation(nodes[:1], algorithm=project, runner=elsewhere.pool) as federation:
        assert federation.run("total") == [10.0]
        (project / "helper.py").write_text("FACTOR = 2\n", encoding="utf-8")
        assert federation.run("total") == [20.0]


def make_parquet(folder: Path) -> str:
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.0], "b": ["x", "y", "x"]})
    frame.to_parquet(folder / "table", partition_cols=["b"])
    return str(folder / "table")


def make_excel(folder: Path) -> str:
    pd.DataFrame({"a": [1, 2]}).to_excel(folder / "sheet.xlsx", index=False)
    return str(folder / "sheet.xlsx")


def make_sqlite(folder: Path) -> str:
    with sqlite3.connect(folder / "x y.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")
    connection.close()
    return f"sqlite:///{folder / 'x y.db'}"


def make_sqlite_with_uncommitted_pages(folder: Path) -> str:
    make_sqlite(folder)
    connection = sqlite3.connect(folder / "x y.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("INSERT INTO t VALUES (35)")
    connection.commit()
    _open_connections.append(connection)  # its rows stay in the companion
    return f"sqlite:///{folder / 'x y.db'}"


_open_connections: list[sqlite3.Connection] = []


def make_duckdb(folder: Path) -> str:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(folder / "x.duckdb") as connection:
        connection.execute("CREATE TABLE t AS SELECT 8 AS a")
    return f"duckdb://{folder / 'x.duckdb'}"


@pytest.mark.parametrize(
    ("make", "query", "total"),
    [
        (make_parquet, None, 7.0),
        (make_excel, None, 3.0),
        (make_sqlite, "SELECT * FROM t", 7.0),
        (make_sqlite_with_uncommitted_pages, "SELECT * FROM t", 42.0),
        (make_duckdb, "SELECT * FROM t", 8.0),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_database_that_is_a_file_travels(elsewhere, project, tmp_path, make, query, total):
    uri = make(tmp_path)
    labels = {"label": "default", "query": query} if query else "default"
    with Federation([{"default": uri}], algorithm=project, runner=elsewhere.pool) as federation:
        assert federation.run("total", databases=[labels]) == [total]
    for connection in _open_connections:
        connection.close()
    _open_connections.clear()
    assert len(read_transfers(elsewhere.folder)) == 1


def test_a_failure_has_the_text_and_log_of_runner_process(elsewhere, project, nodes):
    outcomes = []
    for runner in ("process", elsewhere.pool):
        with Federation(nodes, algorithm=project, runner=runner) as federation:
            with pytest.raises(RunsFailed) as caught:
                federation.run("fail")
            runs = federation.tasks()[-1].runs
            outcomes.append((caught.value.message, [(run.status, run.log) for run in runs]))
    assert outcomes[0] == outcomes[1]


def test_a_link_out_of_a_folder_fails_the_run_without_its_name(elsewhere, project, nodes, tmp_path):
    make_parquet(tmp_path)
    (tmp_path / "table" / "b=patient").mkdir()
    (tmp_path / "table" / "b=patient" / "part.parquet").symlink_to(nodes[0])
    with Federation([tmp_path / "table"], algorithm=project, runner=elsewhere.pool) as federation:
        with pytest.raises(RunsFailed, match=r"leads out of the folder.*\[exit code 31\]"):
            federation.run("total")
        assert "patient" not in federation.tasks()[-1].runs[0].log


def test_a_full_disk_fails_the_run_with_one_error(project, nodes, tmp_path):
    def prepare() -> None:
        shutil.disk_usage = lambda path: shutil._ntuple_diskusage(0, 0, 0)  # type: ignore[attr-defined]

    folder = tmp_path / "elsewhere"
    with make_pool(folder, 1, prepare) as pool:
        with Federation(nodes[:1], algorithm=project, runner=pool) as federation:
            with pytest.raises(RunsFailed, match=r"\[exit code 69\]") as caught:
                federation.run("total")
            assert os.strerror(errno.ENOSPC).lower() in str(caught.value)
        wait_until(lambda: not os.listdir(folder))


def test_a_process_that_is_killed_while_it_receives_is_lost_and_leaves_nothing(project, nodes, tmp_path):
    def prepare() -> None:
        _file_receiver._Writer.write = lambda writer, chunk: os.kill(os.getpid(), signal.SIGKILL)

    nodes[0].write_text("a\n" + "1\n" * 5_000_000, encoding="utf-8")
    folder = tmp_path / "elsewhere"
    pool = make_pool(folder, 1, prepare)
    with Federation(nodes[:1], algorithm=project, runner=pool) as federation:
        with pytest.raises(RunsFailed, match=r"\[exit code 44\]"):
            federation.run("total")
        assert len(read_transfers(folder)) == 1
        wait_until(lambda: not os.listdir(folder))
    pool.shutdown()


def test_killing_a_process_of_the_engine_removes_its_files(elsewhere, project, nodes):
    with Federation(nodes, algorithm=project, runner=elsewhere.pool) as federation:
        federation.run("total")
        assert os.listdir(elsewhere.folder)
        for process in elsewhere.pool._processes.values():
            process.kill()
        wait_until(lambda: not os.listdir(elsewhere.folder))
