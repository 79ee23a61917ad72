"""What a hundred nodes cost: our local federation beside the platform's own mock and Flower's simulation, in one run.

    python benchmarks/federation.py [--nodes 10,100,1000] [--repeat N] [--quick] [--cache FOLDER] [--json FILE]

Everybody computes the same: the average of one column over as many tables as there are nodes, each a CSV file of 100
rows, read by pandas. The answers must agree. The contestants take turns, and each time is a process of its own:

* ``inline``, ``process``, ``container``: our runners. ``inline`` runs all nodes in one process; the others isolate each
  run from all others.
* ``mock``: ``MockAlgorithmClient`` of vantage6-algorithm-tools, in one process, one node after the other.
* ``Flower``: its simulation with Ray's actors, ``num_cpus`` 1, so as many processes at once as there are processors,
  each of them for many clients, one after the other. Its nearest relative here is ``process``.

What the columns say, each as the median of all times (from the least to the most):

* *the whole*: from the start of the interpreter to its end, when the answer has been asked for once: for what somebody
  waits who calls a script. In ms, as all times.
* *start to answer*: the part of it until the answer is there; the end of the processes and the removal of files is not
  in it, for anybody.
* *the task*: the part of it from the question, with the federation (client, simulation) made and its nodes known.
* *once more*: the same question again in the same process, when all is imported and started.
* *memory*: the most that all processes together had at one look (PSS: what several share counts once), in MB. Looking
  takes time, so it is done in runs of their own. Containers are the engine's and not ours, so theirs is not known.
* *main process*: the most that the first process had by itself (``VmHWM``), in MB.

After that, 40 nodes with 100,000 rows of 10 numbers each, given as frames: how much more memory all processes have at
most than before the frames were made, by the size of the frames; and what lies in the folder for temporary files.

Whatever takes longer than a minute is measured once. Makes an environment for each side at the first use and keeps
them, as ``dispatch.py`` does (ours and the mock's are the same ones). Needs a package index then; and for containers an
engine, and what README's "Ship it" says where Docker Hub or the index cannot be reached from it; the example's image
stays, as after any run in a container. Memory is known on Linux alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dispatch import (
    HERE,
    PEER,
    ROOT,
    Figures,
    Spread,
    Target,
    cache_folder,
    environment,
    installed,
    make_environments,
    progress,
    say,
    system,
    write_table,
)

FLOWER = "flwr[simulation]"
"""The newest that the index has when its environment is made."""

COLUMN = "age"
FRAMES = (40, 100_000, 10)
"""Nodes, rows and columns of float64."""

IN_CONTAINERS = (10, 100)
"""As many nodes as containers are started for: a thousand would take a quarter of an hour and tell nothing more."""

LOOK = 0.05
LOOK_AT_FRAMES = 0.01
"""Seconds between two looks at the memory; frames come and go more quickly."""

LONG = 60_000
"""Milliseconds: what takes longer is measured once."""

PATIENCE = 900
"""Seconds that anything may take: the first container waits for its image to be built."""

COUNTED = {
    "whole": ("the whole", "ms"),
    "answer": ("start to answer", "ms"),
    "task": ("the task", "ms"),
    "again": ("once more", "ms"),
    "memory": ("memory", "MB"),
    "main": ("main process", "MB"),
}
"""What is measured of each, what it is called, and its unit."""

OURS = ("inline", "process", "container")
PEERS = ("mock", "Flower")


@dataclass
class Way:
    """One way to have the average computed."""

    python: Path
    script: Path
    path: Sequence[Path] = ()
    """Where it finds modules that are not installed."""
    asked: Mapping[str, object] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, folder: Path, asked: Mapping[str, object], look: float = 0.0) -> dict[str, Any]:
        """What it tells of one time, in a process of its own; ``look`` is the time between two looks at its memory.

        Raises:
            Trouble: it gave no answer.
        """
        with tempfile.TemporaryDirectory(dir=folder, prefix="") as name:
            at = Path(name)
            question, told, log = at / "asked", at / "told", at / "log"
            question.write_text(json.dumps({**self.asked, **asked}), encoding="utf-8")
            (at / "t").mkdir()
            # Where files are counted they have a folder of their own; else they are where each side puts them.
            place = {"TMPDIR": str(at / "t")} if "frames" in asked else {}
            done = subprocess.run(
                [sys.executable, "-I", "-S", str(HERE / "children/sample.py"), str(log), str(look), str(PATIENCE),
                 str(self.python), str(self.script), str(question), str(told)],
                env={
                    **system(),
                    **self.variables,
                    "PYTHONPATH": os.pathsep.join(map(str, [HERE / "children", *self.path])),
                    **place,
                },
                cwd=at,  # not the checkout: a stray import would find its sources
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                check=True,
            )  # fmt: skip
            seen: dict[str, Any] = json.loads(done.stdout)
            if seen["exit_code"] != 0 or not told.exists():
                how = "did not end in time" if seen["exit_code"] is None else f"ended with {seen['exit_code']}"
                raise Trouble(how, log.read_text(encoding="utf-8", errors="replace"))
            return {**seen, **json.loads(told.read_text(encoding="utf-8"))}


class Trouble(Exception):
    """A contestant that gave no answer: how it ended, and all that it printed."""

    def __init__(self, how: str, log: str) -> None:
        super().__init__(f"{how}; it said:\n{log}")
        self.told = next((line for line in reversed(log.splitlines()) if line.strip()), how)


# --- Who takes part. ---


def contestants(cache: Path) -> dict[str, Way]:
    """Everybody who can take part on this machine, in environments that are made if need be."""
    ours, peer = make_environments(cache)
    child = HERE / "children/federated.py"
    engine = {
        name: text
        for name, text in os.environ.items()
        if name.startswith(("DOCKER_", "ALGOTOOLS_", "PIP_")) or name.lower().endswith("_proxy")
    }
    found = {
        runner: Way(
            ours,
            child,
            asked={"runner": runner, "algorithm": str(ROOT / "examples/average")},
            variables=engine if runner == "container" else {},
        )
        for runner in OURS
    }
    found["mock"] = Way(peer, HERE / "peers/mock_federated.py", [HERE / "peers/vantage6_image"])
    pandas = [f"{name}=={installed(ours, name)}" for name in ("pandas", "numpy")]
    try:
        flower = environment(
            cache / f"flower-{platform.python_version()}", f"{FLOWER} {pandas}", [FLOWER, *pandas], [FLOWER, "pandas"]
        )
    except SystemExit as error:
        say(f"Flower is left out, for this Python it cannot be installed: {str(error).strip().splitlines()[-1]}")
        return found
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    found["Flower"] = Way(flower, HERE / "peers/flower_federated.py", variables=quiet)
    return found


def warmed(ways: Mapping[str, Way], folder: Path, databases: Sequence[str]) -> dict[str, Way]:
    """Those who answer: each is asked once and it is not counted, for it warms the disk's cache and builds an image."""
    able = {}
    for name, way in ways.items():
        progress(f"warming up: {name}")
        try:
            way.run(folder, {"databases": databases, "column": COLUMN})
        except Trouble as trouble:
            if name in ("inline", "process"):
                raise SystemExit(f"{name} {trouble}") from None
            say(f"{name} is left out: {trouble.told}")
        else:
            able[name] = way
    progress("")
    return able


