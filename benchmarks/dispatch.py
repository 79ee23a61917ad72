"""Compare the time to start a function: algotools and the platform's own tools, in one run.

    python benchmarks/dispatch.py [--rounds N] [--cache FOLDER] [--json FILE]

The script creates and keeps two virtual environments of the Python that runs it: one with this checkout, one with the
peer, both with the same pandas. The contestants take turns (A, B, A, B, …), so that other load on the machine affects
both equally. Requirements: Python and a package index.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEER = "vantage6-algorithm-tools==4.15.2"
"""The latest 4.15. Version 5 is for another generation of nodes."""

ROWS = 100
NODES = 10
FIRST_TIMES = 5
LATER_TIMES = 5

Figures = dict[str, "Spread"]


@dataclass(frozen=True)
class Spread:
    """A figure that was measured several times, with all samples, because a median alone hides the spread."""

    unit: str
    samples: list[float]

    @property
    def median(self) -> float:
        """The median of the samples, on which a single slow run has no effect."""
        return statistics.median(self.samples)

    def __str__(self) -> str:
        return f"{self.median:.1f} ({min(self.samples):.1f} to {max(self.samples):.1f}) {self.unit}"


@dataclass(frozen=True)
class Target:
    """A promised limit of a figure, and the measured value."""

    promise: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the measured value is within the limit."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        state = "met    " if self.met else "NOT MET"
        return f"{state}  {self.promise}: {self.measured:.3g}{self.unit} (at most {self.limit:g}{self.unit})"


@dataclass(frozen=True)
class Contestant:
    """A way to run an algorithm: an interpreter with arguments, and the package of the algorithm."""

    python: Path
    arguments: tuple[str, ...]
    package: str
    source: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""


@dataclass(frozen=True)
class ProcessUsage:
    """Start, duration and peak memory of a process."""

    started_ns: int
    wall_ms: float
    peak_mb: float


# --- The two environments. ---


def make_environments(cache: Path) -> tuple[Path, Path]:
    """Return the interpreters of the environments of algotools and of the peer, which are created if necessary.

    The peer is installed first, because its requirements restrict pandas more. Algotools gets the same pandas.
    """
    version = platform.python_version()
    peer = ensure_environment(cache / f"peer-{version}", PEER, [PEER])
    pins = [f"{name}=={read_version(peer, name)}" for name in ("pandas", "numpy")]
    ours = ensure_environment(
        cache / f"algotools-{version}",
        f"{checkout_digest()} {pins}",
        [str(ROOT), *pins],
        fallback=[str(ROOT)],
    )
    return ours, peer


def ensure_environment(
    folder: Path, key: str, requirements: list[str], fallback: list[str] | None = None, base: str = sys.executable
) -> Path:
    """Return the interpreter of a virtual environment of the Python ``base``. A new ``key`` reinstalls it.

    ``fallback`` is installed if ``requirements`` cannot be installed.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    if python.exists() and ready.is_file() and ready.read_text(encoding="utf-8") == key:
        return python
    log(f"preparing {folder}")
    ready.unlink(missing_ok=True)
    if not python.exists():
        execute([base, "-m", "venv", str(folder)])
    try:
        install(python, requirements)
    except SystemExit:
        if fallback is None:
            raise
        log("the versions of the peer cannot be installed with algotools; the two environments differ")
        install(python, fallback)
    ready.write_text(key, encoding="utf-8")
    return python


def install(python: Path, requirements: list[str]) -> None:
    """Install with pip, which also compiles the packages, so that no measured process has to."""
    execute([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])


def checkout_digest() -> str:
    """Return a digest of the files of the checkout that are installed."""
    digest = hashlib.sha256()
    for path in [ROOT / "pyproject.toml", *sorted((ROOT / "algotools").rglob("*.py"))]:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_version(python: Path, name: str) -> str:
    """Return the version of a package in an environment."""
    return execute([str(python), "-c", f"from importlib.metadata import version; print(version({name!r}))"]).strip()


