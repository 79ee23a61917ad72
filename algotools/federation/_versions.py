"""The versions that a result depends on: of algotools, the algorithm, its image, Python and the platform."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from algotools import __version__
from algotools.declare.locate import locate
from algotools.declare.projects import get_table, read_toml
from algotools.errors import AlgotoolsError
from algotools.federation.algorithms import Algorithms, AlgorithmSource

_LIMIT = 10.0
"""Seconds to wait for another interpreter."""


def read_versions(algorithms: Algorithms, image: str) -> dict[str, object]:
    """Return the versions behind the results of a task that named an image; None for a version that is not known."""
    source = algorithms.find_source(image)
    common = {"contract": algorithms.contract.name, "runner": algorithms.runner_name}
    if (runnable := algorithms.find_image(image)) is not None:
        labels = runnable.versions
        is_built = isinstance(source, (str, Path)) and Path(source).is_dir()  # the image of a folder has no name
        return {
            **common,
            "algotools": labels.algotools,
            "algorithm": {"name": labels.title or str(source), "version": labels.version},
            "image": {"name": None if is_built else str(source), "id": runnable.id, "digests": list(labels.digests)},
            "python": labels.python or runnable.variables.get("PYTHON_VERSION"),
        }
    return {
        **common,
        "algotools": __version__,
        "algorithm": read_package(source),
        "image": None,
        "python": platform.python_version() if algorithms.python is None else _ask_interpreter(algorithms.python),
    }


def read_package(source: AlgorithmSource | None) -> dict[str, object] | None:
    """Return name and version of a project or an installed package; None for functions of this process."""
    if not isinstance(source, (str, Path)):
        return None
    try:
        if (folder := Path(source)).is_dir():
            project = get_table(read_toml(folder / "pyproject.toml"), "project")
            return {"name": str(project.get("name", folder.name)), "version": project.get("version")}
        module = locate(source).module
        distributions = packages_distributions().get(module.partition(".")[0], ())
        name = distributions[0] if distributions else str(source)
        return {"name": name, "version": version(name)}
    except (AlgotoolsError, PackageNotFoundError):
        return {"name": str(source), "version": None}


def _ask_interpreter(python: Path) -> str | None:
    """Return the version of another interpreter."""
    command = [str(python), "-c", "import platform; print(platform.python_version())"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=_LIMIT).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
