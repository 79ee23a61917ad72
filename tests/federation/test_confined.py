"""``--confined``: a run of the process runner has only the rights that a run at one node needs."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from algotools import Federation, RunsFailed, rpc
from algotools.errors import FederationError
from algotools.runtime.sandbox import _kernel
from algotools.runtime.sandbox.local import HINT

from ..conftest import ALGORITHMS, algotools

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the sandbox")

REACHING = ALGORITHMS / "reaching"
TABLE = pd.DataFrame({"age": [1.0, 2.0]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nodes")
    for node in ("one", "two"):
        (folder / node).mkdir()
        TABLE.to_csv(folder / node / "data.csv", index=False)
    return folder


@pytest.fixture(scope="module", params=["v3", "v4", "v5"])
def federation(folder: Path, request: pytest.FixtureRequest) -> Iterator[Federation]:
    nodes = [folder / node / "data.csv" for node in ("one", "two")]
    with Federation(
        nodes, algorithm=REACHING, runner="process", contract=request.param, confined=True, memory="2g"
    ) as federation:
        yield federation


def test_a_master_and_its_rpcs_run(federation: Federation) -> None:
    assert federation.ask("add_all", column_name="age") == 6.0


def test_a_run_has_no_capabilities(federation: Federation) -> None:
    rights = federation.run("list_rights")[0]
    assert {rights[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd")} == {"0" * 16}
    assert (rights["NoNewPrivs"], rights["Seccomp"]) == ("1", "2")


def test_a_run_reads_its_project_and_writes_temporary_files(federation: Federation) -> None:
    assert federation.run("read_project")[0] > 0
    assert federation.run("write_temporary") == [8, 8]


def test_the_log_reports_the_sandbox(folder: Path) -> None:
    lines: list[str] = []
    with Federation(
        [folder / "one" / "data.csv"],
        algorithm=REACHING,
        runner="process",
        confined=True,
        listen=lambda _, line: lines.append(line),
    ) as federation:
        federation.run("read_project")
    assert any("the algorithm's code runs in a sandbox" in line for line in lines)


@pytest.mark.parametrize("method", ["write_project", "read_file", "write_file", "connect"])
def test_a_denied_operation_names_the_sandbox(federation: Federation, tmp_path: Path, method: str) -> None:
    private = tmp_path / "private"
    private.write_text("secret", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = {"read_file": {"path": str(private)}, "write_file": {"path": str(tmp_path / "new")}}
        arguments["connect"] = {"port": server.getsockname()[1]}
        with pytest.raises(RunsFailed) as raised:
            federation.run(method, arguments=arguments.get(method, {}))
    failure = next(iter(raised.value.failures.values()))
    assert failure.exit_code == 40
    assert HINT in failure.message
    assert not (REACHING / "new").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(_kernel.read_version() < _kernel.NETWORK_VERSION, reason="this kernel has no port rules")
def test_a_master_reaches_only_the_federation(federation: Federation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(RunsFailed) as raised:
        federation.ask("connect_as_master", port=server.getsockname()[1])
    assert HINT in next(iter(raised.value.failures.values())).message


@pytest.mark.skipif(not _kernel.read_version(), reason="this kernel has no file rules")
def test_a_run_does_not_read_the_databases_of_another_node(folder: Path) -> None:
    one, two = (folder / node / "data.csv" for node in ("one", "two"))
    with Federation([one, two], algorithm=REACHING, runner="process", confined=True) as federation:
        assert federation.run("read_file", at=2, path=str(one)) == [len(one.read_bytes())]
        with pytest.raises(RunsFailed):
            federation.run("read_file", at=2, path=str(two))


@pytest.mark.parametrize("kind", ["parquet", "xlsx", "sqlite", "duckdb"])
def test_each_kind_of_file_can_be_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"data.{kind}"
    uri: object = path
    if kind == "parquet":
        TABLE.to_parquet(path)
    elif kind == "xlsx":
        TABLE.to_excel(path, index=False)
    elif kind == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            TABLE.to_sql("data", connection, index=False)
        uri = f"sqlite:///{path}"
    else:
        with duckdb.connect(str(path)) as connection:
            connection.execute("CREATE TABLE data AS SELECT 1.0 AS age UNION ALL SELECT 2.0")
        uri = f"duckdb:///{path}"
    with Federation([uri], algorithm=REACHING, runner="process", confined=True) as federation:
        query = {"query": "SELECT * FROM data"} if kind in ("sqlite", "duckdb") else {}
        assert federation.run("add", databases=[{"label": "default", **query}], column_name="age") == [3.0]


def test_functions_of_this_process_and_frames_in_memory_can_be_used() -> None:
    @rpc
    def count(data: pd.DataFrame) -> int:
        return len(data)

    with Federation([TABLE], algorithm=[count], runner="process", confined=True) as federation:
        assert federation.run(count) == [2]


@pytest.mark.parametrize("runner", ["inline", "container", "as-node"])
def test_another_runner_refuses_the_sandbox(folder: Path, runner: str) -> None:
    with pytest.raises(FederationError, match="--confined"):
        Federation([folder / "one" / "data.csv"], algorithm=REACHING, runner=runner, confined=True)  # type: ignore[arg-type]  # parametrized


def test_the_command_line_has_the_option(folder: Path) -> None:
    data = ("--data", str(folder / "one" / "data.csv"))
    completed = algotools("run", "add", "column_name=age", "--algorithm", str(REACHING), *data, "--confined", "--json")
    assert completed.returncode == 0, completed.stderr
    assert "3.0" in completed.stdout
    assert "runs in a sandbox" in completed.stderr


def test_the_callers_process_does_not_import_the_algorithm(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "counts_days.py"
    file.write_text(
        "from typing import Annotated\n\n"
        "import numpy as np\nimport pandas as pd\n\n"
        "from algotools import NodeVariable, master, rpc\n\n\n"
        "@rpc\n"
        "def count(data: pd.DataFrame, days: np.ndarray, n: Annotated[int, NodeVariable('MINIMUM_ROWS')] = 1) -> int:\n"
        "    assert days.dtype == 'datetime64[D]'\n"
        "    return len(data) + len(days)\n\n\n"
        "@master\n"
        "def total() -> int:\n"
        "    return 1 if count else 0\n",
        encoding="utf-8",
    )
    days = np.array(["2024-02-29", "2024-03-01"], dtype="datetime64[D]")
    nodes = [folder / "one" / "data.csv"]
    with Federation(nodes, algorithm=file, runner="process", confined=True, policy="off") as federation:
        assert federation.run("count", days=days) == [4]
        assert federation.find_misspelt_variables(["MINIMUM_ROW"], "total") == {"MINIMUM_ROW": "MINIMUM_ROWS"}
        assert federation.find_misspelt_variables(["MINIMUM_ROWS", "OTHER"], "count") == {}
    assert "counts_days" not in sys.modules
