"""From an empty folder to the first federated result, without a network except the loopback interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ARGUMENTS, TITLES

ALONE = """
import fcntl, os, runpy, socket, struct, sys
with socket.socket() as s:  # `ip link set lo up`: interface, then the flag IFF_UP
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))
try:
    socket.create_connection(("192.0.2.1", 80), 1)
except OSError:
    pass
else:
    raise SystemExit("the network is reachable")
from algotools.cli import main
main()
"""


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """The command that runs another command without a network."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], check=False).returncode == 0:
            return command
    pytest.skip("this machine does not allow network namespaces")


@pytest.mark.parametrize("kind", ["pooled"])  # no kind imports or reads more than another one
def test_a_project_and_its_first_result_need_no_network(unshare: list[str], kind: str, tmp_path: Path) -> None:
    def run_alone(*arguments: str, cwd: Path) -> str:
        command = [*unshare, sys.executable, "-c", ALONE, *arguments]
        completed = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    run_alone("new", TITLES[kind], "--kind", kind, "--no-input", cwd=tmp_path)
    [folder] = tmp_path.iterdir()
    answers = json.loads(run_alone("run", "master", *ARGUMENTS[kind], "--json", cwd=folder))
    assert [answer["status"] for answer in answers] == ["completed"] * 3
