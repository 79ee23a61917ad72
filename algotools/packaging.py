"""What the build of an image does with pip: the base registers algotools, a project gets its dependencies.

``python -m algotools.packaging install`` in a project's Dockerfile installs what its ``pyproject.toml`` depends on,
before its code is copied: so a change of code installs nothing anew. The project itself needs no installing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from algotools import __version__
from algotools.errors import AlgotoolsError, PackagingError
from algotools.locate import read_toml, table

DISTRIBUTION = "federated-algotools"
OURS = re.compile(r"federated[-_.]+algotools(?![\w.-]*\w)", re.IGNORECASE)
"""A requirement of our own distribution."""


def dependencies(project: Path) -> list[str]:
    """What the ``pyproject.toml`` in a folder depends on.

    Raises:
        PackagingError: its dependencies are not listed there.
        AlgorithmNotFound: there is no such file, or it is not TOML.
    """
    told = table(read_toml(project / "pyproject.toml"), "project")
    dynamic: Any = told.get("dynamic", [])
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        raise PackagingError(
            "pyproject.toml has dynamic dependencies, which only its build backend knows; "
            "list them under [project], or install the project in its Dockerfile: RUN pip install ."
        )
    found: Any = told.get("dependencies", [])
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise PackagingError("pyproject.toml: [project] dependencies must be a list of texts")
    return found


def install(project: Path) -> None:
    """Install what a project depends on, with pip.

    Our own distribution is pinned to the version that is here: pip refuses a project that asks for another.

    Raises:
        PackagingError: pip failed; it has said why.
    """
    wanted = dependencies(project)
    if not wanted:
        return
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--"]
    if subprocess.run([*pip, *wanted, f"{DISTRIBUTION}=={__version__}"], check=False).returncode:
        asked = ", ".join(item for item in wanted if OURS.match(item))
        hint = f"; the base image has {DISTRIBUTION} {__version__}, and {asked} must allow for it" if asked else ""
        raise PackagingError(f"pip could not install what pyproject.toml depends on: {', '.join(wanted)}{hint}")


def register(folder: Path) -> None:
    """Make the algotools in a folder known to pip: name, version, and what it needs there."""
    requirements = (Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needs = [f"Requires-Dist: {line}" for line in requirements if line and not line.startswith("#")]
    metadata = folder / f"{DISTRIBUTION.replace('-', '_')}-{__version__}.dist-info"
    metadata.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {__version__}", *needs]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (metadata / "INSTALLER").write_text("algotools\n", encoding="utf-8")


COMMANDS = {"install": install, "register": register}


def main(arguments: list[str]) -> int:
    """``install [PROJECT]`` or ``register FOLDER``."""
    command, folder = (*arguments, "", ".")[0], Path((*arguments[1:], ".")[0])
    try:
        if command not in COMMANDS:
            raise PackagingError("python -m algotools.packaging takes `install [PROJECT]` or `register FOLDER`")
        COMMANDS[command](folder)
    except AlgotoolsError as error:
        sys.stderr.write(f"error ({error.exit_code}): {error.message}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
