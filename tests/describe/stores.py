"""The validators of released algorithm stores, each on packages of its own, beside our environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

VALIDATOR = Path(__file__).parent / "peer_validator.py"
RELEASES = {4: "4.15.2", 5: "5.0.3"}
NEEDS = ["marshmallow==3.26.2", "jsonschema==4.21.1"]
"""What both releases ask for, of all that their schemas import."""


def install(folder: Path) -> dict[int, list[Path]]:
    """Generation -> the folders with its packages. No environment is made: pip puts them into folders."""
    common = folder / "common"
    installing = [_pip(common, *NEEDS)]
    found = {}
    for generation, release in RELEASES.items():
        own = folder / f"v{generation}"
        packages = [f"vantage6-algorithm-store=={release}", f"vantage6-common=={release}"]
        installing.append(_pip(own, "--no-deps", "--ignore-requires-python", *packages))
        found[generation] = [own, common]
    for process in installing:
        output, _ = process.communicate()
        if process.returncode:
            pytest.skip(f"the stores' own validators cannot be installed:\n{output}")
    return found


def _pip(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    return subprocess.Popen(
        [*command, "--target", str(folder), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Store:
    """A store's validator, which answers one document after another."""

    def __init__(self, folders: list[Path]) -> None:
        path = os.pathsep.join(map(str, folders))
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-W", "ignore", str(VALIDATOR)],
            env={"PYTHONPATH": path, "PATH": os.environ.get("PATH", "")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def errors(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What is wrong with a document, by key; nothing if it is accepted."""
        self._process.stdin.write(json.dumps(document, allow_nan=False) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()
