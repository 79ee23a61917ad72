"""What it costs to start a function: algotools beside the platform's own tools, in one run.

    python benchmarks/dispatch.py [--rounds N] [--cache FOLDER] [--json FILE]

Makes two virtual environments of the Python that runs it, one with this checkout and one with the peer, both with
the same pandas, and keeps them. Then it measures both in turn (A, B, A, B, …), so that whatever else the machine
does weighs on both alike. Needs nothing but Python and a package index.
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
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEER = "vantage6-algorithm-tools==4.15.2"
"""The newest 4.15; 5.x speaks to another generation of nodes."""

ROWS = 100
NODES = 10
FIRST_TIMES = 5
LATER_TIMES = 5

Figures = dict[str, "Spread"]


@dataclass(frozen=True)
class Spread:
    """One figure, measured several times; a median alone would hide how much it moves."""

    unit: str
    samples: list[float]

    @property
    def median(self) -> float:
        """The middle of the samples: one slow start of many does not move it."""
        return statistics.median(self.samples)

    def __str__(self) -> str:
        return f"{self.median:.1f} ({min(self.samples):.1f} to {max(self.samples):.1f}) {self.unit}"


@dataclass(frozen=True)
class Target:
    """What we promise, and what came out."""

    promise: str
    measured: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise holds."""
        return self.measured <= self.limit

    def __str__(self) -> str:
        state = "met    " if self.met else "NOT MET"
        return f"{state}  {self.promise}: {self.measured:.3g}{self.unit} (at most {self.limit:g}{self.unit})"


@dataclass(frozen=True)
class Contestant:
    """One way to run an algorithm: an interpreter, what it is started with, and whose code it imports."""

    python: Path
    arguments: tuple[str, ...]
    package: str
    source: Path


@dataclass(frozen=True)
class Ended:
    """What is known of a process that has come to its end."""

    started_ns: int
    wall_ms: float
    peak_mb: float


# --- The two environments. ---


def make_environments(cache: Path) -> tuple[Path, Path]:
    """The interpreters of our and of the peer's environment; made once, ours again when the checkout changes.

    The peer comes first: its requirements bind pandas more tightly than ours, and ours takes what it got.
    """
    version = platform.python_version()
    peer = environment(cache / f"peer-{version}", PEER, [PEER])
    pins = [f"{name}=={installed(peer, name)}" for name in ("pandas", "numpy")]
    ours = environment(
        cache / f"algotools-{version}",
        f"{checkout_digest()} {pins}",
        [str(ROOT), *pins],
        otherwise=[str(ROOT)],
    )
    return ours, peer


def environment(
    folder: Path, key: str, wanted: list[str], otherwise: list[str] | None = None, base: str = sys.executable
) -> Path:
    """A virtual environment with what is wanted (``otherwise``, if that cannot be installed), unless it is there.

    It is one of the Python ``base``.
    """
    python, ready = folder / "bin" / "python", folder / "ready"
    if python.exists() and ready.is_file() and ready.read_text(encoding="utf-8") == key:
        return python
    say(f"preparing {folder}")
    ready.unlink(missing_ok=True)
    if not python.exists():
        execute([base, "-m", "venv", str(folder)])
    try:
        install(python, wanted)
    except SystemExit:
        if otherwise is None:
            raise
        say("the peer's versions cannot be installed beside ours; the two environments will differ")
        install(python, otherwise)
    ready.write_text(key, encoding="utf-8")
    return python


def install(python: Path, wanted: list[str]) -> None:
    """Let pip install; it compiles what it installs, so that no measured process has to."""
    execute([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])


def checkout_digest() -> str:
    """Changes with every change of what is installed of the checkout."""
    digest = hashlib.sha256()
    for path in [ROOT / "pyproject.toml", *sorted((ROOT / "algotools").rglob("*.py"))]:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def installed(python: Path, name: str) -> str:
    """The version of a package in an environment."""
    return execute([str(python), "-c", f"from importlib.metadata import version; print(version({name!r}))"]).strip()


