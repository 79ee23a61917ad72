"""Compare pooled functions with hand-written pairs of an rpc and a master: lines, rounds and time, in one run.

    python benchmarks/pooled.py [--repeat N] [--nodes 3,20] [--rows 20000,5000] [--runners inline,process] [--quick]
        [--statistic NAME] [--json FILE]

Each statistic of ``algorithms/pooled_and_pairs`` has both forms. The results must agree within 1e-8. The two forms take
turns, in changing order, in the same federation of CSV files; the ratio is the median of the ratios of adjacent
measurements. So a busy machine changes the times more than the ratios. The columns show:

* *lines*: lines of code, without docstrings and empty lines, with decorators and signatures
* *rounds*: subtasks of the master
* *by hand*, *pooled*: seconds from the creation of the task to its result
* *ratio*: the time of the pooled function relative to the pair's
* *processor*: the same ratio for the time of the processor; only ``inline``, where one process does everything
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from dispatch import HERE, Target, show_progress

from algotools import Federation
from algotools.declare import locate

ALGORITHM = HERE / "algorithms/pooled_and_pairs"

PREDICTORS = ["a", "b", "c", "d"]
CENTRES = [[3.0, 3.0], [3.5, 3.5], [4.0, 3.0]]
"""The clusters of the rows are around other centres, so that k-means needs some rounds."""

MODEL = {"outcome": "y", "predictors": PREDICTORS}
CLUSTERS = {"columns": ["u", "v"], "centres": CENTRES}

TIMEOUT = 900.0

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Several threads of BLAS in each of several nodes would compete for the processors."""


@dataclass(frozen=True)
class Statistic:
    """A statistic in both forms."""

    pooled: str
    by_hand: tuple[str, str]
    """The rpc and the master."""
    arguments: Mapping[str, Any]
    needs_extra_round: bool = False
    """Whether the master cannot compute the result without rows, so that one round more is necessary."""

    @property
    def limit(self) -> float:
        """The promised ratio of the times."""
        return 1.5 if self.needs_extra_round else 1.4


STATISTICS = (
    Statistic("summary", ("summary_of_node", "summary_by_hand"), {"column": "a"}),
    Statistic("regression", ("regression_of_node", "regression_by_hand"), {**MODEL, "outcome": "z"}),
    Statistic("logistic", ("logistic_of_node", "logistic_by_hand"), MODEL),
    Statistic("logistic_with_rows", ("logistic_of_node", "logistic_by_hand"), MODEL, needs_extra_round=True),
    Statistic("k_means", ("k_means_of_node", "k_means_by_hand"), CLUSTERS),
    Statistic("k_means_lazily", ("k_means_of_node", "k_means_by_hand"), CLUSTERS),
)


@dataclass
class Comparison:
    """The samples of one statistic with one runner and one number of nodes."""

    statistic: Statistic
    runner: str
    nodes: int
    rows: int
    rounds: tuple[int, int] = (0, 0)
    """By hand, and pooled."""
    by_hand: list[float] = field(default_factory=list)
    pooled: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    """Ratios."""

    @property
    def ratio(self) -> float:
        """The median of the ratios of adjacent measurements."""
        return statistics.median(b / a for a, b in zip(self.by_hand, self.pooled, strict=True))


def write_rows(folder: Path, node: int, count: int) -> Path:
    """Write the rows of a node, which are the same in each run of the benchmark."""
    rng = np.random.default_rng(node)
    x = rng.normal(size=(count, len(PREDICTORS)))
    score = 0.5 + x @ np.array([1.5, -1.0, 0.5, 0.25])
    frame = pd.DataFrame(x, columns=PREDICTORS)
    frame["y"] = (rng.random(count) < 1 / (1 + np.exp(-score))).astype(int)
    frame["z"] = score + rng.normal(size=count)
    frame[["u", "v"]] = rng.normal(size=(count, 2)) * 0.8 + rng.choice([[-1.0, 0.0], [2.0, 2.0], [3.0, -2.0]], count)
    path = folder / f"{node}.csv"
    frame.to_csv(path, index=False)
    return path


def count_lines(functions: Sequence[Callable[..., object]]) -> int:
    """Return the lines of code of functions, without docstrings and empty lines."""
    return sum(_count_lines(inspect.getsource(inspect.unwrap(function))) for function in functions)


def _count_lines(source: str) -> int:
    docstring = ast.parse(source).body[0].body[0]  # type: ignore[attr-defined]
    without = range(docstring.lineno, docstring.end_lineno + 1)
    return sum(bool(line.strip()) and number not in without for number, line in enumerate(source.splitlines(), 1))


def run_once(federation: Federation, method: str, arguments: Mapping[str, Any]) -> tuple[Any, int, float, float]:
    """Return result, rounds, seconds and seconds of the processor of one task."""
    processor, start = time.process_time(), time.perf_counter()
    result = federation.ask(method, arguments=arguments, timeout=TIMEOUT)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    task = next(task for task in reversed(federation.tasks()) if task.name == method)
    return result, len(federation.subtasks(task.id)), seconds, processor


