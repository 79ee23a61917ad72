"""Compare the cost of evidence and of probing to the cost of the structural rules alone.

    python benchmarks/evidence.py [--rounds 9] [--sizes 100 100000 1000000]

Each run is a process of its own, as in ``benchmarks/gate.py``. The three ways take turns: plain pandas code judged by
its structure, the same statistics with the reductions of ``aggregate``, and the plain code with ``undeclared=probe``.
The function is the honest function ``summary`` of the corpus: count, sum and sum of squares of one column. A ratio is
that of the medians, and the range is that of the pairs of a round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gate import Cost, make_node, measure  # noqa: E402 - the path comes first

SIZES = (100, 100_000, 1_000_000)
ARGUMENTS = {"columns": ["age"]}


class Way(NamedTuple):
    """A way to judge the same numbers."""

    algorithm: str
    """An algorithm of tests/algorithms."""
    policy: Mapping[str, str] = {}


WAYS = {
    "structure": Way("honest"),
    "evidence": Way("honest_with_evidence"),
    "probing": Way("honest", {"ALGOTOOLS_POLICY_UNDECLARED": "probe"}),
}


def measure_rounds(rows: int, rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of each way, with one entry for each round."""
    costs: dict[str, list[Cost]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        node = make_node(Path(folder), rows)
        for number in range(rounds + 1):
            for name, way in WAYS.items():
                algorithm = ROOT / "tests/algorithms" / way.algorithm
                cost = measure(node, way.policy, algorithm, "summary", ARGUMENTS)
                if number:  # the first round writes the bytecode
                    costs[name].append(cost)
    return costs


def describe(costs: list[Cost], base: list[Cost]) -> str:
    """Return the medians, and the ratios to the structural rules."""
    wall, processor = (statistics.median(values) for values in zip(*costs, strict=True))
    base_wall, base_processor = (statistics.median(values) for values in zip(*base, strict=True))
    ratios = [cost.wall / other.wall for cost, other in zip(costs, base, strict=True)]
    return (
        f"{wall * 1000:8.1f} ms, ratio {wall / base_wall:5.2f} ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"of the processor {processor * 1000:8.1f} ms, ratio {processor / base_processor:5.2f}"
    )


def main() -> None:
    """Print a line for each number of rows and each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    for rows in options.sizes:
        costs = measure_rounds(rows, options.rounds)
        for name, measured in costs.items():
            print(f"{rows:>9,} rows, {name:<9}: {describe(measured, costs['structure'])}")


if __name__ == "__main__":
    main()