def execute(command: list[str], stdin: object = None) -> str:
    """Run a command that is not measured, and return its output. If the command fails, the benchmark stops."""
    process = subprocess.run(
        command,
        input=json.dumps(stdin),
        cwd=tempfile.gettempdir(),  # outside the checkout, so that its sources cannot be imported
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{process.stdout}{process.stderr}")
    return process.stdout


# --- Runs and their measurement. ---


class PreparedTask:
    """A prepared task of a v4 or v5 node, which any contestant can run.

    ``database`` has ``uri``, ``type`` and ``query``; default: a table of 100 patients. ``step`` is for v5. There, a
    computation reads the table of a session, see ``store_table``.
    """

    def __init__(
        self,
        folder: Path,
        python: Path,
        method: str,
        kwargs: Mapping[str, str],
        *,
        reads_data: bool = True,
        database: Mapping[str, str] | None = None,
        contract: str = "v4",
        step: str = "compute",
    ) -> None:
        folder.mkdir()
        self._folder = folder
        parameters = {
            "folder": str(folder),
            "method": method,
            "kwargs": dict(kwargs),
            "database": dict(database or {"uri": str(write_table(folder / "table.csv")), "type": "csv"}),
            "reads_data": reads_data,
            "contract": contract,
            "step": step,
        }
        self._variables: dict[str, str] = json.loads(
            execute([str(python), str(HERE / "children/prepare.py")], parameters)
        )

    def run(self, contestant: Contestant) -> ProcessUsage:
        """Run the task with a contestant. Only the variables for the package depend on the contestant."""
        (self._folder / "output").write_bytes(b"")
        image = {"PKG_NAME": contestant.package, "PYTHONPATH": str(contestant.source)}
        return measure(
            [str(contestant.python), *contestant.arguments],
            {**make_environ(), **image, **contestant.variables, **self._variables},
            self._folder,
        )

    def read_result(self) -> object:
        """Return the result of the last run."""
        return json.loads((self._folder / "output").read_bytes())

    @property
    def table(self) -> Path:
        """The table of the session for a computation (v5)."""
        return self._folder / "session" / "default.parquet"

    def store_table(self, extraction: PreparedTask) -> None:
        """Store the result of an extraction as the table of the session, like a v5 node."""
        (extraction._folder / "output").replace(self.table)


def measure(command: list[str], environ: Mapping[str, str], folder: Path) -> ProcessUsage:
    """Run a command, and measure its time and memory.

    The peak memory is the kernel's ``ru_maxrss`` (``wait4``): the memory of the largest process among the command and
    the descendants for which it waited, so the forked worker of algotools is included. Pages that the worker shares
    with its supervisor count once.
    """
    log_file = folder / "log"
    process = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "children/measure.py"), str(log_file), *command],
        env=environ,
        cwd=folder,  # outside the checkout, so that its sources cannot be imported
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, Any] = json.loads(process.stdout)
    if figures.pop("exit_code"):
        raise SystemExit(f"{' '.join(command)} failed:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
    return ProcessUsage(**figures)


def make_environ() -> dict[str, str]:
    """Return minimal environment variables, so that the caller's variables do not influence the measurement."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def write_table(path: Path, shift: int = 0) -> Path:
    """Write a table of patients, of whom one in seven has no age. Sums of integers do not depend on the order."""
    rows = [f"patient-{i},{'' if i % 7 == 3 else 20 + (i * 37 + shift) % 70},{'fm'[i % 2]}" for i in range(ROWS)]
    path.write_text("\n".join(["patient,age,sex", *rows, ""]), encoding="utf-8")
    return path


def alternate(rounds: int, turns: Mapping[str, Callable[[], object]], *, warm_up: bool = True) -> None:
    """Call each turn once per round. The first round fills the disk cache; its figures must be ignored."""
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, turn in turns.items():
            show_progress(f"{name}, {number or 'warm-up'} of {rounds}")
            turn()
    show_progress("")


def make_contestants(ours: Path, peer: Path) -> dict[str, Contestant]:
    """Return the contestants. Each is started with the command of its image."""
    our_arguments = ("-m", "algotools")
    peer_arguments = ("-c", "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()")
    return {
        "ours, enters": Contestant(ours, our_arguments, "entered", HERE / "algorithms"),
        "peer, enters": Contestant(peer, peer_arguments, "vantage6_entered", HERE / "peers"),
        "ours, pandas": Contestant(ours, our_arguments, "average", ROOT / "examples/average/src"),
        "ours, csv": Contestant(ours, our_arguments, "average_csv", HERE / "algorithms"),
        "peer, pandas": Contestant(peer, peer_arguments, "vantage6_average", HERE / "peers"),
    }


# --- The measurements. ---


def measure_overhead(contestants: Mapping[str, Contestant], folder: Path, rounds: int) -> Figures:
    """Measure the time from the start of the process until the author's function is called, minus Python's own time.

    Python's own time is that of an interpreter of the same environment, in the same round.
    """
    moment = folder / "moment"
    ours, peer = contestants["ours, enters"], contestants["peer, enters"]
    task = PreparedTask(folder / "enters", ours.python, "entered", {"file": str(moment)}, reads_data=False)
    bare = ("-c", f"import time; moment = time.monotonic_ns(); open({str(moment)!r}, 'w').write(str(moment))")
    samples: dict[str, list[float]] = {name: [] for name in ("bare ours", "ours", "bare peer", "peer")}

    def turn(name: str, contestant: Contestant) -> None:
        moment.unlink(missing_ok=True)
        usage = task.run(contestant)
        samples[name].append((int(moment.read_text(encoding="ascii")) - usage.started_ns) / 1e6)

    def make_bare(contestant: Contestant) -> Contestant:
        return Contestant(contestant.python, bare, contestant.package, contestant.source)

    turns = {"bare ours": make_bare(ours), "ours": ours, "bare peer": make_bare(peer), "peer": peer}
    alternate(rounds, {name: partial(turn, name, contestant) for name, contestant in turns.items()})
    counted = {name: values[1:] for name, values in samples.items()}

    def subtract_bare(name: str) -> Spread:
        return Spread("ms", [a - b for a, b in zip(counted[name], counted[f"bare {name}"], strict=True)])

    return {
        "overhead, ours": subtract_bare("ours"),
        "overhead, peer": subtract_bare("peer"),
        "bare Python, ours": Spread("ms", counted["bare ours"]),
        "bare Python, peer": Spread("ms", counted["bare peer"]),
    }


def measure_partial(contestants: Mapping[str, Contestant], folder: Path, rounds: int) -> Figures:
    """Measure processes that compute the partial average of the same file. The results must be equal."""
    names = ("ours, pandas", "ours, csv", "peer, pandas")
    task = PreparedTask(
        folder / "partial", contestants[names[0]].python, "average_partial", {"column_name": "age"}, reads_data=True
    )
    usages: dict[str, list[ProcessUsage]] = {name: [] for name in names}
    results: dict[str, object] = {}

    def turn(name: str) -> None:
        usages[name].append(task.run(contestants[name]))
        results[name] = task.read_result()

    alternate(rounds, {name: partial(turn, name) for name in names})
    if any(result != results[names[0]] for result in results.values()):
        raise SystemExit(f"the results differ, so a comparison is not possible: {results}")
    print(f"All three contestants return {json.dumps(results[names[0]])}.")
    figures = {f"partial, {name}": Spread("ms", [usage.wall_ms for usage in usages[name][1:]]) for name in names}
    return figures | {f"memory, {name}": Spread("MB", [usage.peak_mb for usage in usages[name][1:]]) for name in names}


def measure_inline(python: Path, folder: Path) -> Figures:
    """Measure a partial of ten inline nodes and a master, without imports: first pair of a process and later pairs."""
    databases = [str(write_table(folder / f"node-{i}.csv", i)) for i in range(NODES)]
    parameters = {"algorithm": str(ROOT / "examples/average"), "databases": databases, "rounds": 1 + LATER_TIMES}
    first: list[float] = []
    later: list[float] = []
    for number in range(FIRST_TIMES):
        show_progress(f"inline federation, {number + 1} of {FIRST_TIMES}")
        times = json.loads(execute([str(python), str(HERE / "children/inline.py")], parameters))
        sums = [1e3 * (p + m) for p, m in zip(times["partial"], times["master"], strict=True)]
        first += sums[:1]
        later += sums[1:]
    show_progress("")
    return {"inline, first": Spread("ms", first), "inline, later": Spread("ms", later)}


# --- The output. ---


def compute_ratios(figures: Figures) -> dict[str, float]:
    """Return the medians of algotools divided by the medians of the peer."""
    return {
        "overhead": figures["overhead, ours"].median / figures["overhead, peer"].median,
        **{
            f"{part}, {form}": figures[f"{part}, ours, {form}"].median / figures[f"{part}, peer, pandas"].median
            for part in ("partial", "memory")
            for form in ("pandas", "csv")
        },
    }


def make_targets(figures: Figures, by_peer: Mapping[str, float]) -> list[Target]:
    """Return the targets of these figures."""
    return [
        Target("overhead beyond bare Python", figures["overhead, ours"].median, 100, " ms"),
        Target("time of the pandas partial, relative to the peer", by_peer["partial, pandas"], 0.85),
        Target("time of the partial without pandas, relative to the peer with pandas", by_peer["partial, csv"], 0.25),
        Target(
            f"partial and master of {NODES} inline nodes, the first time", figures["inline, first"].median, 200, " ms"
        ),
        Target(f"partial and master of {NODES} inline nodes, later", figures["inline, later"].median, 200, " ms"),
    ]


def format_table(figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Format a table of medians, minima and maxima."""
    peer = PEER.replace("==", " ")
    lines = [("median (min to max)", "algotools", peer, "ratio")]
    lines += [
        (text, str(figures[ours]), str(figures[theirs]) if theirs else "", f"{by_peer[key]:.2f}" if key else "")
        for text, ours, theirs, key in (
            ("bare Python, until its own code runs", "bare Python, ours", "bare Python, peer", ""),
            ("overhead, until the function is entered", "overhead, ours", "overhead, peer", "overhead"),
            (f"partial of {ROWS} rows, pandas", "partial, ours, pandas", "partial, peer, pandas", "partial, pandas"),
            ("  peak memory", "memory, ours, pandas", "memory, peer, pandas", "memory, pandas"),
            ("the same without pandas", "partial, ours, csv", "partial, peer, pandas", "partial, csv"),
            ("  peak memory", "memory, ours, csv", "memory, peer, pandas", "memory, csv"),
            (f"{NODES} inline nodes, partial + master, first", "inline, first", "", ""),
            (f"{NODES} inline nodes, partial + master, later", "inline, later", "", ""),
        )
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in lines
    )


def describe_origin(ours: Path, peer: Path) -> dict[str, object]:
    """Return the versions and the machine, without which the figures cannot be interpreted."""
    libraries = ("pandas", "numpy")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "ours": {name: read_version(ours, name) for name in ("federated-algotools", *libraries)},
        "peer": {name: read_version(peer, name) for name in (PEER.partition("==")[0], *libraries)},
    }


