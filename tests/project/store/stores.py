"""The validators of released algorithm stores, each with its own packages outside of the test environment."""

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
REQUIREMENTS = ["marshmallow==3.26.2", "jsonschema==4.21.1"]
"""The requirements of both releases, reduced to the packages that their schemas import."""


def install(folder: Path) -> dict[int, list[Path]]:
    """Install the packages of both generations with ``pip --target``; return generation -> folders of packages."""
    common = folder / "common"
    installing = [_pip(common, *REQUIREMENTS)]
    folders = {}
    for generation, release in RELEASES.items():
        packages_folder = folder / f"v{generation}"
        packages = [f"vantage6-algorithm-store=={release}", f"vantage6-common=={release}"]
        installing.append(_pip(packages_folder, "--no-deps", "--ignore-requires-python", *packages))
        folders[generation] = [packages_folder, common]
    for process in installing:
        output, _ = process.communicate()
        if process.returncode:
            pytest.skip(f"the stores' own validators cannot be installed:\n{output}")
    return folders


def _pip(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    return subprocess.Popen(
        [*command, "--target", str(folder), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Store:
    """A process with the validator of a store, which checks one document after another."""

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
        """Return the errors of a document by key; empty if the store accepts the document."""
        self._process.stdin.write(json.dumps(document, allow_nan=False) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Close the standard input of the process, and wait for its exit."""
        self._process.communicate()
