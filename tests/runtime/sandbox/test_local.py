"""The sandbox of the author's own machine refuses what a function must not do, and allows what functions need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from algotools.errors import FunctionRaised
from algotools.runtime.sandbox import _kernel, local

from ...conftest import ROOT
from ...processes import LIMIT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the sandbox"),
]

NAMESPACES = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
if sys.platform == "linux" and os.geteuid() != 0:
    NAMESPACES += ["--user", "--map-root-user"]

ATTEMPTS = [
    "mount", "unshare user", "unshare mount", "chroot", "host name", "ptrace", "memory of a process",
    "environment of a process", "signal", "signal by descriptor", "limits of a process", "priority of a process",
    "processors of a process", "leave the group", "key ring", "shared memory of the system", "io_uring", "terminal",
    "connect", "connect to a program", "datagram", "datagram of a program", "kernel socket", "listen", "read a secret",
    "list a folder", "read by a link", "read by a program", "read the passwords", "list the temporary files",
    "write to the project", "create in the project", "remove from the project", "move from the project",
    "link to a secret", "mode", "mode by descriptor", "owner", "times", "attribute", "kernel settings",
    "many processes", "much memory", "much shared memory", "large file", "become root",
]  # fmt: skip
SUCCEED_WITHOUT_SANDBOX = [
    "mount", "ptrace", "environment of a process", "signal", "signal by descriptor", "limits of a process",
    "priority of a process", "processors of a process", "leave the group", "shared memory of the system", "connect",
    "connect to a program", "datagram", "datagram of a program", "kernel socket", "listen", "read a secret",
    "list a folder", "read by a link", "read by a program", "list the temporary files", "write to the project",
    "create in the project", "remove from the project", "move from the project", "link to a secret", "mode",
    "mode by descriptor", "owner", "times", "much memory", "much shared memory", "large file",
]  # fmt: skip
"""The attempts that show something: the same program succeeds in them without the sandbox."""


def run_probes(folder: Path, mode: str, *names: str) -> dict[str, Any]:
    """Run the attempts in namespaces of their own, so that a successful attempt does not affect this machine."""
    project, secret = folder / "project", folder / "secret"
    project.mkdir()
    secret.mkdir()
    for file in (project / "code.py", project / "unused", project / "moved", secret / "key"):
        file.write_text("text", encoding="utf-8")
    (project / "link").symlink_to(secret / "key")
    folder.chmod(0o700)  # another user could not enter the folder, as with root's own projects
    script = 'ip link set lo up 2> /dev/null || ifconfig lo up; exec "$@"'
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.runtime.sandbox.probes"]
    process = subprocess.run(
        [*NAMESPACES, "sh", "-c", script, "sh", *command, str(folder), mode, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=LIMIT,
    )
    assert process.stdout, process.stderr
    outcome: dict[str, Any] = json.loads(process.stdout)
    return outcome


@pytest.fixture(scope="module", autouse=True)
def has_namespaces() -> None:
    if subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow namespaces, in which the attempts do no harm")


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("confined")
    outcome = run_probes(folder, "confined")
    project = folder / "project"
    outcome["project"] = {file.name: file.stat().st_mode & 0o777 for file in project.iterdir()}
    outcome["code"] = (project / "code.py").read_text(encoding="utf-8")
    return outcome


@pytest.fixture(scope="module")
def unconfined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run_probes(tmp_path_factory.mktemp("unconfined"), "free", *SUCCEED_WITHOUT_SANDBOX)


needs_all_parts = pytest.mark.skipif(
    sys.platform != "linux" or _kernel.read_version() < _kernel.SCOPE_VERSION,
    reason="this kernel does not have all parts of the sandbox",
)


@needs_all_parts
@pytest.mark.parametrize("name", ATTEMPTS)
def test_an_attempt_is_refused(confined: dict[str, Any], name: str) -> None:
    assert confined["attempts"][name] != "done"


def test_every_attempt_has_a_test(confined: dict[str, Any]) -> None:
    assert sorted(confined["attempts"]) == sorted(ATTEMPTS)


@pytest.mark.parametrize("name", SUCCEED_WITHOUT_SANDBOX)
def test_an_attempt_succeeds_without_the_sandbox(unconfined: dict[str, Any], name: str) -> None:
    assert unconfined["attempts"][name] == "done"


def test_what_functions_need_is_allowed(confined: dict[str, Any]) -> None:
    assert confined["uses"]
    assert set(confined["uses"].values()) == {"done"}


@needs_all_parts
def test_no_part_is_missing_and_no_capability_is_left(confined: dict[str, Any]) -> None:
    assert confined["missing"] == []
    assert confined["status"].pop("NoNewPrivs") == "1"
    assert set(confined["status"].values()) == {"0" * 16}


@needs_all_parts
def test_the_project_is_unchanged(confined: dict[str, Any]) -> None:
    assert sorted(confined["project"]) == ["code.py", "link", "moved", "unused"]
    assert confined["project"]["code.py"] & 0o111 == 0
    assert confined["code"] == "text"


MISSING = """
import json, os, signal, sys
from pathlib import Path
from algotools.runtime.sandbox import _filter, _kernel, local