def format_json(origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Format the figures with all samples as JSON."""
    content = {
        "about": origin,
        "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in make_targets(figures, by_peer)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def log(line: str) -> None:
    """Write a line to standard error; standard output is for the figures."""
    print(line, file=sys.stderr, flush=True)


def show_progress(text: str) -> None:
    """Show the current measurement if standard error is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def make_cache_folder(chosen: Path | None) -> Path:
    """Make the folder for environments, and return its absolute path. *chosen* is the one of the option ``--cache``.

    By default it is in the home directory; without one, it is a temporary folder.
    """
    if chosen is None:
        with contextlib.suppress(OSError, RuntimeError):
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "algotools-benchmarks"
            folder.mkdir(parents=True, exist_ok=True)
            return folder.absolute()
    folder = (chosen or Path(tempfile.gettempdir()) / "algotools-benchmarks").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="number of measurements (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, help="folder for the two environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    cache = make_cache_folder(options.cache)
    ours, peer = make_environments(cache)
    before = os.getloadavg()[0]  # load of other processes increases times, but hardly changes ratios
    origin = describe_origin(ours, peer)
    print(*(f"{name}: {value}" for name, value in origin.items()), sep="\n")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        contestants = make_contestants(ours, peer)
        figures = measure_overhead(contestants, folder, options.rounds)
        figures |= measure_partial(contestants, folder, options.rounds)
        figures |= measure_inline(ours, folder)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = compute_ratios(figures)
    print(f"load before and after: {origin['load before and after']}", "", sep="\n")
    print(format_table(figures, by_peer), "", *make_targets(figures, by_peer), sep="\n")
    if options.json:
        options.json.write_text(format_json(origin, figures, by_peer), encoding="utf-8")


if __name__ == "__main__":
    main()
