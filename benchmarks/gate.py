"""Compare the cost of a run with the disclosure gate to the cost of the same run with the policy off.

    python benchmarks/gate.py [--rounds 15]

Each run is a process of its own, as at a node: ``python -m algotools`` with the files and variables of a v4 node. The
two policies take turns. The function is the partial of an average, of one column. A time is that of the whole process.
The goal is at most 5 ms more for 100 rows, and at most 10 % of the run's time for 1,000,000 rows and one column.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.conftest import ManualNode  # noqa: E402 - the path comes first

ALGORITHM = ROOT / "examples/average"
SIZES = {100: 5.0, 1_000_000: 0.10}
"""Rows -> the goal: milliseconds more, or the share of the run's time."""


def make_node(folder: Path, rows: int) -> ManualNode:
    """Return a node with one table of a column."""
    generator = np.random.default_rng(5)
    path = folder / f"{rows}.csv"
    pd.DataFrame({"age": generator.normal(50, 12, rows)}).to_csv(path, index=False)
    return ManualNode(folder, {"default": path})


class Cost(NamedTuple):
    """The seconds of one run."""

    wall: float
    processor: float


def measure(
    node: ManualNode,
    policy: Mapping[str, str],
    algorithm: Path = ALGORITHM,
    method: str = "average_partial",
    arguments: Mapping[str, object] = MappingProxyType({"column_name": "age"}),
) -> Cost:
    """Run a function once in a process of its own."""
    content = json.dumps({"method": method, "master": False, "kwargs": dict(arguments)}).encode()
    variables = node.environment(algorithm, content, variables=policy)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "algotools"], env={**environment, **variables}, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run of {method} with policy {dict(policy)} failed with exit code {process.returncode}")
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime)


def main() -> int:
    """Print the medians and the differences of the pairs; exit with 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    missed = False
    for rows, goal in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            node = make_node(Path(folder), rows)
            policies = [{"ALGOTOOLS_POLICY": name} for name in ("off", "standard")]
            for policy in policies:
                measure(node, policy)
            pairs = [tuple(measure(node, policy) for policy in policies) for _ in range(rounds)]
        off, judged = (statistics.median(costs) for costs in zip(*((a.wall, b.wall) for a, b in pairs), strict=True))
        difference = statistics.median(b.wall - a.wall for a, b in pairs)
        processor = statistics.median(b.processor - a.processor for a, b in pairs)
        share = difference / off
        is_met = difference * 1000 <= goal if goal >= 1 else share <= goal
        missed |= not is_met
        print(
            f"{rows:>9,} rows: off {off * 1000:7.1f} ms, standard {judged * 1000:7.1f} ms, "
            f"difference {difference * 1000:6.1f} ms ({share:+.1%}), of the processor {processor * 1000:6.1f} ms: "
            f"{'met' if is_met else 'MISSED'}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
