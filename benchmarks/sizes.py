"""What an engine adds to an image: how much larger the base's environment becomes by what pip installs of it.

No container engine is needed: what Dockerfile.base installs and leaves out, this installs and leaves out as well.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from dispatch import PEER, ROOT, Figures, Spread, environment, execute, say

IBIS = "ibis-framework[duckdb,postgres,sqlite]"
ENGINES = ("polars", "duckdb", IBIS, "adbc-driver-postgresql")
"""What a function's form may need beside what every image has."""

ADDED = {
    "Polars": ("polars",),
    "DuckDB": ("duckdb",),
    "Ibis with DuckDB": ("ibis-framework[duckdb]",),
    "Ibis with PostgreSQL": ("ibis-framework[postgres]",),
    "ADBC for PostgreSQL": ("adbc-driver-postgresql",),
}

NEEDLESS = ("tests",)
NEEDLESS_OF_ARROW = ("include", "flight", "_s3")
"""What Dockerfile.base leaves out: folders of this name, and what of pyarrow has one of these in its name."""


def measure(cache: Path) -> Figures:
    """Megabytes on the disk: the base's libraries, what each engine adds to them, and the peer's in its own image."""
    version = platform.python_version()
    wanted = ["--requirement", str(ROOT / "algotools/requirements.txt")]
    known = (ROOT / "algotools/requirements.txt").read_text(encoding="utf-8")
    base = environment(cache / f"base-{version}", known, wanted)
    peer = environment(cache / f"peer-{version}", PEER, [PEER])
    figures = {"images, base": megabytes(libraries(base)), "images, vantage6": megabytes(libraries(peer), whole=True)}
    for name, packages in ADDED.items():
        folder = cache / f"added-{version}" / name.replace(" ", "-")
        add(base, folder, packages, known)
        figures[f"images, {name}"] = megabytes(folder)
    return {name: Spread("MB", [round(value, 1)]) for name, value in figures.items()}


def libraries(python: Path) -> Path:
    """Where an environment has its packages."""
    return Path(execute([str(python), "-c", "import site; print(site.getsitepackages()[0])"]).strip())


def add(base: Path, folder: Path, packages: tuple[str, ...], known: str) -> None:
    """Install what these packages need and the base has not got into a folder of its own, unless it is there."""
    ready = folder / "ready"
    if ready.is_file() and ready.read_text(encoding="utf-8") == f"{packages} {known}":
        return
    say(f"installing {', '.join(packages)} beside the base")
    pip = [str(base), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location"]
    execute([*pip, "--prefix", str(folder), *packages])
    ready.write_text(f"{packages} {known}", encoding="utf-8")


def megabytes(folder: Path, *, whole: bool = False) -> float:
    """What the files take on the disk, as ``du`` counts; without what the base leaves out, unless ``whole``."""
    total = 0
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if not whole and (set(NEEDLESS) & set(parts[:-1]) or _of_arrow(parts)):
            continue
        if path.is_file() and not path.is_symlink():
            total += path.stat().st_blocks * 512
    return total / 1e6


def _of_arrow(parts: tuple[str, ...]) -> bool:
    """Whether it is something of pyarrow's that an image does without."""
    if "pyarrow" not in parts:
        return False
    within = parts[parts.index("pyarrow") + 1 :]
    include, *names = NEEDLESS_OF_ARROW
    return include in within or any(name in part for name in names for part in within)


if __name__ == "__main__":
    for line, spread in measure(Path(sys.argv[1])).items():
        print(line, spread)
