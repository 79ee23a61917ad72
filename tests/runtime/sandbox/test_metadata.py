"""The filter of system calls on this machine's kernel, with and without answers to its requests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from algotools.runtime.dispatch.messages import wait_readable
from algotools.runtime.sandbox import _describe, _metadata_filter, _system_calls
from algotools.runtime.sandbox.metadata import MetadataChanges

CHILD = """
import json, os, socket, sys
from algotools.runtime.sandbox import _kernel, _metadata_filter

def attempt(action, *arguments, **options):
    try:
        action(*arguments, **options)
    except OSError as error:
        return type(error).__name__
    return "done"

channel, allowed, closed, mode = socket.socket(fileno=int(sys.argv[1])), *sys.argv[2:]
_kernel.forbid_new_privileges()
if mode == "no listener":
    _metadata_filter._NEW_LISTENER = 1 << 30
is_filtered, listener = _metadata_filter.install_metadata_filter()
if listener is None:
    channel.send(b".")
else:
    socket.send_fds(channel, [b"+"], [listener])
    os.close(listener)
report = {"filtered": is_filtered, "listens": listener is not None}
for name, path in (("allowed", allowed), ("closed", closed)):
    report[name] = {
        "chmod": attempt(os.chmod, path, 0o600),
        "fchmod": attempt(os.fchmod, os.open(path, os.O_RDONLY), 0o600),
        "utime": attempt(os.utime, path, (1, 1)),
        "now": attempt(os.utime, path),
        "chown": attempt(os.chown, path, -1, os.getgid()),
        "attribute": attempt(os.setxattr, path, "user.a", b"1"),
    }
report["own descriptor"] = attempt(os.chmod, f"/proc/self/fd/{os.open(allowed, os.O_RDONLY)}", 0o600)
report["read"] = attempt(open, closed)
print(json.dumps(report))
"""

KEYS = ("chmod", "fchmod", "utime", "now", "chown", "attribute")
needs_filter = pytest.mark.skipif(_metadata_filter.get_metadata_calls() is None, reason="unknown architecture")


def run_filtered(tmp_path: Path, mode: str) -> dict[str, object]:
    """Return the outcomes of a filtered process, whose requests this process answers."""
    files = []
    for name in ("allowed", "closed"):
        folder = tmp_path / name
        folder.mkdir()
        files.append(folder / "file")
        files[-1].write_text("text")
    own_end, child_end = socket.socketpair()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(child_end.fileno()), *map(str, files), mode],
        pass_fds=[child_end.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    )
    with child, own_end, child_end:
        _, descriptors, _, _ = socket.recv_fds(own_end, 1, 1)
        if descriptors:
            changes = MetadataChanges(descriptors[0], [str(tmp_path / "allowed")])
            while child.poll() is None:
                if wait_readable([changes.listener], 0.05):
                    changes.answer()
            changes.close()
        assert child.stdout is not None
        return dict(json.loads(child.stdout.read()))


@needs_filter
def test_modes_and_times_are_changed_only_in_the_folders_of_the_task(tmp_path: Path) -> None:
    report = run_filtered(tmp_path, "listener")
    assert report["filtered"]
    assert report["listens"]
    refused = dict.fromkeys(KEYS, "PermissionError")
    assert report["closed"] == refused
    assert report["allowed"] == refused | dict.fromkeys(("chmod", "fchmod", "utime", "now"), "done")
    assert report["own descriptor"] == "OSError"
    assert report["read"] == "done"
    assert os.stat(tmp_path / "allowed" / "file").st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "closed" / "file").st_mtime > 1


@needs_filter
def test_without_a_listener_all_changes_are_refused(tmp_path: Path) -> None:
    report = run_filtered(tmp_path, "no listener")
    assert (report["filtered"], report["listens"]) == (True, False)
    assert report["allowed"] == report["closed"] == dict.fromkeys(KEYS, "PermissionError")


def test_on_an_unknown_architecture_nothing_is_filtered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_system_calls, "MACHINES", {})
    assert _metadata_filter.install_metadata_filter() == (False, None)


@pytest.mark.parametrize("version", [0, 1, 3, 6, 7])
@pytest.mark.parametrize("has_own_user", [False, True])
@pytest.mark.parametrize("is_filtered", [False, True])
def test_the_line_of_the_log_names_what_the_node_lacks(version: int, has_own_user: bool, is_filtered: bool) -> None:
    line = _describe(version, has_own_user=has_own_user, is_filtered=is_filtered)
    assert line.startswith(f"confinement is on: user {os.geteuid()}")
    present, _, lacking = line.partition("; not confined on this node: ")
    assert ("Landlock" in present) == (version > 0)
    assert ("rules for files" in lacking) == (version == 0)
    assert ("truncation" in lacking) == (version == 1)
    assert ("signals" in lacking) == (version < 6) != ("signals" in present)
    assert ("times" in lacking) == (not has_own_user and not is_filtered) != ("times" in present)
    assert bool(lacking) == (version < 6 or not (has_own_user or is_filtered))