# --- The measurements. ---


def measure(ways: Mapping[str, Way], folder: Path, counts: Sequence[int], repeat: int) -> Figures:
    """Each of them over each number of nodes, so many times; times, and then memory."""
    databases = [str(write_table(folder / f"node-{number}.csv", number)) for number in range(max(counts))]
    ways = warmed(ways, folder, databases[: min(counts)])
    samples: dict[str, list[float]] = {}
    answers: dict[int, dict[str, float]] = {}
    troubled: set[tuple[int, str]] = set()
    for count, name, kind in turns(ways, counts, repeat, samples):
        if (count, name) in troubled:
            continue
        asked = {"databases": databases[:count], "column": COLUMN, "once": kind == "whole"}
        try:
            told = ways[name].run(folder, asked, LOOK if kind == "memory" else 0.0)
        except Trouble as trouble:
            troubled.add((count, name))
            say(f"{name} gives no answer of {count} nodes: {trouble.told}")
            continue
        answers.setdefault(count, {})[name] = told["answer"]
        for what, value in KINDS[kind](told).items():
            samples.setdefault(f"{name}, {count}, {what}", []).append(value)
    for count, by_name in answers.items():
        if len(set(by_name.values())) > 1:
            raise SystemExit(f"the answers of {count} nodes differ, so nothing can be compared: {by_name}")
        print(f"All answer {next(iter(by_name.values()))} of {count} nodes.")
    return {key: Spread(COUNTED[key.rpartition(", ")[2]][1], values) for key, values in samples.items()}


