"""The steps of an image's build that use pip: register algotools in the base image, install a project's dependencies.

In a project's Dockerfile, ``python -m algotools.packaging install`` installs the dependencies of ``pyproject.toml``
before the code is copied. So a change of the code does not repeat the installation. The project is not installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from algotools import __version__
from algotools.declare.projects import get_table, read_toml
from algotools.errors import PACKAGE, AlgotoolsError, PackagingError

DISTRIBUTION = "federated-algotools"
OURS = re.compile(r"federated[-_.]+algotools(?![\w.-]*\w)", re.IGNORECASE)
"""Matches a requirement of algotools itself."""


def dependencies(project: Path) -> list[str]:
    """Return the dependencies in the ``pyproject.toml`` of a project's folder.

    Raises:
        PackagingError: the dependencies are dynamic, or not a list of texts.
        AlgorithmNotFound: the file does not exist, or is not TOML.
    """
    metadata = get_table(read_toml(project / "pyproject.toml"), "project")
    dynamic: Any = metadata.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise PackagingError(
            "pyproject.toml has dynamic dependencies, which only its build backend knows; "
            "list them under [project], or install the project in its Dockerfile: RUN pip install ."
        )
    requirements: Any = metadata.get("dependencies", [])
    if not isinstance(requirements, list) or not all(isinstance(item, str) for item in requirements):
        raise PackagingError("pyproject.toml: [project] dependencies must be a list of texts")
    return requirements


def install(project: Path) -> None:
    """Install the dependencies of a project with pip.

    Raises:
        PackagingError: pip failed, and has printed the reason.
    """
    requirements = dependencies(project)
    if not requirements:
        return
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--"]
    # Pin algotools to the version of the base image. Otherwise pip would replace it if the project requires another.
    if subprocess.run([*pip, *requirements, f"{DISTRIBUTION}=={__version__}"], check=False).returncode:
        ours = ", ".join(item for item in requirements if OURS.match(item))
        hint = f"; the base image has {DISTRIBUTION} {__version__}, and {ours} must allow this version" if ours else ""
        raise PackagingError(
            f"pip could not install the dependencies in pyproject.toml: {', '.join(requirements)}{hint}"
        )


def register(folder: Path) -> None:
    """Write the metadata by which pip recognizes the algotools in a folder: name, version and dependencies."""
    requirements = (PACKAGE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    requires = [f"Requires-Dist: {line}" for line in requirements if line and not line.startswith("#")]
    metadata = folder / f"{DISTRIBUTION.replace('-', '_')}-{__version__}.dist-info"
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {__version__}", *requires]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (metadata / "INSTALLER").write_text("algotools\n", encoding="utf-8")


COMMANDS = {"install": install, "register": register}


def main(arguments: list[str]) -> int:
    """Run the command ``install [PROJECT]`` or ``register FOLDER``; return the exit code."""
    command, folder = (*arguments, "", ".")[0], Path((*arguments[1:], ".")[0])
    try:
        if command not in COMMANDS:
            raise PackagingError("python -m algotools.packaging takes `install [PROJECT]` or `register FOLDER`")
        COMMANDS[command](folder)
    except AlgotoolsError as error:
        sys.stderr.write(f"error ({error.exit_code}): {error.message}\n")
        return error.exit_code
    return 0
