"""Landlock on this machine's kernel, and the adaptation to kernels with an older version or none."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.runtime.sandbox import _kernel

CHILD = """
import json, os, sys
from algotools.runtime.sandbox import _kernel

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"

root = sys.argv[1]
rules = [_kernel.Rule(root + path, rights, follow) for path, rights, follow in json.loads(sys.argv[2])]
ruleset = _kernel.create_ruleset(rules)
_kernel.forbid_new_privileges()
_kernel.restrict_self(ruleset)
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

needs_landlock = pytest.mark.skipif(not _kernel.read_version(), reason="this kernel has no Landlock")


def run_confined(root: Path, rules: list[tuple[str, int, bool]]) -> dict[str, str]:
    """Return the outcome of each attempt of a process under these rules."""
    for name in ("open", "closed", "own"):
        (root / name).mkdir()
        (root / name / "file").write_text("text")
    (root / "own" / "link").symlink_to(root / "closed" / "file")
    (root / "link").symlink_to(root / "open")
    process = subprocess.run(
        [sys.executable, "-c", CHILD, str(root), json.dumps(rules)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(process.stdout))


READ = _kernel.READ_FILE | _kernel.READ_DIR


@needs_landlock
def test_a_path_without_a_rule_is_closed(tmp_path: Path) -> None:
    report = run_confined(
        tmp_path, [("/open", READ, False), ("/own", _kernel.ALL_RIGHTS, False), ("/not there", READ, False)]
    )
    abi = _kernel.read_version()
    assert report == {
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
        "carry off": report["carry off"],  # EXDEV or EACCES, depending on the kernel
        "stop the parent": "PermissionError" if abi >= 6 else "done",
    }
    assert report["carry off"] in {"PermissionError", "OSError"}


@needs_landlock
def test_a_rule_for_a_file_applies_to_the_file_and_ignores_rights_of_folders(tmp_path: Path) -> None:
    report = run_confined(tmp_path, [("/open/file", _kernel.ALL_RIGHTS, False)])
    assert (report["read open"], report["write open"], report["list open"]) == ("done", "done", "PermissionError")


@needs_landlock
@pytest.mark.parametrize(("follow", "outcome"), [(True, "done"), (False, "PermissionError")])
def test_a_rule_follows_a_link_only_on_request(tmp_path: Path, follow: bool, outcome: str) -> None:
    assert run_confined(tmp_path, [("/link", READ, follow)])["read open"] == outcome


@pytest.mark.parametrize(
    ("abi", "last"), [(0, -1), (1, 12), (2, 13), (3, 14), (4, 14), (5, 15), (6, 15), (7, 15), (99, 15)]
)
def test_each_version_is_given_only_the_rights_that_it_knows(abi: int, last: int) -> None:
    assert _kernel.get_supported_rights(abi) == (1 << (last + 1)) - 1


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_a_kernel_or_engine_without_landlock_is_accepted(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_kernel, "system_call", refuse)
    assert _kernel.create_ruleset([_kernel.Rule("/", READ)]) is None


def test_any_other_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(_kernel, "system_call", refuse)
    with pytest.raises(OSError, match="no memory"):
        _kernel.create_ruleset([])
