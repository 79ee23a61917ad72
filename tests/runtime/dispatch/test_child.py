"""The worker's interpreter starts before the supervisor has read the task, and has nothing that its task lacks."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.errors import Stopped
from algotools.runtime.dispatch import child

from ...conftest import CompletedRun, ManualNode
from ...processes import LIMIT, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

ALGORITHM = """
import os
from pathlib import Path

from algotools import rpc


@rpc
def look() -> dict[str, list[str]]:
    initial = Path("/proc/self/environ").read_bytes().split(b"\\0")
    files = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if int(number) > 2
             and os.path.lexists(f"/proc/self/fd/{number}")]
    return {
        "initial": [variable.decode(errors="replace").partition("=")[0] for variable in initial if variable],
        "all": [os.fsencode(f"{name}={value}").decode(errors="backslashreplace") for name, value in os.environ.items()],
        "files": files,
    }
"""


@pytest.fixture
def node(by_hand: ManualNode) -> ManualNode:
    (by_hand.folder / "looking.py").write_text(ALGORITHM)
    return by_hand


def prepare(node: ManualNode, method: str = "look") -> dict[str, str]:
    environment = node.environment(Path("looking"), json.dumps({"method": method}).encode())
    return {**environment, "PYTHONPATH": str(node.folder)}


def read(completed: CompletedRun) -> dict[str, list[str]]:
    assert completed.code == 0, completed.log
    content: dict[str, list[str]] = json.loads(completed.output)
    return content


@pytest.mark.parametrize("label", ["lc", "python", "malloc", "ld", "pythonpath"])
def test_no_label_of_a_database_brings_its_variables_into_the_initial_environment(node: ManualNode, label: str) -> None:
    node.databases = {**node.databases, label: node.databases["default"]}
    environment = prepare(node)
    assert f"{label.upper()}_DATABASE_URI" in environment
    seen = read(node.run(environment))
    hidden = {name for name in environment if name.startswith(f"{label.upper()}_DATABASE")} | {"TOKEN_FILE"}
    assert "PATH" in seen["initial"]
    assert not hidden & set(seen["initial"])
    assert not [text for text in seen["all"] if text.startswith(f"{label.upper()}_DATABASE")]


def test_the_function_has_all_variables_of_the_image_and_the_node(node: ManualNode) -> None:
    variables = {"OMP_NUM_THREADS": "3", "TZ": "Asia/Tokyo", "ODD": os.fsdecode(b"\xff"), "EMPTY": ""}
    seen = read(node.run({**prepare(node), **variables}))
    expected = {"OMP_NUM_THREADS=3", "TZ=Asia/Tokyo", "ODD=\\xff", "EMPTY="}
    assert expected <= set(seen["all"])


def test_the_function_has_no_file_that_the_supervisor_has_inherited(node: ManualNode) -> None:
    with (node.folder / "inherited").open("w") as file:
        outcome = subprocess.run(
            [sys.executable, "-m", "algotools"],
            env=prepare(node), cwd=node.folder, pass_fds=[file.fileno()], check=False, timeout=LIMIT,
        )  # fmt: skip
    assert outcome.returncode == 0
    kinds = [name.partition(":")[0] for name in json.loads((node.folder / "output").read_bytes())["files"]]
    assert sorted(kind for kind in kinds if not kind.startswith("/")) == ["pipe", "pipe", "socket"]
    assert not [name for name in kinds if name.endswith("inherited")]


@pytest.mark.parametrize("can_list", [True, False])
def test_the_inheritable_files_are_found_without_proc(can_list: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: str) -> list[str]:
        raise PermissionError

    if not can_list:
        monkeypatch.setattr(os, "listdir", refuse)
    ends = os.pipe()
    try:
        os.set_inheritable(ends[0], True)
        numbers = set(child._list_inheritable())
    finally:
        for end in ends:
            os.close(end)
    assert ends[0] in numbers
    assert ends[1] not in numbers


@pytest.mark.parametrize("fault", ["input", "method"])
def test_no_worker_is_left_of_a_run_that_fails_early(node: ManualNode, fault: str) -> None:
    environment = prepare(node, "unknown" if fault == "method" else "look")
    if fault == "input":
        (node.folder / "input").unlink()
    assert node.run(environment).code != 0
    mark = os.fsencode(f"PYTHONPATH={node.folder}")
    wait_until(lambda: not _find_processes(mark))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_imports_stops_the_run_with_its_exit_code(node: ManualNode, number: signal.Signals) -> None:
    process = node.start(prepare(node))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: children.read_text().split())
    process.send_signal(number)
    _, log = process.communicate(timeout=LIMIT)
    assert process.returncode == Stopped.exit_code, log
    assert json.loads(log.removeprefix("algotools.failure"))["message"] == f"the run was stopped by {number.name}"


def _find_processes(mark: bytes) -> list[Path]:
    return [folder for folder in Path("/proc").glob("[0-9]*") if mark in _read_variables(folder)]


def _read_variables(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:  # another user's process, or a process that has exited
        return []
