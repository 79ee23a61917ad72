"""Measure by how much an engine for data (Polars, DuckDB, …) increases the size of an image.

No container engine is needed: the script installs and omits the same files as Dockerfile.base.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from dispatch import PEER, ROOT, Figures, Spread, ensure_environment, execute, log

IBIS = "ibis-framework[duckdb,postgres,sqlite]"
ENGINES = ("polars", "duckdb", IBIS, "adbc-driver-postgresql")
"""Packages for forms of data that are not in every image."""

ADDED = {
    "Polars": ("polars",),
    "DuckDB": ("duckdb",),
    "Ibis with DuckDB": ("ibis-framework[duckdb]",),
    "Ibis with PostgreSQL": ("ibis-framework[postgres]",),
    "ADBC for PostgreSQL": ("adbc-driver-postgresql",),
}

OMITTED = ("tests",)
OMITTED_OF_ARROW = ("include", "flight", "_s3")
"""Files that Dockerfile.base omits: folders with these names, and files of pyarrow with one of these names."""


def measure(cache: Path) -> Figures:
    """Return sizes on the disk in MB: libraries of the base, additions of each engine, and libraries of the peer."""
    version = platform.python_version()
    requirements = ["--requirement", str(ROOT / "algotools/requirements.txt")]
    content = (ROOT / "algotools/requirements.txt").read_text(encoding="utf-8")
    base = ensure_environment(cache / f"base-{version}", content, requirements)
    peer = ensure_environment(cache / f"peer-{version}", PEER, [PEER])
    figures = {
        "images, base": measure_megabytes(find_libraries(base)),
        "images, vantage6": measure_megabytes(find_libraries(peer), whole=True),
    }
    for name, packages in ADDED.items():
        folder = cache / f"added-{version}" / name.replace(" ", "-")
        install_additions(base, folder, packages, content)
        figures[f"images, {name}"] = measure_megabytes(folder)
    return {name: Spread("MB", [round(value, 1)]) for name, value in figures.items()}


def find_libraries(python: Path) -> Path:
    """Return the folder of the packages of an environment."""
    return Path(execute([str(python), "-c", "import site; print(site.getsitepackages()[0])"]).strip())


def install_additions(base: Path, folder: Path, packages: tuple[str, ...], content: str) -> None:
    """Install into a separate folder all files that these packages need in addition to the base."""
    ready = folder / "ready"
    if ready.is_file() and ready.read_text(encoding="utf-8") == f"{packages} {content}":
        return
    log(f"installing {', '.join(packages)} in addition to the base")
    pip = [str(base), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    execute([*pip, "--prefix", str(folder), *packages])
    ready.write_text(f"{packages} {content}", encoding="utf-8")


def measure_megabytes(folder: Path, *, whole: bool = False) -> float:
    """Return the size of the files on the disk, like ``du``. Files that the base omits count only if ``whole``."""
    total = 0
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not whole and (set(OMITTED) & set(parts[:-1]) or _is_omitted_from_arrow(parts)):
            continue
        if path.is_file() and not path.is_symlink():
            total += path.stat().st_blocks * 512
    return total / 1e6


def _is_omitted_from_arrow(parts: tuple[str, ...]) -> bool:
    """Whether a path belongs to the files of pyarrow that images omit."""
    if "pyarrow" not in parts:
        return False
    path_in_package = parts[parts.index("pyarrow") + 1 :]
    include, *names = OMITTED_OF_ARROW
    return include in path_in_package or any(name in part for name in names for part in path_in_package)


if __name__ == "__main__":
    for line, spread in measure(Path(sys.argv[1])).items():
        print(line, spread)
