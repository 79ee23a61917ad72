"""The parts that the benchmarks of transfers share: ``results.py`` from a node, ``arguments.py`` to a node.

Each measurement is a child process that prints its seconds and bytes as JSON. The contestants take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dispatch import (
    HERE,
    Figures,
    Spread,
    Target,
    alternate,
    describe_origin,
    execute,
    make_cache_folder,
    make_environments,
    write_table,
)


def measure_turns(
    rounds: int, cache: Path | None, list_turns: Callable[[Path], Mapping[str, tuple[str, Mapping[str, object]]]]
) -> Figures:
    """Return milliseconds and MB of each contestant: ``time, NAME`` and ``bytes, NAME``.

    Args:
        rounds: the number of measurements of each contestant.
        cache: the folder of the environments, which are created if necessary.
        list_turns: gets the peer's interpreter and returns for each contestant the name and parameters of its child.
    """
    folder = make_cache_folder(cache)
    ours, peer = make_environments(folder)
    samples: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        table = str(write_table(Path(temporary) / "table.csv"))

        def turn(name: str, child: str, parameters: Mapping[str, object]) -> None:
            command = ["/usr/bin/env", f"PYTHONPATH={HERE / 'algorithms'}", str(ours), str(HERE / "children" / child)]
            samples.setdefault(name, []).append(json.loads(execute(command, {"table": table, **parameters})))

        turns = {name: partial(turn, name, *parameters) for name, parameters in list_turns(peer).items()}
        alternate(rounds, turns)
    figures = {
        f"time, {name}": Spread("ms", [1e3 * run["seconds"] for run in runs[1:]]) for name, runs in samples.items()
    }
    return figures | {
        f"bytes, {name}": Spread("MB", [run["bytes"] / 1e6 for run in runs[1:]]) for name, runs in samples.items()
    }


def align(lines: Sequence[Sequence[str]]) -> str:
    """Return the lines of a table with aligned columns, the first to the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(widths[0]) if i == 0 else text.rjust(widths[i]) for i, text in enumerate(line)).rstrip()
        for line in lines
    )


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options of both benchmarks."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, help="folder for the two environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures to this file")
    return parser


def report(
    options: argparse.Namespace,
    measure: Callable[[], Figures],
    compute_ratios: Callable[[Figures], dict[str, float]],
    format_table: Callable[[Figures, Mapping[str, float]], str],
    make_targets: Callable[[Mapping[str, float]], list[Target]],
) -> None:
    """Measure, print, and write the file of ``--json``."""
    before = os.getloadavg()[0]
    figures = measure()
    ratios = compute_ratios(figures)
    targets = make_targets(ratios)
    origin = describe_origin(*make_environments(make_cache_folder(options.cache)))
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    print(*(f"{name}: {value}" for name, value in origin.items()), "", sep="\n")
    print(format_table(figures, ratios), "", *targets, sep="\n")
    if options.json:
        content = {
            "about": origin,
            "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
            "ratios": ratios,
            "targets": [{**asdict(target), "met": target.met} for target in targets],
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