def turns(
    ways: Mapping[str, Way], counts: Sequence[int], repeat: int, samples: Mapping[str, list[float]]
) -> Iterator[tuple[int, str, str]]:
    """Whose turn it is, over how many nodes, and what is measured then."""
    for kind in KINDS:
        if kind == "memory" and sys.platform != "linux":
            continue
        for count in counts:
            for number in range(repeat):
                for name in ways:
                    if name == "container" and (kind == "memory" or count not in IN_CONTAINERS):
                        continue
                    if number and max(samples.get(f"{name}, {count}, answer", [0])) > LONG:
                        continue
                    progress(f"{count} nodes, {kind}, {number + 1} of {repeat}: {name}")
                    yield count, name, kind
    progress("")


def of_time(told: Mapping[str, Any]) -> dict[str, float]:
    """The times of one run, in ms."""
    times = {"answer": (told["answered_ns"] - told["started_ns"]) / 1e6, "task": told["task_ms"]}
    return times | ({"again": told["again_ms"]} if "again_ms" in told else {})


def of_memory(told: Mapping[str, Any]) -> dict[str, float]:
    """The memory of one run, in MB."""
    return {"memory": max(mb for _, mb in told["samples"]), "main": told["main_mb"]}


def of_whole(told: Mapping[str, Any]) -> dict[str, float]:
    """The time of a process, in ms."""
    return {"whole": (told["ended_ns"] - told["started_ns"]) / 1e6}


KINDS = {"time": of_time, "whole": of_whole, "memory": of_memory}
"""What is measured in runs of their own, and how it is read from what a run tells."""


def measure_frames(ways: Mapping[str, Way], folder: Path, repeat: int) -> Figures:
    """Memory beyond what all processes had before the frames were made, by the size of the frames."""
    asked = {"frames": FRAMES, "settle": 20 * LOOK_AT_FRAMES, "column": "column_3"}
    samples: dict[str, list[float]] = {}
    answers: dict[str, float] = {}
    for number in range(repeat if sys.platform == "linux" else 0):
        for name in ("inline", "process", "mock"):
            progress(f"frames, {number + 1} of {repeat}: {name}")
            if name not in ways:
                continue
            try:
                told = ways[name].run(folder, asked, LOOK_AT_FRAMES)
            except Trouble as trouble:
                say(f"{name} gives no answer of the frames: {trouble.told}")
                continue
            answers[name] = round(told["answer"], 12)  # they add up in different orders
            before = [mb for moment, mb in told["samples"] if moment <= told["empty_ns"]][-1]
            most = max(mb for moment, mb in told["samples"] if moment > told["empty_ns"])
            samples.setdefault(f"{name}, frames", []).append((most - before) / told["data_mb"])
            samples.setdefault(f"{name}, written", []).append(told["written_mb"] / told["data_mb"])
    progress("")
    if len(set(answers.values())) > 1:
        raise SystemExit(f"the answers of the frames differ, so nothing can be compared: {answers}")
    return {key: Spread("", values) for key, values in samples.items()}


# --- What comes out. ---


def ratios(figures: Figures, counts: Iterable[int]) -> dict[str, float]:
    """Ours by the peers', medians of the same run."""
    return {
        f"{ours} by {peer}, {count}, {what}": figures[f"{ours}, {count}, {what}"].median
        / figures[f"{peer}, {count}, {what}"].median
        for count in counts
        for ours in OURS
        for peer in PEERS
        for what in COUNTED
        if {f"{ours}, {count}, {what}", f"{peer}, {count}, {what}"} <= figures.keys()
    }


def targets(figures: Figures, by_peer: Mapping[str, float], counts: Sequence[int]) -> list[Target]:
    """What we promise of these figures, as far as they were measured."""
    nodes, rows, columns = FRAMES
    found = []
    if (ratio := by_peer.get("process by Flower, 100, whole")) is not None:
        found.append(Target("100 isolated nodes, the whole, by Flower's", ratio, 0.2))
    for runner in ("inline", "process"):
        if (memory := figures.get(f"{runner}, frames")) is not None:
            what = f"memory of {nodes} nodes with {rows:,} rows of {columns}, {runner}, by the data's size"
            found.append(Target(what, memory.median, 1.3))
    if (hundred := figures.get("inline, 100, answer")) is not None:
        found.append(Target("100 nodes inline, start to answer", hundred.median / 1e3, 1, " s"))
    if 1000 in counts:
        found.append(Target("1,000 nodes inline, without an answer", int("inline, 1000, answer" not in figures), 0))
    return found


