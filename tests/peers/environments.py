"""Interpreters in which the peers' own packages are installed, as they are: made once, and kept between runs."""

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
    """What to install, and for which Pythons there is a build of it, the best first."""

    requirements: tuple[str, ...]
    pythons: tuple[str, ...]


PEERS = {
    # numpy 2 came after it: its own pandas cannot be imported beside that
    "v3": Peer(("vantage6-client==3.11.1", "numpy<2"), ("3.10", "3.9")),
    "v4": Peer(("vantage6-algorithm-tools==4.15.2",), ("3.10", "3.11", "3.12")),
    "v5": Peer(("vantage6-algorithm-tools==5.0.3",), ("3.13", "3.14")),
}


def interpreter(versions: tuple[str, ...]) -> Path | None:
    """A Python of one of these versions, from PATH or from pyenv."""
    for version in versions:
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        found = [*pyenv.glob(f"{version}.*/bin/python"), *filter(None, [shutil.which(f"python{version}")])]
        for python in map(Path, found):
            if (
                subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode
                == 0
            ):
                return python
    return None


def python_of(generation: str) -> Path | None:
    """The interpreter with a generation's packages; None where there is no Python that they can be installed for."""
    peer, folder = PEERS[generation], FOLDER / generation
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{generation}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed.txt"
        if done.exists() and done.read_text(encoding="utf-8") == str(peer.requirements):
            return folder / "bin" / "python"
        base = interpreter(peer.pythons)
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", "--clear", folder], check=True, capture_output=True)
        python = folder / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *peer.requirements], check=True, capture_output=True)
        done.write_text(str(peer.requirements), encoding="utf-8")
        return python