def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"

# A real kernel that refuses the calls of one part: an engine's filter does the same.
numbers = _filter.NUMBERS.copy()
_filter.NUMBERS.clear()
_filter.NUMBERS.update(json.loads(sys.argv[2]))
_kernel.forbid_new_privileges()
_filter.install_filter(_filter.SystemCallPolicy(may_connect=True))
_filter.NUMBERS.clear()
_filter.NUMBERS.update(numbers)
missing = local.LocalSandbox(folder=sys.argv[1]).apply()
print(json.dumps({
    "missing": missing,
    "signal": attempt(os.kill, os.getppid(), 0),
    "own signal": attempt(os.kill, os.getpid(), 0),
    "mode": attempt(os.chmod, sys.argv[1], 0o700),
    "capabilities": "CapEff:\\t" + "0" * 16 in Path("/proc/self/status").read_text(),
    "uid": os.geteuid(),
}))
"""


def apply_without(folder: Path, refused: dict[str, tuple[int, int]]) -> dict[str, Any]:
    command = [sys.executable, "-c", MISSING, str(folder), json.dumps(refused)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    outcome: dict[str, Any] = json.loads(process.stdout)
    return outcome


def test_without_landlock_the_other_parts_still_hold(tmp_path: Path) -> None:
    outcome = apply_without(tmp_path, {"landlock_create_ruleset": (444, 444)})
    assert outcome["missing"] == [local.NO_FILE_RULES]
    assert outcome["signal"] == outcome["mode"] == "PermissionError"
    assert outcome["own signal"] == "done"
    assert outcome["capabilities"]


def test_without_a_filter_the_other_parts_still_hold(tmp_path: Path) -> None:
    outcome = apply_without(tmp_path, {"seccomp": (317, 277)})
    assert outcome["missing"] == ["the filter of system calls (Operation not permitted)"]
    assert outcome["mode"] == "done"
    assert outcome["capabilities"]


CONNECT = """
import socket, sys
from algotools.runtime.sandbox import local

servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
ports = [server.getsockname()[1] for server in servers]
local.LocalSandbox(folder=sys.argv[1], databases=(f"postgresql://user:word@127.0.0.1:{ports[0]}/data",)).apply()
for port in ports:
    for family, kind, protocol in ((2, 1, 0), (2, 1, 262), (2, 2, 0), (1, 1, 0)):
        try:
            with socket.socket(family, kind, protocol) as client:
                client.connect(("127.0.0.1", port))
        except OSError as error:
            print(type(error).__name__)
        else:
            print("done")
"""


@pytest.mark.skipif(
    sys.platform != "linux" or _kernel.read_version() < _kernel.NETWORK_VERSION, reason="this kernel has no port rules"
)
def test_only_the_port_of_a_database_can_be_reached(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", CONNECT, str(tmp_path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert process.stdout.split() == ["done", *["PermissionError"] * 7]


@pytest.mark.parametrize(
    ("uri", "ports"),
    [
        ("postgresql://user:word@host/data", {5432}),
        ("postgresql+psycopg://user@host:7000/data", {7000}),
        ("mysql+pymysql://host/data", {3306}),
        ("https://host/sparql", {443}),
        ("http://[::1]:8000/sparql", {8000}),
        ("http://host:99999/", set()),
        ("sqlite:///data.db", set()),
        ("file:///data.csv", set()),
        ("/data.csv", set()),
    ],
)
def test_the_ports_of_databases_are_those_of_their_servers(uri: str, ports: set[int]) -> None:
    assert local.find_ports([uri]) == ports


@pytest.mark.parametrize("cause", [PermissionError(13, "no"), BlockingIOError(11, "no"), OSError(27, "no")])
def test_the_message_of_a_denied_operation_names_the_sandbox(cause: OSError) -> None:
    error = FunctionRaised("PermissionError in f at a.py:1")
    error.__cause__ = RuntimeError()
    error.__cause__.__context__ = cause
    assert (
        local.LocalSandbox(folder="").explain_denial(error).message == f"PermissionError in f at a.py:1 ({local.HINT})"
    )


def test_the_message_of_another_error_is_unchanged() -> None:
    error = FunctionRaised("FileNotFoundError in f at a.py:1")
    error.__cause__ = FileNotFoundError(2, "no")
    assert local.LocalSandbox(folder="").explain_denial(error).message == "FileNotFoundError in f at a.py:1"
