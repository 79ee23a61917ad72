"""Compare the local federation with the platform's mock and Flower's simulation, for 10 to 1,000 nodes, in one run.

    python benchmarks/federation.py [--nodes 10,100,1000] [--repeat N] [--quick] [--cache FOLDER] [--json FILE]

All contestants compute the same: the average of a column over one CSV file of 100 rows per node, read by pandas. The
results must be equal. The contestants take turns, and each measurement is a separate process:

* ``inline``, ``process``, ``container``: the runners of algotools. ``inline`` runs all nodes in one process; the other
  runners isolate each run.
* ``mock``: ``MockAlgorithmClient`` of vantage6-algorithm-tools, in one process, one node after another.
* ``Flower``: the simulation with Ray actors and ``num_cpus`` 1. The number of processes is the number of processors,
  and each process runs many clients. The corresponding runner of algotools is ``process``.

The columns show the median of all measurements (minimum to maximum):

* *the whole*: from the start of the interpreter to its exit, for a single result. This is the time that the user of a
  script waits. All times are in ms.
* *start to answer*: the part until the result is available, without the exit of processes and the removal of files.
* *the task*: the part from the creation of the task, after the federation (client, simulation) is ready.
* *once more*: the same task again in the same process, when everything is imported and started.
* *memory*: the maximum of all samples of the memory of all processes (PSS, which counts shared memory once), in MB.
  Sampling takes time, so memory is measured in separate runs. The memory of containers is not known.
* *main process*: the peak memory of the first process (``VmHWM``), in MB.

Then 40 nodes get 100,000 rows of 10 numbers each as frames. The figures are the additional memory of all processes
relative to the size of the frames, and the size of the temporary files.

A measurement that takes longer than a minute is not repeated. Like ``dispatch.py``, the script creates and keeps an
environment for each side, which requires a package index. Containers require an engine; see "Ship it" in the README if
the engine cannot reach Docker Hub or the index. The image of the example is not removed. Memory is measured only on
Linux.
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
    ensure_environment,
    log,
    make_cache_folder,
    make_environ,
    make_environments,
    read_version,
    show_progress,
    write_table,
)

FLOWER = "flwr[simulation]"
"""The latest version on the index when the environment is created."""

COLUMN = "age"
FRAMES = (40, 100_000, 10)
"""Nodes, rows and columns of float64."""

IN_CONTAINERS = (10, 100)
"""Numbers of nodes for runner container. A thousand nodes would take 15 minutes without new information."""

SAMPLING_INTERVAL = 0.05
FRAMES_INTERVAL = 0.01
"""Sampling intervals of the memory in seconds. Frames exist only for a short time."""

LONG = 60_000
"""Milliseconds. A longer measurement is not repeated."""

TIMEOUT = 900
"""Timeout of each run in seconds. The first run in a container waits for the build of the image."""

QUANTITIES = {
    "whole": ("the whole", "ms"),
    "answer": ("start to answer", "ms"),
    "task": ("the task", "ms"),
    "again": ("once more", "ms"),
    "memory": ("memory", "MB"),
    "main": ("main process", "MB"),
}
"""Quantity -> heading and unit."""

OURS = ("inline", "process", "container")
PEERS = ("mock", "Flower")


@dataclass
class Simulation:
    """A contestant: a script that computes the average over many nodes."""

    python: Path
    script: Path
    path: Sequence[Path] = ()
    """Folders for imports."""
    parameters: Mapping[str, object] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, folder: Path, parameters: Mapping[str, object], interval: float = 0.0) -> dict[str, Any]:
        """Run the script in a new process, and return its results. ``interval`` is for memory samples.

        Raises:
            SimulationFailed: the script has no result.
        """
        with tempfile.TemporaryDirectory(dir=folder, prefix="") as name:
            cwd = Path(name)
            parameters_file, results_file, log_file = cwd / "parameters", cwd / "results", cwd / "log"
            parameters_file.write_text(json.dumps({**self.parameters, **parameters}), encoding="utf-8")
            (cwd / "t").mkdir()
            # For frames, the temporary files are counted, so they are in a separate folder.
            temporary = {"TMPDIR": str(cwd / "t")} if "frames" in parameters else {}
            process = subprocess.run(
                [sys.executable, "-I", "-S", str(HERE / "children/sample.py"), str(log_file), str(interval),
                 str(TIMEOUT), str(self.python), str(self.script), str(parameters_file), str(results_file)],
                env={
                    **make_environ(),
                    **self.variables,
                    "PYTHONPATH": os.pathsep.join(map(str, [HERE / "children", *self.path])),
                    **temporary,
                },
                cwd=cwd,  # outside the checkout, so that its sources cannot be imported
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                check=True,
            )  # fmt: skip
            usage: dict[str, Any] = json.loads(process.stdout)
            if usage["exit_code"] != 0 or not results_file.exists():
                reason = "timeout" if usage["exit_code"] is None else f"exit code {usage['exit_code']}"
                raise SimulationFailed(reason, log_file.read_text(encoding="utf-8", errors="replace"))
            return {**usage, **json.loads(results_file.read_text(encoding="utf-8"))}


class SimulationFailed(Exception):
    """A contestant without a result: the reason and its complete output."""

    def __init__(self, reason: str, output: str) -> None:
        super().__init__(f"{reason}; output:\n{output}")
        self.last_line = next((line for line in reversed(output.splitlines()) if line.strip()), reason)


# --- The contestants. ---


def make_simulations(cache: Path) -> dict[str, Simulation]:
    """Return all contestants that this machine can run, and create their environments if necessary."""
    ours, peer = make_environments(cache)
    child = HERE / "children/federated.py"
    engine = {
        name: text
        for name, text in os.environ.items()
        if name.startswith(("DOCKER_", "ALGOTOOLS_", "PIP_")) or name.lower().endswith("_proxy")
    }
    simulations = {
        runner: Simulation(
            ours,
            child,
            parameters={"runner": runner, "algorithm": str(ROOT / "examples/average")},
            variables=engine if runner == "container" else {},
        )
        for runner in OURS
    }
    simulations["mock"] = Simulation(peer, HERE / "peers/mock_federated.py", [HERE / "peers/vantage6_image"])
    pandas = [f"{name}=={read_version(ours, name)}" for name in ("pandas", "numpy")]
    try:
        flower = ensure_environment(
            cache / f"flower-{platform.python_version()}", f"{FLOWER} {pandas}", [FLOWER, *pandas], [FLOWER, "pandas"]
        )
    except SystemExit as error:
        log(f"Flower is omitted, because it cannot be installed: {str(error).strip().splitlines()[-1]}")
        return simulations
    without_telemetry = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    simulations["Flower"] = Simulation(flower, HERE / "peers/flower_federated.py", variables=without_telemetry)
    return simulations


def warm_up(simulations: Mapping[str, Simulation], folder: Path, databases: Sequence[str]) -> dict[str, Simulation]:
    """Run each contestant once without measuring, to fill the disk cache and build an image; return those that work."""
    working = {}
    for name, simulation in simulations.items():
        show_progress(f"warm-up: {name}")
        try:
            simulation.run(folder, {"databases": databases, "column": COLUMN})
        except SimulationFailed as failure:
            if name in ("inline", "process"):
                raise SystemExit(f"{name}: {failure}") from None
            log(f"{name} is omitted: {failure.last_line}")
        else:
            working[name] = simulation
    show_progress("")
    return working


# --- The measurements. ---


def measure(simulations: Mapping[str, Simulation], folder: Path, counts: Sequence[int], repeat: int) -> Figures:
    """Measure each contestant with each number of nodes: first times, then memory."""
    databases = [str(write_table(folder / f"node-{number}.csv", number)) for number in range(max(counts))]
    simulations = warm_up(simulations, folder, databases[: min(counts)])
    samples: dict[str, list[float]] = {}
    answers: dict[int, dict[str, float]] = {}
    failed: set[tuple[int, str]] = set()
    for count, name, kind in list_turns(simulations, counts, repeat, samples):
        if (count, name) in failed:
            continue
        parameters = {"databases": databases[:count], "column": COLUMN, "once": kind == "whole"}
        try:
            results = simulations[name].run(folder, parameters, SAMPLING_INTERVAL if kind == "memory" else 0.0)
        except SimulationFailed as failure:
            failed.add((count, name))
            log(f"{name} has no result for {count} nodes: {failure.last_line}")
            continue
        answers.setdefault(count, {})[name] = results["answer"]
        for quantity, value in KINDS[kind](results).items():
            samples.setdefault(f"{name}, {count}, {quantity}", []).append(value)
    for count, by_name in answers.items():
        if len(set(by_name.values())) > 1:
            raise SystemExit(f"the results of {count} nodes differ, so a comparison is not possible: {by_name}")
        print(f"All contestants return {next(iter(by_name.values()))} for {count} nodes.")
    return {key: Spread(QUANTITIES[key.rpartition(", ")[2]][1], values) for key, values in samples.items()}


def list_turns(
    simulations: Mapping[str, Simulation], counts: Sequence[int], repeat: int, samples: Mapping[str, list[float]]
) -> Iterator[tuple[int, str, str]]:
    """Yield number of nodes, contestant and kind of measurement of each turn."""
    for kind in KINDS:
        if kind == "memory" and sys.platform != "linux":
            continue
        for count in counts:
            for number in range(repeat):
                for name in simulations:
                    if name == "container" and (kind == "memory" or count not in IN_CONTAINERS):
                        continue
                    if number and max(samples.get(f"{name}, {count}, answer", [0])) > LONG:
                        continue
                    show_progress(f"{count} nodes, {kind}, {number + 1} of {repeat}: {name}")
                    yield count, name, kind
    show_progress("")


def read_times(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the times of a run until the result, in ms."""
    times = {"answer": (results["answered_ns"] - results["started_ns"]) / 1e6, "task": results["task_ms"]}
    return times | ({"again": results["again_ms"]} if "again_ms" in results else {})


