"""Who asks for a confinement, what it does without a container, and that nothing changes where nobody asks."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from algotools import confine, container
from algotools.confine import Confinement
from algotools.contract import environment
from algotools.errors import ConfinementError
from algotools.report import read_failure
from algotools.task import Task

from ..conftest import ALGORITHMS, ByHand

APPLIED = """
import errno, json, os, sys
from pathlib import Path
from algotools import confine
from algotools.confine import landlock, places
from algotools.task import Task

def refuse(*_):
    raise OSError(int(sys.argv[2]), "refused")

landlock.system_call = refuse
folder = Path(sys.argv[1])
task = Task(method="f", input_file=folder / "input", output_file=folder / "output")
before = os.getuid()
confine.asked("65534:65534").apply(task)
print(json.dumps({
    "was root": before == 0, "uid": os.getuid(), "groups": os.getgroups(), "home": os.environ["HOME"],
    "temporary": os.environ["TMPDIR"], "own": os.listdir("/proc/self/fd") != [],
}))
"""


def applied(tmp_path: Path, code: int) -> subprocess.CompletedProcess[str]:
    """Confine a process on a kernel that refuses Landlock."""
    return subprocess.run(
        [sys.executable, "-c", APPLIED, str(tmp_path), str(code)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": "/not there"},
    )


@pytest.mark.parametrize("code", [38, 95, 1])
def test_without_landlock_a_line_says_so_and_the_user_is_changed_all_the_same(tmp_path: Path, code: int) -> None:
    done = applied(tmp_path, code)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("info > this node's kernel or container engine has no Landlock")
    told = json.loads(done.stdout)
    if told.pop("was root"):
        assert (told["uid"], told["groups"]) == (65534, [])
    assert told["home"] == told["temporary"] == "/tmp"
    assert told["own"]


def test_what_the_kernel_must_not_refuse_ends_the_run(tmp_path: Path) -> None:
    done = applied(tmp_path, 12)
    assert done.returncode == 1
    assert "ConfinementError: the algorithm's code cannot be confined" in done.stderr


@pytest.mark.parametrize("user", ["nobody of that name", "", ":", "1:", "1:2:3", "-1:5", "99", "1:99999999999", "²:1"])
def test_a_user_that_is_not_there(user: str) -> None:
    with pytest.raises(ConfinementError, match="a user that the image does not have"):
        confine.asked(user)


@pytest.mark.parametrize("user", ["root", "0:0", "0:1", "1:0", "00:5"])
def test_a_user_that_would_be_no_confinement(user: str) -> None:
    with pytest.raises(ConfinementError, match="not root"):
        confine.asked(user)


def test_users_by_name_and_by_number() -> None:
    assert confine.asked("123:456", "/app") == Confinement(123, 456, ("/app",))
    nobody = confine.asked("nobody")
    assert nobody.uid > 0


def test_the_variable_is_the_images_and_no_node_can_set_it() -> None:
    assert container.WORKER_USER == confine.VARIABLE
    assert environment.from_image(confine.VARIABLE)


def test_a_user_that_is_not_there_ends_the_run_by_name(by_hand: ByHand, misbehaving: Path) -> None:
    given = by_hand.environment(misbehaving, b'{"method": "loaded_modules"}')
    ended = by_hand.run({**given, confine.VARIABLE: "nobody of that name"})
    failure = read_failure(ended.log)
    assert failure is not None
    assert (ended.code, failure.exit_code) == (48, 48)


def test_nothing_of_it_is_loaded_where_nobody_asks(by_hand: ByHand) -> None:
    imported = by_hand.folder / "imported"
    given = by_hand.environment(
        ALGORITHMS / "prying", b'{"method": "who"}', variables={"ALGOTOOLS_DEBUG": str(imported)}
    )
    ended = by_hand.run({**given, "PYTHONPROFILEIMPORTTIME": "1"})
    assert "algotools.dispatch" in ended.log
    assert "ctypes" not in ended.log
    assert "algotools.confine" not in ended.log + imported.read_text()
    told = json.loads(ended.output)
    assert told["uids"] == list(os.getresuid())
    assert told["no_new_privileges"] == "0"


@pytest.mark.parametrize("method", ["flood", "forge"])
def test_the_channel_to_the_supervisor_must_be_left_alone(by_hand: ByHand, method: str) -> None:
    """Where nobody is confined, nobody asks for databases either."""
    arguments = {"labels": ["default"]} if method == "forge" else {}
    posted = json.dumps({"method": method, "kwargs": arguments}).encode()
    ended = by_hand.run(by_hand.environment(ALGORITHMS / "prying", posted, variables={"ALGOTOOLS_TIMEOUT": "30"}))
    assert ended.code == 43, ended.log
    assert "wrote into the channel" in ended.log


@pytest.fixture
def lent(tmp_path: Path) -> Task:
    """A task with a folder that only its owner can write."""
    folder = tmp_path / "lent"
    folder.mkdir(mode=0o755)
    return Task(method="f", input_file=tmp_path, output_file=tmp_path, temporary_folder=folder)


def mode(task: Task) -> int:
    assert task.temporary_folder is not None
    return stat.S_IMODE(task.temporary_folder.stat().st_mode)


def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_the_jobs_folder_is_opened_to_whoever_the_worker_is(lent: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    as_root(monkeypatch)
    said: list[str] = []
    Confinement(60001, 60002).prepare(lent, said.append)
    assert (mode(lent), said) == (0o1777, [])


@pytest.mark.parametrize(("mine", "bits"), [("user", 0o755), ("group", 0o775), ("nothing", 0o777)])
def test_a_folder_that_the_worker_can_write_stays_as_it_is(
    lent: Task, monkeypatch: pytest.MonkeyPatch, mine: str, bits: int
) -> None:
    as_root(monkeypatch)
    assert lent.temporary_folder is not None
    lent.temporary_folder.chmod(bits)
    found = lent.temporary_folder.stat()
    uid, gid = found.st_uid if mine == "user" else 60001, found.st_gid if mine == "group" else 60002
    Confinement(uid, gid).prepare(lent, pytest.fail)
    assert mode(lent) == bits


def test_a_folder_that_cannot_be_opened_is_said_and_no_error(lent: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    as_root(monkeypatch)
    monkeypatch.setattr(os, "fchmod", refuse)
    said: list[str] = []
    Confinement(60001, 60002).prepare(lent, said.append)
    assert said == ["the job's temporary folder cannot be opened to the algorithm's code (Operation not permitted)"]


def test_a_folder_that_is_not_there_is_for_the_function_to_find(lent: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    as_root(monkeypatch)
    assert lent.temporary_folder is not None
    lent.temporary_folder.rmdir()
    Confinement(60001, 60002).prepare(lent, pytest.fail)
