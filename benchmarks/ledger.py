"""Measure the ledger: its cost for one entry, beside a write without chain and lock, and its safety.

    python benchmarks/ledger.py [--writers 8] [--entries 1000] [--folder FOLDER]

The first part appends entries to ledgers of several lengths. The peer writes the same bytes to a file with ``fsync``,
and the two take turns. The goal is at most 1 ms more than the peer. The second part compares a run with the last 1,000
entries. The third part lets processes append to one ledger, kills them at random (SIGKILL) and starts them again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from algotools.disclosure import _ledger_rules  # noqa: E402 - the path comes first
from algotools.disclosure._ledger_entry import (  # noqa: E402
    DatabaseEntry,
    LedgerEntry,
    LedgerHead,
    NumbersEntry,
    encode_entry,
    hash_bytes,
)
from algotools.disclosure._ledger_file import LedgerFile, read_entries, verify_ledger  # noqa: E402
from algotools.disclosure.sketch import make_sketch  # noqa: E402
from tests.disclosure.ledger_writers import write_together  # noqa: E402

KEY = b"key of the benchmark"
GOAL = 1.0
"""Milliseconds for an entry."""


def make_entry(row_set: bytes) -> LedgerEntry:
    """Return an entry of usual length."""
    numbers = [
        NumbersEntry(
            operation=f"aggregate.{name}", records=5_000, path=f"result['{name}']", columns=("age",), row_set=0
        )
        for name in ("sum", "count")
    ]
    return LedgerEntry(
        scope="0123456789abcdef",
        organization=2,
        task=17,
        image="registry.example.org/demo/average@sha256:" + "a" * 64,
        method="average_partial",
        arguments="sha256:" + "b" * 64,
        databases=(DatabaseEntry(label="default", rows=10_000, columns=("age",)),),
        minimum=3,
        numbers=tuple(numbers),
        row_sets=(row_set,),
        size=42,
        output="sha256:" + "c" * 64,
    )


def fill(folder: Path, count: int, sketches: list[bytes]) -> None:
    """Write a ledger with entries, without a sync for each."""
    head = LedgerHead()
    with (folder / "ledger.jsonl").open("wb") as file:
        for number in range(1, count + 1):
            entry = make_entry(sketches[number % len(sketches)])
            line = encode_entry(msgspec.structs.replace(entry, number=number, previous=head.hash, time="2026-12-01"))
            file.write(line)
            head = LedgerHead(number, hash_bytes(line))


def measure_appends(folder: Path, sketches: list[bytes], rounds: int) -> tuple[float, float, float]:
    """Return the median milliseconds of an append and of the peer, and the 95th percentile of the append."""
    times: list[float] = []
    peer_times: list[float] = []
    line = encode_entry(make_entry(sketches[0]))
    with (folder / "peer").open("ab", buffering=0) as peer:
        for number in range(rounds):
            start = time.perf_counter()
            with LedgerFile(folder).lock() as ledger:
                ledger.append(make_entry(sketches[number % len(sketches)]))
            middle = time.perf_counter()
            peer.write(line)
            os.fsync(peer.fileno())
            times.append(middle - start)
            peer_times.append(time.perf_counter() - middle)
    return (
        statistics.median(times) * 1e3,
        statistics.median(peer_times) * 1e3,
        float(np.percentile(times, 95)) * 1e3,
    )


def measure_comparison(folder: Path, sketch: bytes) -> float:
    """Return the milliseconds for the comparison of an entry with the last 1,000 entries."""
    entry = make_entry(sketch)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with LedgerFile(folder).lock() as ledger:
            assert _ledger_rules.find_close_rows(entry, _ledger_rules.select_earlier(ledger, entry), 3) is None
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def measure_repetitions(folder: Path) -> float:
    """Return the milliseconds for counting the repetitions of a call that no entry contains."""
    entry = msgspec.structs.replace(make_entry(b""), arguments="sha256:" + "d" * 64)
    start = time.perf_counter()
    with LedgerFile(folder).lock() as ledger:
        assert _ledger_rules.count_repetitions(ledger, entry) == (0, 0)
    return (time.perf_counter() - start) * 1e3


def check_writers(folder: Path, writers: int, entries: int) -> bool:
    """Let writers append while they are killed; print the outcome, and return whether nothing was lost."""
    outcome = write_together(folder, writers, entries)
    path = folder / "ledger.jsonl"
    verification = verify_ledger(path)
    written = {entry.number: (entry.organization, entry.task) for entry in read_entries(path)}
    lost = sum(written.get(number) != key for key, number in outcome.acknowledged.items())
    is_safe = verification.fault is None and lost == 0
    print(
        f"{writers} writers x {entries} entries, {outcome.kills} kills, {outcome.seconds:.0f} s: chain "
        f"{'verifies' if verification.fault is None else verification.fault}, {verification.head.number} entries, "
        f"{len(outcome.acknowledged)} reported by their writer, {lost} of these lost"
    )
    return is_safe


def main() -> int:
    """Print the measurements; return 1 if an entry costs too much, or is lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--entries", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, default=ROOT, help="where the ledgers are; /dev/shm has no disk")
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    sketches = [make_sketch(generator.choice(10_000, 5_000, replace=False), KEY) for _ in range(100)]
    new_sketch = make_sketch(generator.choice(10_000, 5_000, replace=False), KEY)
    is_good = True
    for count in (0, 1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            fill(folder, count, sketches)
            append, peer, slow = measure_appends(folder, sketches, arguments.rounds)
            comparison, repetitions = measure_comparison(folder, new_sketch), measure_repetitions(folder)
            # The time of fsync is that of the disk and of its other users.
            is_good &= append - peer <= GOAL
            print(
                f"{count:>7,} entries: append {append:.2f} ms (95 %: {slow:.2f}), write and fsync alone {peer:.2f} ms "
                f"(x {append / peer:.1f}); comparison with the last 1,000 entries {comparison:.1f} ms; "
                f"repetitions {repetitions:.1f} ms"
            )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        is_good &= check_writers(Path(name), arguments.writers, arguments.entries)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