def read_memory(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the memory of a run, in MB."""
    return {"memory": max(mb for _, mb in results["samples"]), "main": results["main_mb"]}


def read_whole_time(results: Mapping[str, Any]) -> dict[str, float]:
    """Return the time of a process from start to exit, in ms."""
    return {"whole": (results["ended_ns"] - results["started_ns"]) / 1e6}


KINDS = {"time": read_times, "whole": read_whole_time, "memory": read_memory}
"""Kind of measurement, each in separate runs -> function that reads its quantities from the results of a run."""


def measure_frames(simulations: Mapping[str, Simulation], folder: Path, repeat: int) -> Figures:
    """Measure the additional memory of all processes for the frames, relative to the size of the frames."""
    parameters = {"frames": FRAMES, "settle": 20 * FRAMES_INTERVAL, "column": "column_3"}
    samples: dict[str, list[float]] = {}
    answers: dict[str, float] = {}
    for number in range(repeat if sys.platform == "linux" else 0):
        for name in ("inline", "process", "mock"):
            show_progress(f"frames, {number + 1} of {repeat}: {name}")
            if name not in simulations:
                continue
            try:
                results = simulations[name].run(folder, parameters, FRAMES_INTERVAL)
            except SimulationFailed as failure:
                log(f"{name} has no result for the frames: {failure.last_line}")
                continue
            answers[name] = round(results["answer"], 12)  # the order of the additions differs
            before = [mb for moment, mb in results["samples"] if moment <= results["empty_ns"]][-1]
            most = max(mb for moment, mb in results["samples"] if moment > results["empty_ns"])
            samples.setdefault(f"{name}, frames", []).append((most - before) / results["data_mb"])
            samples.setdefault(f"{name}, written", []).append(results["written_mb"] / results["data_mb"])
    show_progress("")
    if len(set(answers.values())) > 1:
        raise SystemExit(f"the results for the frames differ, so a comparison is not possible: {answers}")
    return {key: Spread("", values) for key, values in samples.items()}


# --- The output. ---


def compute_ratios(figures: Figures, counts: Iterable[int]) -> dict[str, float]:
    """Return the medians of algotools divided by the medians of each peer."""
    return {
        f"{ours} by {peer}, {count}, {quantity}": figures[f"{ours}, {count}, {quantity}"].median
        / figures[f"{peer}, {count}, {quantity}"].median
        for count in counts
        for ours in OURS
        for peer in PEERS
        for quantity in QUANTITIES
        if {f"{ours}, {count}, {quantity}", f"{peer}, {count}, {quantity}"} <= figures.keys()
    }


def make_targets(figures: Figures, by_peer: Mapping[str, float], counts: Sequence[int]) -> list[Target]:
    """Return the targets of the measured figures."""
    nodes, rows, columns = FRAMES
    targets = []
    if (ratio := by_peer.get("process by Flower, 100, whole")) is not None:
        targets.append(Target("100 isolated nodes, the whole, relative to Flower", ratio, 0.2))
    for runner in ("inline", "process"):
        if (memory := figures.get(f"{runner}, frames")) is not None:
            promise = f"memory of {nodes} nodes with {rows:,} rows of {columns}, {runner}, relative to the data's size"
            targets.append(Target(promise, memory.median, 1.3))
    if (hundred := figures.get("inline, 100, answer")) is not None:
        targets.append(Target("100 nodes inline, start to answer", hundred.median / 1e3, 1, " s"))
    if 1000 in counts:
        targets.append(Target("1,000 nodes inline without a result", int("inline, 1000, answer" not in figures), 0))
    return targets


def format_table(figures: Figures, by_peer: Mapping[str, float], counts: Iterable[int]) -> str:
    """Format a table of medians, minima and maxima, with the ratios below."""
    lines: list[tuple[str, ...]] = []
    for count in counts:
        lines.append((f"{count:,} nodes", *(f"{text}, {unit}" for text, unit in QUANTITIES.values())))
        for name in (*OURS, *PEERS):
            cells = [figures.get(f"{name}, {count}, {quantity}") for quantity in QUANTITIES]
            if any(cells):
                lines.append((f"  {name}", *map(format_figure, cells)))
        for pair in (f"{ours} / {peer}" for ours in OURS for peer in PEERS):
            ratios = [by_peer.get(f"{pair.replace('/', 'by')}, {count}, {quantity}") for quantity in QUANTITIES]
            if any(ratios):
                lines.append((f"  {pair}", *("" if ratio is None else f"{ratio:.2g}" for ratio in ratios)))
        lines.append(("",) * (1 + len(QUANTITIES)))
    widths = [max(len(line[column]) for line in lines) for column in range(1 + len(QUANTITIES))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if not at else f"{cell:>{width}}" for at, (cell, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def format_figure(figure: Spread | None) -> str:
    """Format a figure for a cell, with its spread if there are several samples."""
    if figure is None:
        return ""
    if len(figure.samples) == 1:
        return f"{figure.median:,.0f}"
    return f"{figure.median:,.0f} ({min(figure.samples):,.0f} to {max(figure.samples):,.0f})"


def format_frames(figures: Figures) -> Iterator[str]:
    """Yield the lines about frames."""
    nodes, rows, columns = FRAMES
    for name in ("inline", "process", "mock"):
        if (memory := figures.get(f"{name}, frames")) is not None:
            spread = f"{memory.median:.2f} ({min(memory.samples):.2f} to {max(memory.samples):.2f})"
            files = f"{figures[f'{name}, written'].median:.2f} times in files"
            yield f"{nodes} nodes with {rows:,} rows of {columns}, {name}: {spread} times the data's size, {files}"


def describe_origin(simulations: Mapping[str, Simulation]) -> dict[str, object]:
    """Return the versions and the machine, without which the figures cannot be interpreted."""
    packages = {"inline": ["federated-algotools"], "mock": [PEER.partition("==")[0]], "Flower": ["flwr", "ray"]}
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        **{
            "ours" if name == "inline" else name: {
                package: read_version(simulations[name].python, package) for package in (*names, "pandas", "numpy")
            }
            for name, names in packages.items()
            if name in simulations
        },
    }


def format_json(
    origin: Mapping[str, object], figures: Figures, by_peer: Mapping[str, float], targets: Iterable[Target]
) -> str:
    """Format the figures with all samples as JSON."""
    content = {
        "about": origin,
        "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
        "ratios": by_peer,
        "targets": [{**asdict(target), "met": target.met} for target in targets],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def parse_numbers(text: str) -> list[int]:
    """Parse the numbers of nodes of the command line."""
    numbers = sorted({int(word) for word in text.split(",")})
    if numbers[0] < 1:
        raise ValueError(text)
    return numbers


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--nodes", type=parse_numbers, default=[10, 100, 1000], help="numbers of nodes (default: 10,100,1000)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="number of measurements (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="10 and 100 nodes, one measurement, as a test of the benchmark"
    )
    parser.add_argument("--cache", type=Path, default=None, help="folder for the environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    counts, repeat = ([10, 100], 1) if options.quick else (options.nodes, options.repeat)
    if repeat < 1:
        parser.error("--repeat must be at least 1")
    cache = make_cache_folder(options.cache)
    before = os.getloadavg()[0]  # load of other processes increases times, but hardly changes ratios
    simulations = make_simulations(cache)
    origin = describe_origin(simulations)
    print(*(f"{name}: {value}" for name, value in origin.items()), sep="\n")
    with tempfile.TemporaryDirectory(
        prefix="bm-"
    ) as name:  # short, because the path of a socket has at most 100 characters
        folder = Path(name)
        figures = measure(simulations, folder, counts, repeat)
        figures |= measure_frames(simulations, folder, repeat)
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    by_peer = compute_ratios(figures, counts)
    print(f"load before and after: {origin['load before and after']}", "", sep="\n")
    print(format_table(figures, by_peer, counts))
    targets = make_targets(figures, by_peer, counts)
    print(*format_frames(figures), "", *targets, sep="\n")
    if options.json:
        options.json.write_text(format_json(origin, figures, by_peer, targets), encoding="utf-8")


if __name__ == "__main__":
    main()
