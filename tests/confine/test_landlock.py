"""Landlock itself, on this machine's kernel; and what is made of kernels that have less of it, or none."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.confine import landlock

CHILD = """
import json, os, sys
from algotools.confine import kernel, landlock

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"

root = sys.argv[1]
rules = [landlock.Rule(root + path, rights, follow) for path, rights, follow in json.loads(sys.argv[2])]
made = landlock.ruleset(rules)
kernel.no_new_privileges()
landlock.restrict(made)
print(json.dumps({
    "read open": attempt(open, root + "/open/file"),
    "list open": attempt(os.listdir, root + "/open"),
    "write open": attempt(open, root + "/open/file", "r+"),
    "read closed": attempt(open, root + "/closed/file"),
    "list closed": attempt(os.listdir, root + "/closed"),
    "truncate closed": attempt(os.truncate, root + "/closed/file", 0),
    "through a link": attempt(open, root + "/own/link"),
    "make": attempt(open, root + "/own/made", "w"),
    "replace": attempt(os.replace, root + "/own/made", root + "/own/replaced"),
    "remove": attempt(os.remove, root + "/own/replaced"),
    "carry off": attempt(os.rename, root + "/closed/file", root + "/own/taken"),
    "stop the parent": attempt(os.kill, os.getppid(), 0),
}))
"""

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")


def confined(root: Path, rules: list[tuple[str, int, bool]]) -> dict[str, str]:
    """What a process can do under some rules."""
    for name in ("open", "closed", "own"):
        (root / name).mkdir()
        (root / name / "file").write_text("text")
    (root / "own" / "link").symlink_to(root / "closed" / "file")
    (root / "link").symlink_to(root / "open")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), json.dumps(rules)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


READ = landlock.READ_FILE | landlock.READ_DIR


@needs_landlock
def test_what_no_rule_names_is_closed(tmp_path: Path) -> None:
    found = confined(tmp_path, [("/open", READ, False), ("/own", landlock.EVERY, False), ("/not there", READ, False)])
    abi = landlock.version()
    assert found == {
        "read open": "done",
        "list open": "done",
        "write open": "PermissionError",
        "read closed": "PermissionError",
        "list closed": "PermissionError",
        "truncate closed": "PermissionError" if abi >= 3 else "done",
        "through a link": "PermissionError",
        "make": "done",
        "replace": "done",
        "remove": "done",
        "carry off": found["carry off"],  # EXDEV or EACCES, as the kernel likes
        "stop the parent": "PermissionError" if abi >= 6 else "done",
    }
    assert found["carry off"] in {"PermissionError", "OSError"}


@needs_landlock
def test_a_rule_for_a_file_holds_for_that_file_and_takes_no_rights_of_folders(tmp_path: Path) -> None:
    found = confined(tmp_path, [("/open/file", landlock.EVERY, False)])
    assert (found["read open"], found["write open"], found["list open"]) == ("done", "done", "PermissionError")


@needs_landlock
@pytest.mark.parametrize(("follow", "outcome"), [(True, "done"), (False, "PermissionError")])
def test_a_link_stands_for_its_target_only_where_a_rule_says_so(tmp_path: Path, follow: bool, outcome: str) -> None:
    assert confined(tmp_path, [("/link", READ, follow)])["read open"] == outcome


@pytest.mark.parametrize(
    ("abi", "last"), [(0, -1), (1, 12), (2, 13), (3, 14), (4, 14), (5, 15), (6, 15), (7, 15), (99, 15)]
)
def test_each_version_is_asked_for_the_rights_that_it_knows(abi: int, last: int) -> None:
    assert landlock.handled(abi) == (1 << (last + 1)) - 1


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_a_kernel_or_an_engine_without_it_is_no_error(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(landlock, "system_call", refuse)
    assert landlock.ruleset([landlock.Rule("/", READ)]) is None


def test_any_other_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(landlock, "system_call", refuse)
    with pytest.raises(OSError, match="no memory"):
        landlock.ruleset([])
