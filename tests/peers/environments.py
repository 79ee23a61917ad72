"""Interpreters with the peers' released packages, installed once and reused by later test runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..conftest import ROOT

FOLDER = Path(os.environ.get("ALGOTOOLS_TEST_PEERS") or ROOT / ".peers")


class Peer(NamedTuple):
    """The requirements of a peer, and the versions of Python that they support, best first."""

    requirements: tuple[str, ...]
    pythons: tuple[str, ...]


PEERS = {
    # its version of pandas does not support numpy 2
    "v3": Peer(("vantage6-client==3.11.1", "numpy<2"), ("3.10", "3.9")),
    "v4": Peer(("vantage6-algorithm-tools==4.15.2",), ("3.10", "3.11", "3.12")),
    "v5": Peer(("vantage6-algorithm-tools==5.0.3",), ("3.13", "3.14")),
}


def find_interpreter(versions: tuple[str, ...]) -> Path | None:
    """Return the first usable Python of these versions, from pyenv or PATH; None without one."""
    for version in versions:
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        paths = [*pyenv.glob(f"{version}.*/bin/python"), *filter(None, [shutil.which(f"python{version}")])]
        for python in map(Path, paths):
            if (
                subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
                == 0
            ):
                return python
    return None


def install_peer(generation: str) -> Path | None:
    """Return the interpreter with the packages of a generation; None without a supported Python."""
    peer, folder = PEERS[generation], FOLDER / generation
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{generation}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = folder / "installed.txt"
        if marker.exists() and marker.read_text(encoding="utf-8") == str(peer.requirements):
            return folder / "bin" / "python"
        base = find_interpreter(peer.pythons)
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True, capture_output=True)
        python = folder / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        subprocess.run([*pip, *peer.requirements], check=True, capture_output=True)
        marker.write_text(str(peer.requirements), encoding="utf-8")
        return python