def execute(command: list[str], stdin: object = None) -> str:
    """Run a step that is not measured; gives its output, ends the benchmark with its errors if it fails."""
    done = subprocess.run(
        command,
        input=json.dumps(stdin),
        cwd=tempfile.gettempdir(),  # not the checkout: a stray import would find its sources
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


# --- What is run, and how it is measured. ---


class Node:
    """A node in small, of v4 unless told otherwise: one prepared task, which any contestant can be given.

    Its ``database`` (``uri``, ``type``, ``query``) is a table of 100 patients if none is given. ``step`` is v5's: what
    computes is given the one table of a session, see ``put``.
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
        asked = {
            "folder": str(folder),
            "method": method,
            "kwargs": dict(kwargs),
            "database": dict(database or {"uri": str(write_table(folder / "table.csv")), "type": "csv"}),
            "reads_data": reads_data,
            "contract": contract,
            "step": step,
        }
        self._variables: dict[str, str] = json.loads(execute([str(python), str(HERE / "children/prepare.py")], asked))

    def run(self, contestant: Contestant) -> Ended:
        """Give the task to a contestant. The variables are the same for all, but for where its package is."""
        (self._folder / "output").write_bytes(b"")
        image = {"PKG_NAME": contestant.package, "PYTHONPATH": str(contestant.source)}
        return measure(
            [str(contestant.python), *contestant.arguments], {**system(), **image, **self._variables}, self._folder
        )

    def answer(self) -> object:
        """What the last run answered."""
        return json.loads((self._folder / "output").read_bytes())

    @property
    def table(self) -> Path:
        """The table of the session, for what computes (v5)."""
        return self._folder / "session" / "default.parquet"

    def put(self, other: Node) -> None:
        """Make what another node's extraction has answered the session's table, as v5's nodes do."""
        (other._folder / "output").replace(self.table)


def measure(command: list[str], environ: Mapping[str, str], folder: Path) -> Ended:
    """Run a process to its end.

    Its peak memory is the kernel's ``ru_maxrss`` (``wait4``): that of the largest single process among itself and
    the descendants that it waited for, so our forked worker is in it; pages that it shares with its supervisor
    count once.
    """
    log = folder / "log"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "children/measure.py"), str(log), *command],
        env=environ,
        cwd=folder,  # not the checkout: a stray import would find its sources
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    if figures.pop("exit_code"):
        raise SystemExit(f"{' '.join(command)} failed:\n{log.read_text(encoding='utf-8', errors='replace')}")
    return Ended(**figures)


def system() -> dict[str, str]:
    """The variables of any process, so that none of the caller's own changes what is measured."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def write_table(path: Path, shift: int = 0) -> Path:
    """A table of patients; one in seven has no age. Whole numbers, so that no order of adding changes a sum."""
    rows = [f"patient-{i},{'' if i % 7 == 3 else 20 + (i * 37 + shift) % 70},{'fm'[i % 2]}" for i in range(ROWS)]
    path.write_text("\n".join(["patient,age,sex", *rows, ""]), encoding="utf-8")
    return path


def alternate(rounds: int, turns: Mapping[str, Callable[[], object]], *, warm_up: bool = True) -> None:
    """Let each take its turn in every round. A first round warms the disk's cache, its figures are dropped."""
    for number in range(0 if warm_up else 1, rounds + 1):
        for name, turn in turns.items():
            progress(f"{name}, {number or 'warm-up'} of {rounds}")
            turn()
    progress("")


def contestants(ours: Path, peer: Path) -> dict[str, Contestant]:
    """Who is measured. Each is started as its own image would start it."""
    our_way = ("-m", "algotools")
    peer_way = ("-c", "from vantage6.algorithm.tools.wrap import wrap_algorithm; wrap_algorithm()")
    return {
        "ours, enters": Contestant(ours, our_way, "entered", HERE / "algorithms"),
        "peer, enters": Contestant(peer, peer_way, "vantage6_entered", HERE / "peers"),
        "ours, pandas": Contestant(ours, our_way, "average", ROOT / "examples/average/src"),
        "ours, csv": Contestant(ours, our_way, "average_csv", HERE / "algorithms"),
        "peer, pandas": Contestant(peer, peer_way, "vantage6_average", HERE / "peers"),
    }


# --- The measurements. ---


def measure_overhead(who: Mapping[str, Contestant], folder: Path, rounds: int) -> Figures:
    """From the start of the process until the author's function is entered, beyond what Python itself needs.

    Each figure is the difference to a bare interpreter of the same environment in the same round.
    """
    moment = folder / "moment"
    ours, peer = who["ours, enters"], who["peer, enters"]
    node = Node(folder / "enters", ours.python, "entered", {"file": str(moment)}, reads_data=False)
    bare = ("-c", f"import time; moment = time.monotonic_ns(); open({str(moment)!r}, 'w').write(str(moment))")
    samples: dict[str, list[float]] = {name: [] for name in ("bare ours", "ours", "bare peer", "peer")}

    def turn(name: str, contestant: Contestant) -> None:
        moment.unlink(missing_ok=True)
        ended = node.run(contestant)
        samples[name].append((int(moment.read_text(encoding="ascii")) - ended.started_ns) / 1e6)

    def plain(contestant: Contestant) -> Contestant:
        return Contestant(contestant.python, bare, contestant.package, contestant.source)

    turns = {"bare ours": plain(ours), "ours": ours, "bare peer": plain(peer), "peer": peer}
    alternate(rounds, {name: partial(turn, name, contestant) for name, contestant in turns.items()})
    taken = {name: values[1:] for name, values in samples.items()}

    def beyond(name: str) -> Spread:
        return Spread("ms", [a - b for a, b in zip(taken[name], taken[f"bare {name}"], strict=True)])

    return {
        "overhead, ours": beyond("ours"),
        "overhead, peer": beyond("peer"),
        "bare Python, ours": Spread("ms", taken["bare ours"]),
        "bare Python, peer": Spread("ms", taken["bare peer"]),
    }


