"""What every form must know of the files of Parquet, and which columns of a file are asked for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from algotools.data.reading import Unfit, local
from algotools.task import Database

_UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the column of an index without a name."""


def parquet_path(database: Database) -> Path:
    """The file, or the folder with the parts of a table.

    Raises:
        Unfit: nothing is there to be read.
    """
    path = local(database.uri)
    if path.is_dir():
        if not any(path.rglob("*.parquet")):
            raise Unfit("it is a folder without a parquet file")
        return path
    if not path.stat().st_size:
        raise Unfit("it is empty")
    with path.open("rb"):  # which says what is wrong better than libraries do
        return path


def without_index(names: Iterable[str]) -> list[str]:
    """The columns without those in which pandas keeps an index that has no name."""
    return [name for name in names if not _UNNAMED_INDEX.fullmatch(name)]


def picked(names: Iterable[str], columns: Collection[str] | None) -> list[str]:
    """The asked columns (None: all), in the database's own order."""
    return [name for name in names if columns is None or name in columns]
