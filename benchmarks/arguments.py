"""Compare the transfer of many numbers as an argument of an rpc: algotools and the platform's own tools, in one run.

    python benchmarks/arguments.py [--rounds N] [--sizes N,N,…] [--cache FOLDER] [--json FILE]

The time is from the master's value until the function at the node is called. Both sides use the HTTP proxy of a
federation of one node. Each contestant checks that the values are identical bit for bit:

* ``array``, ``frame``, ``list``: through ``client.run``, with runner ``process``
* ``…, one process``: encoding, base64, decoding and validation in one process, without a network
* ``peer``: JSON lists, with wrapper and client of vantage6 4.15 in its own interpreter
* ``json``: ``json.dumps``, base64 and ``json.loads`` in one process, without a network

The bytes are those of the requests of the master. The contestants take turns, and each measurement is a new process.
The environments are those of ``dispatch.py``. Ten million numbers need about 4 GB of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from dispatch import HERE, Figures, Target
from transfers import align, make_parser, measure_turns, report

SIZES = (100_000, 1_000_000, 10_000_000)

OURS: dict[str, tuple[str, str | None]] = {
    "array, v3": ("send_array", "v3"),
    "array, v4": ("send_array", "v4"),
    "array, v5": ("send_array", "v5"),
    "frame, v4": ("send_frame", "v4"),
    "list, v4": ("send_list", "v4"),
    "array, one process": ("send_array", None),
    "frame, one process": ("send_frame", None),
    "list, one process": ("send_list", None),
}
"""Contestant -> master, and contract; None: in one process."""


def measure(rounds: int, sizes: tuple[int, ...] = SIZES, cache: Path | None = None) -> Figures:
    """Return milliseconds and MB of each contestant: ``time, NAME, SIZE`` and ``bytes, NAME, SIZE``.

    The environments are created in ``cache`` if necessary.
    """

    def list_turns(peer: Path) -> dict[str, tuple[str, dict[str, object]]]:
        contestants: dict[str, dict[str, object]] = {
            "peer": {"algorithm": "vantage6_sends", "root": str(HERE / "peers"), "python": str(peer)}
            | {"method": "send_list", "contract": "v4", "runner": "process"}
        }
        for name, (method, contract) in OURS.items():
            contestants[name] = {"algorithm": "sends", "root": "", "python": None, "method": method}
            contestants[name] |= {"contract": contract, "runner": "process"} if contract else {}
        turns: dict[str, tuple[str, dict[str, object]]] = {}
        for size in sizes:
            turns[f"json, {size}"] = ("json_lists.py", {"size": size})
            for name, parameters in contestants.items():
                turns[f"{name}, {size}"] = ("arguments.py", {"size": size, **parameters})
        return turns

    return measure_turns(rounds, cache, list_turns)


def compute_ratios(figures: Figures, sizes: tuple[int, ...]) -> dict[str, float]:
    """Return the medians of algotools divided by those of JSON lists: of the peer, and without a network."""
    return {
        f"{quantity}, {name}, {size}": figures[f"{quantity}, {name}, {size}"].median
        / figures[f"{quantity}, {'json' if contract is None else 'peer'}, {size}"].median
        for quantity in ("time", "bytes")
        for name, (_, contract) in OURS.items()
        for size in sizes
    }


def make_targets(ratios: Mapping[str, float], sizes: tuple[int, ...]) -> list[Target]:
    """Return the targets of arrays."""
    return [
        Target(f"{quantity} of {name}, {max(sizes):,} numbers, relative to JSON lists", ratio, limit)
        for quantity, limit in (("time", 0.2), ("bytes", 0.6))
        for name in OURS
        if name.startswith("array")
        for ratio in [ratios[f"{quantity}, {name}, {max(sizes)}"]]
    ]


def format_table(figures: Figures, ratios: Mapping[str, float], sizes: tuple[int, ...]) -> str:
    """Format a table of medians, minima and maxima."""
    lines = [("median (min to max)", "numbers", "time", "relative to JSON lists", "bytes", "relative to JSON lists")]
    for size in sizes:
        for name in ("json", "peer", *OURS):
            key = f"{name}, {size}"
            time, count = (f"{ratios[f'{q}, {key}']:.2f}" if f"{q}, {key}" in ratios else "" for q in ("time", "bytes"))
            megabytes = f"{figures[f'bytes, {key}'].median:.1f} MB"
            lines.append((name, f"{size:,}", str(figures[f"time, {key}"]), time, megabytes, count))
    return align(lines)


def main() -> None:
    """Measure and print. The exit code is 0 even if a target is not met, because people judge the figures."""
    parser = make_parser(__doc__ or "")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of float64 (default: %(default)s)")
    options = parser.parse_args()
    sizes = tuple(int(text) for text in options.sizes.split(",") if text.isdigit())
    if options.rounds < 1 or not sizes or any(size < 10 or size % 10 for size in sizes):
        parser.error("--rounds must be at least 1, and --sizes multiples of 10, the columns of the frame")
    report(
        options,
        partial(measure, options.rounds, sizes, options.cache),
        partial(compute_ratios, sizes=sizes),
        partial(format_table, sizes=sizes),
        partial(make_targets, sizes=sizes),
    )


if __name__ == "__main__":
    main()
