"""A check that is interrupted or killed leaves no process, and shows what it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...conftest import COMMAND, algotools, environment
from ...processes import LIMIT, find_processes, wait_for_family, wait_until_dead
from .conftest import add

SOURCE = "src/small/__init__.py"

START_CHILD = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10**6)", "{tag}"])
"""
"""Statements that start a child, which can be found by its argument. The sandbox of the check allows no file for it."""

ENDLESS = {
    "import": "{write}\nimport time\n\nwhile True:\n    time.sleep(0.1)\n",
    "trial": (
        "from algotools import rpc\n\n\n@rpc\ndef endless() -> float:\n    exec({write!r})\n"
        "    import time\n    while True:\n        time.sleep(0.1)\n"
    ),
    "compiled code": "{write}\nimport ctypes\n\nctypes.PyDLL(None).sleep(10**6)\n",
}
"""Code that never ends. A function of ``PyDLL`` blocks all threads of the interpreter."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without dependencies, so that its import is fast."""
    folder = tmp_path / "small"
    (folder / "src" / "small").mkdir(parents=True)
    entry_point = '[project.entry-points."algotools.algorithms"]\nsmall = "small"\n'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "small"\nversion = "1.0.0"\n{entry_point}')
    (folder / "federation.yaml").write_text("organizations:\n  - name: north\n    databases: {default: data.csv}\n")
    (folder / "data.csv").write_text("x\n1\n")
    return folder


@pytest.fixture
def tag() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def command(endless: str, project: Path, tag: str) -> Iterator[subprocess.Popen[str]]:
    """A check of an algorithm that never finishes."""
    add(project / SOURCE, ENDLESS[endless].format(write=START_CHILD.format(tag=tag)))
    with subprocess.Popen(
        [*COMMAND, "check", str(project)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize(
    ("endless", "sent", "code"),
    [
        ("import", signal.SIGINT, 130),
        ("trial", signal.SIGHUP, -signal.SIGHUP),
        ("compiled code", signal.SIGINT, 130),
        ("compiled code", signal.SIGTERM, -signal.SIGTERM),
        ("compiled code", signal.SIGKILL, -signal.SIGKILL),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the child of a killed process")
def test_a_signal_to_the_check_leaves_no_process(
    command: subprocess.Popen[str], tag: str, sent: signal.Signals, code: int
) -> None:
    pids = wait_for_family(tag)
    command.send_signal(sent)
    _, stderr = command.communicate(timeout=LIMIT)
    wait_until_dead(pids)
    assert command.returncode == code
    assert "Traceback" not in stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the child of a killed process")
def test_the_child_of_a_stopped_check_exits_at_its_own_limit(project: Path, tag: str) -> None:
    add(project / SOURCE, ENDLESS["compiled code"].format(write=START_CHILD.format(tag=tag)))
    command = [*COMMAND, "check", str(project), "--timeout", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pids = wait_for_family(tag)
        os.kill(process.pid, signal.SIGSTOP)
        wait_until_dead(pids[:1])
        os.kill(process.pid, signal.SIGCONT)
        stdout, _ = process.communicate(timeout=LIMIT)
    wait_until_dead(pids)
    assert process.returncode == 67
    assert "the import did not finish within 5 s" in stdout


def test_a_function_that_does_not_finish_is_a_finding_and_the_wait_is_shown(project: Path, tag: str) -> None:
    add(project / SOURCE, ENDLESS["trial"].format(write=START_CHILD.format(tag=tag)))
    completed = algotools("check", str(project), "--timeout", "6")
    wait_until_dead(find_processes(tag))
    assert completed.returncode == 67
    assert "never-finishes" in completed.stdout
    assert "endless: in a trial call on north's data, it did not finish within 6 s" in completed.stdout
    assert "waiting for a trial call of endless on north's data: 5 s, limit 6 s" in completed.stderr


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "soon"])
def test_a_limit_that_is_not_a_positive_number_is_a_usage_error(limit: str) -> None:
    completed = algotools("check", "--timeout", limit)
    assert completed.returncode == 2
    assert "is not a positive number of seconds" in completed.stderr


LEAVE_GROUP = """
import os, sys
if os.fork() == 0:
    try:
        os.setsid()
    except PermissionError:
        pass
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(100)", "{tag}"])
"""


def test_a_process_that_leaves_the_group_is_killed_and_does_not_delay_the_check(project: Path, tag: str) -> None:
    add(
        project / SOURCE,
        f"{ENDLESS['trial'].partition('    exec')[0]}    return 1.0\n{LEAVE_GROUP.format(tag=tag)}",
    )
    completed = algotools("check", str(project))
    wait_until_dead(find_processes(tag))
    assert "no-dockerfile" in completed.stdout, "the check was completed"
    assert "1 finding " in completed.stdout