def measure_partial(who: Mapping[str, Contestant], folder: Path, rounds: int) -> Figures:
    """Whole processes that answer the average's partial on one file, in one environment; the answers must agree."""
    names = ("ours, pandas", "ours, csv", "peer, pandas")
    node = Node(folder / "partial", who[names[0]].python, "average_partial", {"column_name": "age"}, reads_data=True)
    ended: dict[str, list[Ended]] = {name: [] for name in names}
    answers: dict[str, object] = {}

    def turn(name: str) -> None:
        ended[name].append(node.run(who[name]))
        answers[name] = node.answer()

    alternate(rounds, {name: partial(turn, name) for name in names})
    if any(answer != answers[names[0]] for answer in answers.values()):
        raise SystemExit(f"the answers differ, so nothing can be compared: {answers}")
    print(f"All three answer {json.dumps(answers[names[0]])}.")
    figures = {f"partial, {name}": Spread("ms", [e.wall_ms for e in ended[name][1:]]) for name in names}
    return figures | {f"memory, {name}": Spread("MB", [e.peak_mb for e in ended[name][1:]]) for name in names}


def measure_inline(python: Path, folder: Path) -> Figures:
    """A partial of ten inline nodes and then a master, after imports: the first of a process, and later ones."""
    databases = [str(write_table(folder / f"node-{i}.csv", i)) for i in range(NODES)]
    asked = {"algorithm": str(ROOT / "examples/average"), "databases": databases, "rounds": 1 + LATER_TIMES}
    first: list[float] = []
    later: list[float] = []
    for number in range(FIRST_TIMES):
        progress(f"inline federation, {number + 1} of {FIRST_TIMES}")
        times = json.loads(execute([str(python), str(HERE / "children/inline.py")], asked))
        both = [1e3 * (p + m) for p, m in zip(times["partial"], times["master"], strict=True)]
        first += both[:1]
        later += both[1:]
    progress("")
    return {"inline, first": Spread("ms", first), "inline, later": Spread("ms", later)}


# --- What comes out. ---


def ratios(figures: Figures) -> dict[str, float]:
    """Ours by the peer's, medians of the same run."""
    return {
        "overhead": figures["overhead, ours"].median / figures["overhead, peer"].median,
        **{
            f"{what}, {form}": figures[f"{what}, ours, {form}"].median / figures[f"{what}, peer, pandas"].median
            for what in ("partial", "memory")
            for form in ("pandas", "csv")
        },
    }


def targets(figures: Figures, by_peer: Mapping[str, float]) -> list[Target]:
    """What we promise of these figures."""
    return [
        Target("overhead beyond bare Python", figures["overhead, ours"].median, 100, " ms"),
        Target("time of the pandas partial, by the peer's", by_peer["partial, pandas"], 0.85),
        Target("time of the partial without pandas, by the peer's with", by_peer["partial, csv"], 0.25),
        Target(
            f"partial and master of {NODES} inline nodes, the first time", figures["inline, first"].median, 200, " ms"
        ),
        Target(f"partial and master of {NODES} inline nodes, later", figures["inline, later"].median, 200, " ms"),
    ]


def table(figures: Figures, by_peer: Mapping[str, float]) -> str:
    """The figures as a person reads them: medians, and the smallest and largest value."""
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


def about(ours: Path, peer: Path) -> dict[str, object]:
    """Where the figures come from: they mean nothing without."""
    libraries = ("pandas", "numpy")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "ours": {name: installed(ours, name) for name in ("federated-algotools", *libraries)},
        "peer": {name: installed(peer, name) for name in (PEER.partition("==")[0], *libraries)},
    }


def as_json(origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float]) -> str:
    """Everything, every single measurement included."""
    content = {
        "about": origin,
        "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in targets(figures, by_peer)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def say(line: str) -> None:
    """Tell what is going on; standard output is for the figures."""
    print(line, file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """Show what is being measured, where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Where the environments are kept unless told otherwise; a temporary folder where there is no home."""
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "algotools-benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    return Path(tempfile.gettempdir()) / "algotools-benchmarks"


def main() -> None:
    """Measure, print, and end well whether or not the targets are met: figures are judged by people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, help="folder that keeps the two environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    cache = (options.cache or cache_folder()).absolute()
    cache.mkdir(parents=True, exist_ok=True)
    ours, peer = make_environments(cache)
    before = os.getloadavg()[0]  # with others at work, times that stand alone come out too high; ratios bear it
    origin = about(ours, peer)
    print(*(f"{name}: {value}" for name, value in origin.items()), sep="\n")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        who = contestants(ours, peer)
        figures = measure_overhead(who, folder, options.rounds)
        figures |= measure_partial(who, folder, options.rounds)
        figures |= measure_inline(ours, folder)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = ratios(figures)
    print(f"load before and after: {origin['load before and after']}", "", sep="\n")
    print(table(figures, by_peer), "", *targets(figures, by_peer), sep="\n")
    if options.json:
        options.json.write_text(as_json(origin, figures, by_peer), encoding="utf-8")


if __name__ == "__main__":
    main()
