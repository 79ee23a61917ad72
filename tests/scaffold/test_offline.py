"""From nothing to the first federated result, on a machine that has no network but itself."""

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
    raise SystemExit("there is a network")
from algotools.cli import main
main()
"""


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """What runs a command without a network."""
    for command in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], check=False).returncode == 0:
            return command
    pytest.skip("nobody may make a network namespace here")


@pytest.mark.parametrize("kind", TITLES)
def test_a_project_and_its_first_result_need_no_network(unshare: list[str], kind: str, tmp_path: Path) -> None:
    def alone(*arguments: str, cwd: Path) -> str:
        command = [*unshare, sys.executable, "-c", ALONE, *arguments]
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    alone("new", TITLES[kind], "--kind", kind, "--no-input", cwd=tmp_path)
    [folder] = tmp_path.iterdir()
    answers = json.loads(alone("run", "master", *ARGUMENTS[kind], "--json", cwd=folder))
    assert [answer["status"] for answer in answers] == ["completed"] * 3
