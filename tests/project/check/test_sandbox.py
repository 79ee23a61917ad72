"""A check runs the author's code in a sandbox, announces it, and can leave out the calls."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from algotools.project.check import TRIAL_RULES, check
from algotools.runtime.sandbox.local import HINT

from ...conftest import COMMAND, algotools, environment
from ...processes import find_processes, wait_until_dead
from .conftest import add

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the sandbox"),
]

SOURCE = "src/small/__init__.py"

RPC = """
from algotools import rpc


@rpc
def attempt() -> float:
    {}
    raise undefined  # this finding shows that the statements before it succeeded
"""
"""An rpc whose only finding shows that its other statements have not been refused."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without dependencies, in a folder that only its owner may enter."""
    folder = tmp_path / "small"
    (folder / "src" / "small").mkdir(parents=True)
    entry_point = '[project.entry-points."algotools.algorithms"]\nsmall = "small"\n'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "small"\nversion = "1.0.0"\n{entry_point}')
    (folder / "federation.yaml").write_text("organizations:\n  - name: north\n    databases: {default: ../data.csv}\n")
    (tmp_path / "data.csv").write_text("x\n1\n")
    (tmp_path / "private").write_text("secret")
    tmp_path.chmod(0o700)
    return folder


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def list_rules(project: Path) -> list[str]:
    return [finding.rule for finding in check(project).findings if finding.rule != "no-dockerfile"]


ALLOWED = {
    "read the project": "open({project!r} + '/pyproject.toml').close()",
    "read the data": "open({project!r} + '/../data.csv').close()",
    "write temporary files": "import tempfile; tempfile.NamedTemporaryFile().write(b'x')",
    "run a program": "import subprocess; subprocess.run(['true'], check=True)",
    "no capabilities": "assert 'CapEff:\\t' + '0' * 16 in open('/proc/self/status').read()",
    "no variables of the caller": "import os; assert 'PRIVATE_TOKEN' not in os.environ",
    "no variables of the caller in the initial ones": (
        "assert b'PRIVATE_TOKEN' not in open('/proc/self/environ', 'rb').read()"
    ),
}

DENIED = {
    "read another file": "open({project!r} + '/../private').close()",
    "read by a program": "import subprocess; subprocess.run(['cat', {project!r} + '/../private'], check=True)",
    "list a folder": "import os; os.listdir({project!r} + '/..')",
    "write to the project": "open({project!r} + '/new', 'w').close()",
    "change a mode": "import os; os.chmod({project!r} + '/pyproject.toml', 0o777)",
    "write to the folder of temporary files": "open('/tmp/small-check-' + str(__import__('os').getpid()), 'x').close()",
    "connect": "import socket; socket.create_connection(('127.0.0.1', {port})).close()",
    "allocate 10 GB": "import mmap; mmap.mmap(-1, 10 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)",
}


def fill(statements: str, project: Path, port: int) -> str:
    return statements.format(project=str(project), port=port)


@pytest.mark.parametrize("statements", ALLOWED.values(), ids=ALLOWED)
def test_a_trial_call_may(project: Path, port: int, statements: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATE_TOKEN", "secret")
    add(project / SOURCE, RPC.format(fill(statements, project, port)))
    assert list_rules(project) == ["function-fails"]


@pytest.mark.parametrize("statements", DENIED.values(), ids=DENIED)
def test_a_trial_call_may_not(project: Path, port: int, statements: str) -> None:
    before = sorted(project.parent.rglob("*"))
    add(project / SOURCE, RPC.format(fill(statements, project, port)))
    assert list_rules(project) == []
    assert sorted({*project.parent.rglob("*")} - {project / SOURCE}) == before


def test_the_same_statements_succeed_without_the_sandbox(project: Path, port: int) -> None:
    """The attempts of the test above are refused by the sandbox, and by nothing else."""
    for statements in DENIED.values():
        code = fill(statements, project, port)
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    Path(project, "new").unlink()


def test_an_import_runs_in_the_sandbox(project: Path, port: int) -> None:
    add(project / SOURCE, fill(DENIED["read another file"], project, port))
    findings = [finding for finding in check(project).findings if finding.rule == "import-fails"]
    assert [(finding.file, finding.line) for finding in findings] == [(SOURCE, 1)]
    assert findings[0].reason.startswith("the import raises PermissionError")
    assert findings[0].reason.endswith(f"({HINT})")


MOUNT = "import ctypes; assert ctypes.CDLL(None).mount(b'none', {folder!r}.encode(), b'tmpfs', 0, None) == 0"


def test_an_rpc_cannot_mount_although_the_caller_can(project: Path) -> None:
    """All of this happens in a namespace of mounts, so a successful mount does not affect this machine."""
    folder = project / "mount"
    folder.mkdir()
    mount = MOUNT.format(folder=str(folder))
    add(project / SOURCE, RPC.format(mount))
    namespaces = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if subprocess.run([*namespaces, sys.executable, "-c", mount], check=False, capture_output=True).returncode:
        pytest.skip("the caller may not mount")
    command = [*namespaces, *COMMAND, "check", str(project)]
    completed = subprocess.run(command, check=False, capture_output=True, text=True, env=environment())
    assert "calls 1 function on north's data: attempt" in completed.stderr
    assert "function-fails" not in completed.stdout
    assert "1 finding " in completed.stdout  # the project has no Dockerfile


def test_the_code_is_announced_before_it_runs(project: Path) -> None:
    add(project / SOURCE, RPC.format("pass"))
    add(project / SOURCE, "\n\n@rpc\ndef other(needed: int) -> int:\n    return needed\n")
    texts: list[str] = []
    check(project, on_start=texts.append)
    assert texts == [
        "imports small in a sandbox",
        "calls 1 function on north's data: attempt; --no-trial leaves the calls out",
    ]


def test_the_code_waits_for_the_announcement(project: Path) -> None:
    tag, sleep = uuid.uuid4().hex, "import time; time.sleep(10**6)"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {sleep!r}, {tag!r}])"
    add(project / SOURCE, f"{start}\n{RPC.format(sleep)}")
    processes: list[list[int]] = []

    def note(_text: str) -> None:
        time.sleep(1)
        processes.append(find_processes(tag))

    check(project, on_start=note, limit=5)
    assert processes[0] == []
    assert len(processes[1]) == 1
    wait_until_dead(find_processes(tag))


def test_no_trial_calls_no_function(project: Path) -> None:
    add(project / SOURCE, RPC.format("pass"))
    assert "function-fails" in algotools("check", str(project)).stdout
    completed = algotools("check", str(project), "--no-trial")
    assert "function-fails" not in completed.stdout
    assert "calls" not in completed.stderr.splitlines()[0]
    assert completed.stderr.splitlines()[:2] == [
        "imports small in a sandbox",
        (
            "--no-trial left out the calls of functions, so results were not probed; the calls can find: "
            f"{', '.join(TRIAL_RULES)}"
        ),
    ]


def test_the_help_reports_what_runs() -> None:
    text = re.sub(r"[\s│]+", " ", algotools("check", "--help").stdout)
    assert "The command runs the algorithm's code" in text
    assert "--no-trial" in text
    assert "sandbox" in text


def test_the_private_folder_is_removed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    add(project / SOURCE, RPC.format("import tempfile; open(tempfile.gettempdir() + '/left', 'w').close()"))
    assert list_rules(project) == ["function-fails"]
    assert list(temporary.iterdir()) == []