def compare(federation: Federation, comparison: Comparison, repeat: int) -> None:
    """Measure both forms of a statistic *repeat* times, after one run of each."""
    statistic = comparison.statistic
    methods = [statistic.by_hand[1], statistic.pooled]
    outcomes = [run_once(federation, method, statistic.arguments) for method in methods]
    check_results(statistic.pooled, *(outcome[0] for outcome in outcomes))
    comparison.rounds = (outcomes[0][1], outcomes[1][1])
    for number in range(repeat):
        order = methods if number % 2 else methods[::-1]
        turns = {method: run_once(federation, method, statistic.arguments) for method in order}
        (_, _, hand, hand_processor), (_, _, pooled, pooled_processor) = (turns[method] for method in methods)
        comparison.by_hand.append(hand)
        comparison.pooled.append(pooled)
        if comparison.runner == "inline":
            comparison.processor.append(pooled_processor / hand_processor)


def check_results(name: str, by_hand: Any, pooled: Any) -> None:
    """Stop if the two forms have different results."""
    a, b = (list(result.values()) if isinstance(result, dict) else [result] for result in (by_hand, pooled))
    if not all(np.allclose(x, y, rtol=1e-8, atol=0) for x, y in zip(a, b, strict=True)):
        raise SystemExit(f"the results of {name} differ, so a comparison is not possible: {by_hand} and {pooled}")


def measure(
    sizes: Sequence[tuple[int, int]], runners: Sequence[str], statistics_: Sequence[Statistic], repeat: int
) -> Iterator[Comparison]:
    """Yield the comparison of each statistic with each runner and each number of nodes and rows."""
    for nodes, rows in sizes:
        with tempfile.TemporaryDirectory(prefix="bm-") as folder:
            files = [write_rows(Path(folder), node, rows) for node in range(nodes)]
            for runner in runners:
                with Federation(files, algorithm=ALGORITHM, runner=runner, policy="off") as federation:
                    for statistic in statistics_:
                        show_progress(f"{runner}, {nodes} nodes: {statistic.pooled}")
                        comparison = Comparison(statistic, runner, nodes, rows)
                        compare(federation, comparison, repeat)
                        yield comparison
    show_progress("")


def format_comparison(comparison: Comparison) -> str:
    """Return a row of the table."""
    statistic = comparison.statistic
    processor = f"{statistics.median(comparison.processor):11.2f}" if comparison.processor else ""
    times = [f"{statistics.median(samples):9.3f}" for samples in (comparison.by_hand, comparison.pooled)]
    title = f"{comparison.runner}, {comparison.nodes} x {comparison.rows}"
    rounds = f"{comparison.rounds[0]} -> {comparison.rounds[1]}"
    return f"{title:22}{statistic.pooled:20}{rounds:>9}{times[0]}{times[1]}{comparison.ratio:7.2f}{processor}".rstrip()


def make_targets(comparisons: Sequence[Comparison]) -> list[Target]:
    """Return the promised limits with the measured values."""
    targets = []
    for comparison in comparisons:
        name = f"{comparison.statistic.pooled}, {comparison.runner}, {comparison.nodes} nodes"
        by_hand, pooled = comparison.rounds
        targets += [
            Target(f"{name}: rounds more than by hand", pooled - by_hand, 1),
            Target(f"{name}: time relative to the pair", comparison.ratio, comparison.statistic.limit),
        ]
    return targets


def count_all_lines() -> dict[str, tuple[int, int]]:
    """Return the lines of each statistic: by hand, and pooled."""
    functions = locate.load(locate.locate(ALGORITHM)).functions
    return {
        statistic.pooled: (
            count_lines([functions[name] for name in statistic.by_hand]),
            count_lines([functions[statistic.pooled]]),
        )
        for statistic in STATISTICS
    }


def parse_numbers(text: str) -> list[int]:
    """Parse numbers of the command line."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=9, help="number of measurements (default: %(default)s)")
    parser.add_argument("--nodes", type=parse_numbers, default=[3, 20], help="numbers of nodes (default: 3,20)")
    parser.add_argument("--rows", type=parse_numbers, default=[20_000, 5_000], help="rows of a node (20000,5000)")
    parser.add_argument("--runners", default="inline,process", help="runners (default: %(default)s)")
    parser.add_argument("--statistic", default=None, choices=[s.pooled for s in STATISTICS], help="only this statistic")
    parser.add_argument("--quick", action="store_true", help="one measurement, as a test of the benchmark")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    if len(options.nodes) != len(options.rows):
        parser.error("--nodes and --rows need equally many numbers")
    chosen = [s for s in STATISTICS if options.statistic in (None, s.pooled)]
    sizes = list(zip(options.nodes, options.rows, strict=True))
    lines = count_all_lines()
    print("lines, by hand -> pooled:", ", ".join(f"{name} {a} -> {b}" for name, (a, b) in lines.items()))
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", "", sep="\n")
    print(f"{'':22}{'statistic':20}{'rounds':>9}{'by hand':>9}{'pooled':>9}{'ratio':>7}{'processor':>11}")
    comparisons = []
    for comparison in measure(sizes, options.runners.split(","), chosen, 1 if options.quick else options.repeat):
        comparisons.append(comparison)
        print(format_comparison(comparison), flush=True)
    print("", *make_targets(comparisons), sep="\n")
    if options.json:
        content = {"lines": lines, "comparisons": [asdict(comparison) for comparison in comparisons]}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():  # BLAS reads them when numpy is imported
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    main()
