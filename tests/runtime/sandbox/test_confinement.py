"""The request for a confinement, its effect without a container, and its absence without a request."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.errors import ConfinementError
from algotools.runtime import run, sandbox
from algotools.runtime.logs import read_failure
from algotools.runtime.sandbox import Confinement
from algotools.task import Task, is_image_variable

from ...conftest import ALGORITHMS, ManualNode

APPLY = """
import errno, json, os, sys
from pathlib import Path
from algotools.runtime import sandbox
from algotools.runtime.sandbox import _kernel, _rules
from algotools.task import Task

def refuse(*_):
    raise OSError(int(sys.argv[2]), "refused")

_kernel.system_call = refuse
folder = Path(sys.argv[1])
task = Task(method="f", input_file=folder / "input", output_file=folder / "output")
before = os.getuid()
sandbox.create_confinement("65534:65534").apply(task)
print(json.dumps({
    "was_root": before == 0, "uid": os.getuid(), "groups": os.getgroups(), "home": os.environ["HOME"],
    "temporary": os.environ["TMPDIR"], "own": os.listdir("/proc/self/fd") != [],
}))
"""


def apply_without_landlock(tmp_path: Path, code: int) -> subprocess.CompletedProcess[str]:
    """Confine a process on a kernel that refuses Landlock."""
    return subprocess.run(
        [sys.executable, "-c", APPLY, str(tmp_path), str(code)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": "/not there"},
    )


@pytest.mark.parametrize("code", [38, 95, 1])
def test_without_landlock_a_line_is_logged_and_the_user_is_still_changed(tmp_path: Path, code: int) -> None:
    process = apply_without_landlock(tmp_path, code)
    assert process.stderr.startswith("info > this node's kernel or container engine has no Landlock")
    assert "\ninfo > confinement is on: user " in process.stderr
    assert "; not confined on this node: rules for files (Landlock), " in process.stderr
    assert process.stderr.count("\n") == 2
    report = json.loads(process.stdout)
    if report.pop("was_root"):
        assert (report["uid"], report["groups"]) == (65534, [])
    assert report["home"] == report["temporary"] == "/tmp"
    assert report["own"]


def test_an_unexpected_refusal_of_the_kernel_fails_the_run(tmp_path: Path) -> None:
    process = apply_without_landlock(tmp_path, 12)
    assert process.returncode == 1
    assert "ConfinementError: the algorithm's code cannot be confined" in process.stderr


@pytest.mark.parametrize("user", ["nobody of that name", "", ":", "1:", "1:2:3", "-1:5", "99", "1:99999999999", "²:1"])
def test_an_unknown_user_is_refused(user: str) -> None:
    with pytest.raises(ConfinementError, match="a user that the image does not have"):
        sandbox.create_confinement(user)


@pytest.mark.parametrize("user", ["root", "0:0", "0:1", "1:0", "00:5"])
def test_root_is_refused_as_user(user: str) -> None:
    with pytest.raises(ConfinementError, match="not root"):
        sandbox.create_confinement(user)


def test_a_user_is_given_by_name_or_number() -> None:
    assert sandbox.create_confinement("123:456", "/app") == Confinement(123, 456, ("/app",))
    by_name = sandbox.create_confinement("nobody")
    assert by_name.uid > 0


def test_only_the_image_can_set_the_variable() -> None:
    assert run.WORKER_USER == sandbox.VARIABLE
    assert is_image_variable(sandbox.VARIABLE)


def test_an_unknown_user_fails_the_run(by_hand: ManualNode, misbehaving: Path) -> None:
    environ = by_hand.environment(misbehaving, b'{"method": "loaded_modules"}')
    outcome = by_hand.run({**environ, sandbox.VARIABLE: "nobody of that name"})
    failure = read_failure(outcome.log)
    assert failure is not None
    assert (outcome.code, failure.exit_code) == (48, 48)


def test_without_the_variable_the_sandbox_is_not_imported(by_hand: ManualNode) -> None:
    import_log = by_hand.folder / "imported"
    environ = by_hand.environment(
        ALGORITHMS / "prying", b'{"method": "identity"}', variables={"ALGOTOOLS_DEBUG": str(import_log)}
    )
    outcome = by_hand.run({**environ, "PYTHONPROFILEIMPORTTIME": "1"})
    assert "algotools.runtime.dispatch" in outcome.log
    assert "ctypes" not in outcome.log
    assert "algotools.runtime.sandbox" not in outcome.log
    report = json.loads(outcome.output)
    assert report["uids"] == list(os.getresuid())
    assert report["no_new_privileges"] == "0"


@pytest.mark.parametrize("method", ["flood", "forge"])
def test_writing_into_the_channel_fails_the_run(by_hand: ManualNode, method: str) -> None:
    """Without a confinement, even a correct request for a database is refused."""
    arguments = {"labels": ["default"]} if method == "forge" else {}
    posted = json.dumps({"method": method, "kwargs": arguments}).encode()
    outcome = by_hand.run(by_hand.environment(ALGORITHMS / "prying", posted, variables={"ALGOTOOLS_TIMEOUT": "30"}))
    assert outcome.code == 43, outcome.log
    assert "wrote into the channel" in outcome.log


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A task with a temporary folder that only the folder's owner can write."""
    folder = tmp_path / "lent"
    folder.mkdir(mode=0o755)
    return Task(method="f", input_file=tmp_path, output_file=tmp_path, temporary_folder=folder)


def mode(task: Task) -> int:
    assert task.temporary_folder is not None
    return stat.S_IMODE(task.temporary_folder.stat().st_mode)


def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_the_jobs_folder_is_opened_to_every_user(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    as_root(monkeypatch)
    lines: list[str] = []
    Confinement(60001, 60002).prepare(task, lines.append)
    assert (mode(task), lines) == (0o1777, [])


@pytest.mark.parametrize(("access", "bits"), [("user", 0o755), ("group", 0o775), ("nothing", 0o777)])
def test_a_folder_that_the_worker_can_write_is_not_changed(
    task: Task, monkeypatch: pytest.MonkeyPatch, access: str, bits: int
) -> None:
    as_root(monkeypatch)
    assert task.temporary_folder is not None
    task.temporary_folder.chmod(bits)
    status = task.temporary_folder.stat()
    uid, gid = status.st_uid if access == "user" else 60001, status.st_gid if access == "group" else 60002
    Confinement(uid, gid).prepare(task, pytest.fail)
    assert mode(task) == bits


def test_a_folder_that_cannot_be_changed_is_logged(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    as_root(monkeypatch)
    monkeypatch.setattr(os, "fchmod", refuse)
    lines: list[str] = []
    Confinement(60001, 60002).prepare(task, lines.append)
    assert lines == ["the job's temporary folder cannot be opened to the algorithm's code (Operation not permitted)"]


def test_a_missing_folder_is_ignored(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    as_root(monkeypatch)
    assert task.temporary_folder is not None
    task.temporary_folder.rmdir()
    Confinement(60001, 60002).prepare(task, pytest.fail)
