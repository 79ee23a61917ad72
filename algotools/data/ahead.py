"""Scan of a large CSV file ahead of its reading: in another process, while the author's code and its libraries load.

The scan of a file (``_csv_scan``) needs nothing from the function, except whether the function reads the file at all.
So the worker of a container starts the scan before the algorithm is imported. The imports need one processor, and the
scan runs on another one. A reader then takes the traits of the file from the other process instead of scanning the
file itself. If there are none, or the file or its options are not those that were scanned, the reader scans the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from algotools.data import detect_type
from algotools.data.reading import find_path
from algotools.task import Database

if TYPE_CHECKING:
    from algotools.data._csv_format import Dialect
    from algotools.data._csv_scan import Traits

_SMALLEST = 1 << 21
"""Bytes of a file from which a scan ahead saves time. A smaller file is scanned without NumPy."""


class _Scan(NamedTuple):
    """A scan in another process."""

    descriptor: int
    """The end of a pipe, from which the report is read."""
    stop: Callable[[], object]
    """Stops the process, and waits for its exit."""


_SCANS: dict[Path, _Scan] = {}
"""Path of a file -> the scan whose report was not taken yet."""


def select_file(databases: Iterable[Database]) -> Database | None:
    """Return the first database that is a large CSV file; None if there is none."""
    for database in databases:
        if detect_type(database) == "csv" and not database.preprocessing and (path := find_path(database.uri)):
            try:
                is_large = os.path.isfile(path) and os.path.getsize(path) >= _SMALLEST
            except (OSError, ValueError):  # reported when the file is read
                continue
            if is_large:
                return database
    return None


def make_report(database: Database) -> bytes:
    """Scan a CSV file, and return its traits, and what was scanned; empty if the file has no traits.

    The reader reports what is wrong with a file.
    """
    from algotools.data._csv_format import ASCII_BASED, Dialect, detect_compression
    from algotools.data._csv_head import FIRST_ROW, read_head
    from algotools.data._csv_scan import scan

    path, dialect = Path(find_path(database.uri) or ""), Dialect.from_database(database)
    if dialect.encoding not in ASCII_BASED or detect_compression(path) is not None:
        return b""
    version = _read_version(path)
    width = read_head(path, dialect, FIRST_ROW).width
    traits = scan(path, dialect, width=width)
    return msgspec.msgpack.encode((version, _select_options(dialect), width, traits))


def add(database: Database, descriptor: int, stop: Callable[[], object]) -> None:
    """Register a scan in another process, which writes ``make_report`` to a pipe."""
    _SCANS[Path(find_path(database.uri) or "")] = _Scan(descriptor, stop)


def take(path: Path, dialect: Dialect, width: int | None) -> Traits | None:
    """Wait for the scan of a file, and return the traits; None if the file was not scanned with these options.

    The traits include blank lines, long rows and hexadecimals even if the reader does not need them.
    """
    if (scan := _SCANS.pop(path, None)) is None:
        return None
    from algotools.data._csv_scan import Traits

    try:
        with open(scan.descriptor, "rb") as stream:
            report = stream.read()
    finally:
        scan.stop()
    if not report:
        return None
    version, options, scanned_width, traits = msgspec.msgpack.decode(
        report, type=tuple[tuple[int, ...], tuple[object, ...], int, Traits]
    )
    is_current = version == _read_version(path) and options == _select_options(dialect)
    return traits if is_current and width in (None, scanned_width) else None


def stop_all() -> None:
    """Stop the scans of files that no reader has taken."""
    while _SCANS:
        _, scan = _SCANS.popitem()
        scan.stop()
        os.close(scan.descriptor)


def _read_version(path: Path) -> tuple[int, ...]:
    """Return numbers that change if the file is replaced or changed."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _select_options(dialect: Dialect) -> tuple[object, ...]:
    """Return the options on which the traits depend."""
    return dialect.sep, dialect.quotechar, dialect.encoding, dialect.escapechar, dialect.comment, dialect.skiprows
