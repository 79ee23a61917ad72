"""Compare the transfer of many numbers from an rpc to its master: algotools and the platform's own tools, in one run.

    python benchmarks/results.py [--rounds N] [--size N] [--cache FOLDER] [--json FILE]

The time is from the return of the function until the master has the values. Both sides use the HTTP proxy of a
federation of one node. Each contestant checks that the values are identical bit for bit:

* ``array``: a numpy array through ``client.run``, with runner ``process`` and ``inline``, and on v3, v4 and v5
* ``list``: the same numbers as ``list[float]``, through the calls of v4's client
* ``peer``: JSON lists, with wrapper and client of vantage6 4.15 in its own interpreter
* ``json``: ``json.dumps``, base64 and ``json.loads`` in one process, without a network

The bytes are those of all responses of the proxy. The contestants take turns, and each measurement is a new process.
The environments are those of ``dispatch.py``. Ten million numbers need about 4 GB of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dispatch import HERE, Figures, Target
from transfers import align, make_parser, measure_turns, report

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
    """Return milliseconds and MB of each contestant: ``time, NAME`` and ``bytes, NAME``.

    The environments are created in ``cache`` if necessary.
    """

    def list_turns(peer: Path) -> dict[str, tuple[str, dict[str, object]]]:
        peer_algorithm = {"algorithm": "vantage6_values", "root": str(HERE / "peers"), "python": str(peer)}
        turns: dict[str, tuple[str, dict[str, object]]] = {
            "json": ("json_lists.py", {"size": size}),
            "peer": (
                "results.py",
                {"size": size, **peer_algorithm, "method": "take_list", "runner": "process", "contract": "v4"},
            ),
        }
        for name, (method, runner, contract) in OURS.items():
            our_algorithm = {"algorithm": "values", "root": str(HERE / "algorithms"), "python": None}
            parameters = {"size": size, **our_algorithm, "method": method, "runner": runner, "contract": contract}
            turns[name] = ("results.py", parameters)
        return turns

    return measure_turns(rounds, cache, list_turns)


def compute_ratios(figures: Figures) -> dict[str, float]:
    """Return the medians of algotools divided by those of JSON lists: of the peer, and without a network."""
    return {
        f"{quantity}, {name}, by {reference}": figures[f"{quantity}, {name}"].median
        / figures[f"{quantity}, {reference}"].median
        for quantity in ("time", "bytes")
        for name in OURS
        for reference in ("peer", "json")
    }


def make_targets(by_json: Mapping[str, float]) -> list[Target]:
    """Return the targets of arrays."""
    arrays = [name for name in OURS if name.startswith("array")]
    return [
        *(
            Target(f"time of {name}, relative to vantage6's JSON lists", by_json[f"time, {name}, by peer"], 0.2)
            for name in arrays
        ),
        *(Target(f"bytes of {name}, relative to vantage6", by_json[f"bytes, {name}, by peer"], 0.6) for name in arrays),
    ]


def format_table(figures: Figures, by_json: Mapping[str, float]) -> str:
    """Format a table of medians, minima and maxima."""
    lines = [("median (min to max)", "time", "relative to peer", "relative to JSON", "bytes", "relative to peer")]
    for name in ("json", "peer", *OURS):
        ratios = [
            f"{by_json[key]:.2f}" if (key := f"{quantity}, {name}, by {reference}") in by_json else ""
            for quantity, reference in (("time", "peer"), ("time", "json"), ("bytes", "peer"))
        ]
        lines.append(
            (name, str(figures[f"time, {name}"]), *ratios[:2], f"{figures[f'bytes, {name}'].median:.1f} MB", ratios[2])
        )
    return align(lines)


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--size", type=int, default=SIZE, help="number of float64 values (default: %(default)s)")
    options = parser.parse_args()
    if options.rounds < 1 or options.size < 1:
        parser.error("--rounds and --size must be at least 1")
    run = partial(measure, options.rounds, options.size, options.cache)
    report(options, run, compute_ratios, format_table, make_targets)


if __name__ == "__main__":
    main()
