"""The names of a database's columns, read without its rows.

The local federation compares them with a task before any node runs. A name that is missing here must be missing in a
run, too. So the names are unknown for every database whose header this module cannot read exactly as the sources do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from algotools.data import FRAMES_IN_MEMORY, detect_type
from algotools.data.names import find_index_names, format_labels
from algotools.data.reading import find_path
from algotools.task import Database

_SIZE = 1 << 16
"""Bytes of a CSV file that contain its header."""

_SEPARATORS = ",;|\t"
"""A single name that contains one of these may be a line with this separator, which each run reports."""


def read_column_names(database: Database) -> list[str] | None:
    """Return the names of the columns; None if they are unknown, for instance because the database is a server."""
    if database.preprocessing or database.query:
        return None
    try:
        reader = _READERS.get(detect_type(database))
        names = reader(database) if reader else None
    except Exception:  # each run reports why its database is unreadable
        return None
    return names if names and len(set(names)) == len(names) and all(names) else None


def _read_frame(database: Database) -> list[str] | None:
    in_memory = FRAMES_IN_MEMORY.get(Path(database.uri))
    if in_memory is not None:
        labels: Sequence[object] = list(format_labels(in_memory.frame.columns))
    else:  # with a pandas older than 3, the frame is in a file
        from algotools.data import frame

        labels = frame.read(database, ()).columns or []
    return None if any(isinstance(label, tuple) for label in labels) else [str(label) for label in labels]


def _read_csv(database: Database) -> list[str] | None:
    from algotools.data._csv_format import Dialect  # here and below: few federations have databases of every type
    from algotools.data._csv_head import read_head

    path = find_path(database.uri)
    if path is None or not Path(path).is_file():
        return None
    names = read_head(Path(path), Dialect.from_database(database), _SIZE).names
    is_other_line = len(names) == 1 and any(separator in names[0] for separator in _SEPARATORS)
    return None if is_other_line else names


def _read_parquet(database: Database) -> list[str] | None:
    import pyarrow.parquet as pq

    path = find_path(database.uri)
    if path is None or not Path(path).is_file():
        return None
    schema = pq.read_schema(path)
    index = find_index_names(schema)
    return [name for name in schema.names if name not in index]


_READERS = {"csv": _read_csv, "frame": _read_frame, "parquet": _read_parquet}
