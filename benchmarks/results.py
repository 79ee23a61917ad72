"""What it costs to bring many numbers from an rpc to its master: algotools beside the platform's own tools, in one run.

    python benchmarks/results.py [--rounds N] [--size N] [--cache FOLDER] [--json FILE]

Every time is that from the function's return until the master has the values, through a federation of one node whose
HTTP proxy both sides speak to; every contestant checks that they are the same, bit for bit:

* ``array``: a numpy array by ``client.run``, with runner ``process`` and ``inline``, and under v3, v4 and v5;
* ``list``: the same numbers as ``list[float]``, by the calls that v4's own client has;
* ``peer``: JSON lists, by the wrapper and the client of vantage6 4.15, in its own interpreter;
* ``json``: ``json.dumps``, base64, ``json.loads`` in one process, with nothing between.

The bytes are those of all answers that the proxy gives. All take turns, each time in a process of its own. Makes the
environments that ``dispatch.py`` makes. Ten million numbers need some 4 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dispatch import (
    HERE,
    Figures,
    Spread,
    Target,
    about,
    alternate,
    cache_folder,
    execute,
    make_environments,
    write_table,
)

SIZE = 10_000_000

OURS: dict[str, tuple[str, str, str]] = {
    "array, process, v3": ("take_array", "process", "v3"),
    "array, process, v4": ("take_array", "process", "v4"),
    "array, process, v5": ("take_array", "process", "v5"),
    "array, inline, v4": ("take_array", "inline", "v4"),
    "list, process, v4": ("take_list", "process", "v4"),
}
"""Contestant -> master, runner, contract."""


def measure(rounds: int, size: int = SIZE, cache: Path | None = None) -> Figures:
    """Milliseconds and MB of every contestant: ``time, NAME`` and ``bytes, NAME``.

    The environments are made if need be, in ``cache``.
    """
    folder = (cache or cache_folder()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    ours, peer = make_environments(folder)
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        table = str(write_table(Path(temporary) / "table.csv"))

        def turn(name: str, child: str, asked: Mapping[str, object]) -> None:
            command = ["/usr/bin/env", f"PYTHONPATH={HERE / 'algorithms'}", str(ours), str(HERE / "children" / child)]
            found.setdefault(name, []).append(json.loads(execute(command, {"size": size, "table": table, **asked})))

        turns: dict[str, Callable[[], object]] = {"json": partial(turn, "json", "json_lists.py", {})}
        theirs = {"algorithm": "vantage6_values", "root": str(HERE / "peers"), "python": str(peer)}
        asked = {**theirs, "method": "take_list", "runner": "process", "contract": "v4"}
        turns["peer"] = partial(turn, "peer", "results.py", asked)
        for name, (method, runner, contract) in OURS.items():
            own = {"algorithm": "values", "root": str(HERE / "algorithms"), "python": None}
            asked = {**own, "method": method, "runner": runner, "contract": contract}
            turns[name] = partial(turn, name, "results.py", asked)
        alternate(rounds, turns)
    figures = {
        f"time, {name}": Spread("ms", [1e3 * one["seconds"] for one in taken[1:]]) for name, taken in found.items()
    }
    return figures | {
        f"bytes, {name}": Spread("MB", [one["bytes"] / 1e6 for one in taken[1:]]) for name, taken in found.items()
    }


def ratios(figures: Figures) -> dict[str, float]:
    """Each of ours by JSON lists: those of the peer, and those without a way to go."""
    return {
        f"{what}, {name}, by {other}": figures[f"{what}, {name}"].median / figures[f"{what}, {other}"].median
        for what in ("time", "bytes")
        for name in OURS
        for other in ("peer", "json")
    }


def targets(by_json: Mapping[str, float]) -> list[Target]:
    """What we promise of arrays."""
    arrays = [name for name in OURS if name.startswith("array")]
    return [
        *(
            Target(f"time of {name}, by the peer's JSON lists", by_json[f"time, {name}, by peer"], 0.2)
            for name in arrays
        ),
        *(Target(f"bytes of {name}, by the peer's", by_json[f"bytes, {name}, by peer"], 0.6) for name in arrays),
    ]


def table(figures: Figures, by_json: Mapping[str, float]) -> str:
    """The figures as a person reads them: medians, and the smallest and largest value."""
    lines = [("median (min to max)", "time", "by the peer", "by bare JSON", "bytes", "by the peer")]
    for name in ("json", "peer", *OURS):
        by = [
            f"{by_json[key]:.2f}" if (key := f"{what}, {name}, by {other}") in by_json else ""
            for what, other in (("time", "peer"), ("time", "json"), ("bytes", "peer"))
        ]
        lines.append(
            (name, str(figures[f"time, {name}"]), *by[:2], f"{figures[f'bytes, {name}'].median:.1f} MB", by[2])
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(widths[0]) if i == 0 else text.rjust(widths[i]) for i, text in enumerate(line)).rstrip()
        for line in lines
    )


def main() -> None:
    """Measure, print, and end well whether or not the targets are met: figures are judged by people."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: %(default)s)")
    parser.add_argument("--size", type=int, default=SIZE, help="how many numbers (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=None, help="folder that keeps the two environments")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if options.rounds < 1 or options.size < 1:
        parser.error("--rounds and --size must be at least 1")
    before = os.getloadavg()[0]
    figures = measure(options.rounds, options.size, options.cache)
    by_json = ratios(figures)
    origin = about(*make_environments((options.cache or cache_folder()).absolute()))
    origin["load before and after"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
    print(*(f"{name}: {value}" for name, value in origin.items()), "", sep="\n")
    print(table(figures, by_json), "", *targets(by_json), sep="\n")
    if options.json:
        content = {
            "about": origin,
            "figures": {name: {"median": figure.median, **asdict(figure)} for name, figure in figures.items()},
            "ratios": by_json,
            "targets": [{**asdict(target), "met": target.met} for target in targets(by_json)],
        }
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