def table(figures: Figures, by_peer: Mapping[str, float], counts: Iterable[int]) -> str:
    """The figures as a person reads them: medians, and the smallest and largest value; ratios below them."""
    lines: list[tuple[str, ...]] = []
    for count in counts:
        lines.append((f"{count:,} nodes", *(f"{text}, {unit}" for text, unit in COUNTED.values())))
        for name in (*OURS, *PEERS):
            cells = [figures.get(f"{name}, {count}, {what}") for what in COUNTED]
            if any(cells):
                lines.append((f"  {name}", *map(shown, cells)))
        for pair in (f"{ours} / {peer}" for ours in OURS for peer in PEERS):
            found = [by_peer.get(f"{pair.replace('/', 'by')}, {count}, {what}") for what in COUNTED]
            if any(found):
                lines.append((f"  {pair}", *("" if ratio is None else f"{ratio:.2g}" for ratio in found)))
        lines.append(("",) * (1 + len(COUNTED)))
    widths = [max(len(line[column]) for line in lines) for column in range(1 + len(COUNTED))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if not at else f"{cell:>{width}}" for at, (cell, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def shown(figure: Spread | None) -> str:
    """A figure in its cell: with its spread if it was measured more than once."""
    if figure is None:
        return ""
    if len(figure.samples) == 1:
        return f"{figure.median:,.0f}"
    return f"{figure.median:,.0f} ({min(figure.samples):,.0f} to {max(figure.samples):,.0f})"


def frames_told(figures: Figures) -> Iterator[str]:
    """The lines about frames."""
    nodes, rows, columns = FRAMES
    for name in ("inline", "process", "mock"):
        if (memory := figures.get(f"{name}, frames")) is not None:
            spread = f"{memory.median:.2f} ({min(memory.samples):.2f} to {max(memory.samples):.2f})"
            files = f"{figures[f'{name}, written'].median:.2f} times in files"
            yield f"{nodes} nodes with {rows:,} rows of {columns}, {name}: {spread} times the data's size, {files}"


def about(ways: Mapping[str, Way]) -> dict[str, object]:
    """Where the figures come from: they mean nothing without."""
    packages = {"inline": ["federated-algotools"], "mock": [PEER.partition("==")[0]], "Flower": ["flwr", "ray"]}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        **{
            "ours" if name == "inline" else name: {
                package: installed(ways[name].python, package) for package in (*own, "pandas", "numpy")
            }
            for name, own in packages.items()
            if name in ways
        },
    }


def as_json(
    origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float], promised: Iterable[Target]
) -> str:
    """Everything, every single measurement included."""
    content = {
        "about": origin,
        "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in promised],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def numbers(text: str) -> list[int]:
    """Numbers of nodes, as they are given on the command line."""
    found = sorted({int(word) for word in text.split(",")})
    if found[0] < 1:
        raise ValueError(text)
    return found


def main() -> None:
    """Measure, print, and end well whether or not the targets are met: figures are judged by people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=numbers, default=[10, 100, 1000], help="how many (default: 10,100,1000)")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="10 and 100 nodes, once, to see whether it works")
    parser.add_argument("--cache", type=Path, default=None, help="folder that keeps the environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    counts, repeat = ([10, 100], 1) if options.quick else (options.nodes, options.repeat)
    if repeat < 1:
        parser.error("--repeat must be at least 1")
    cache = (options.cache or cache_folder()).absolute()
    cache.mkdir(parents=True, exist_ok=True)
    before = os.getloadavg()[0]  # with others at work, times that stand alone come out too high; ratios bear it
    ways = contestants(cache)
    origin = about(ways)
    print(*(f"{name}: {value}" for name, value in origin.items()), sep="\n")
    with tempfile.TemporaryDirectory(prefix="bm-") as name:  # short: a socket's path has 100 characters at most
        folder = Path(name)
        figures = measure(ways, folder, counts, repeat)
        figures |= measure_frames(ways, folder, repeat)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = ratios(figures, counts)
    print(f"load before and after: {origin['load before and after']}", "", sep="\n")
    print(table(figures, by_peer, counts))
    promised = targets(figures, by_peer, counts)
    print(*frames_told(figures), "", *promised, sep="\n")
    if options.json:
        options.json.write_text(as_json(origin, figures, by_peer, promised), encoding="utf-8")


if __name__ == "__main__":
    main()
