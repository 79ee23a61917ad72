"""Writers of one ledger in processes of their own, which are killed at random and started again.

As a program, the module is one writer: it appends entries, and prints the number of each that is on the disk.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """The appends of all writers."""

    acknowledged: dict[tuple[int, int], int]
    """Writer and position of an entry -> the number that the ledger gave it."""
    kills: int
    seconds: float


class Writer:
    """The process of one writer, which a thread kills at random and starts again until all entries are written."""

    def __init__(self, number: int, folder: Path, entries: int, lifetimes: tuple[float, float]) -> None:
        self._number = number
        self._folder = folder
        self._entries = entries
        self._lifetimes = lifetimes
        self._random = random.Random(number)
        self.acknowledged: dict[tuple[int, int], int] = {}
        self.kills = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while len(self.acknowledged) < self._entries:
            start = str(len(self.acknowledged))
            command = [sys.executable, __file__, str(self._folder), str(self._number), start, str(self._entries)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                timer = threading.Timer(self._random.uniform(*self._lifetimes), process.kill)
                timer.start()
                lines += process.stdout
            timer.cancel()
            self.kills += process.returncode < 0
            for line in lines:
                if line.endswith("\n"):
                    position, number = map(int, line.split())
                    self.acknowledged[self._number, position] = number


def write_together(folder: Path, writers: int, entries: int, lifetimes: tuple[float, float] = (0.0, 0.2)) -> Outcome:
    """Let processes append to one ledger until each has appended its entries.

    Args:
        folder: the folder of the ledger.
        writers: number of processes.
        entries: number of entries of each process.
        lifetimes: bounds of the seconds after which a process is killed, counted from its first entry.
    """
    start = time.perf_counter()
    all_writers = [Writer(number, folder, entries, lifetimes) for number in range(writers)]
    for writer in all_writers:
        writer.thread.start()
    for writer in all_writers:
        writer.thread.join()
    acknowledged = {key: number for writer in all_writers for key, number in writer.acknowledged.items()}
    return Outcome(acknowledged, sum(writer.kills for writer in all_writers), time.perf_counter() - start)


def main(folder: str, writer: str, first: str, entries: str) -> None:
    from algotools.disclosure._ledger_entry import LedgerEntry
    from algotools.disclosure._ledger_file import LedgerFile

    sketch = os.urandom(768)
    for position in range(int(first), int(entries)):
        with LedgerFile(Path(folder)).lock() as ledger:
            entry = LedgerEntry(method=f"writer_{writer}", task=position, organization=int(writer), row_sets=(sketch,))
            head = ledger.append(entry)
        sys.stdout.write(f"{position} {head.number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
