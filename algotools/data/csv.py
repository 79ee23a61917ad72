"""CSV files, through pandas."""

from __future__ import annotations

import csv
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from algotools.data import Loaded
from algotools.data.compressed import opened
from algotools.data.options import Dialect
from algotools.data.reading import Unfit, path_of, reading
from algotools.task import Database

LARGE = 1 << 22
"""Bytes from which on it pays to keep the columns that nobody asks for away from pandas' parser."""


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The file as ``pandas.read_csv`` gives it, or the asked columns of it: see ``Source.read``."""
    seen: list[object] = []

    def asked(name: object) -> bool:
        seen.append(name)
        return columns is None or name in columns

    with reading(database, "csv"):
        dialect = Dialect.of(database)
        words = _words(dialect)
        large = columns is not None and _size(database.uri) >= LARGE
        if large or dialect.parse_dates:
            with _source(database.uri) as source:
                names = list(pd.read_csv(**source, **words, nrows=0).columns)
            words |= _dates(dialect, names, columns)
            if large and (frame := _narrow(database.uri, dialect, names, columns or (), words)) is not None:
                return Loaded(frame, names)
        with _source(database.uri) as source:
            frame = pd.read_csv(**source, **words, usecols=None if columns is None else asked)
    return Loaded(frame, list(frame.columns) if columns is None else list(dict.fromkeys(seen)))


def _words(dialect: Dialect) -> dict[str, Any]:
    """How a file is written, in pandas' words. Which columns are dates can only be said of columns that are read."""
    words = {name: getattr(dialect, name) for name in dialect.told - {"quotechar", "parse_dates", "na_values"}}
    if dialect.na_values:
        words["na_values"] = list(dialect.na_values)
    if dialect.quotechar:
        return words | {"quotechar": dialect.quotechar}
    return words | {"quoting": csv.QUOTE_NONE}


def _dates(dialect: Dialect, names: Sequence[object], columns: Collection[str] | None) -> dict[str, Any]:
    if missing := [name for name in dialect.parse_dates if name not in names]:
        raise Unfit(
            f"its option PARSE_DATES names {len(missing)} column(s) that it does not have", detail=", ".join(missing)
        )
    dates = [name for name in dialect.parse_dates if columns is None or name in columns]
    return {"parse_dates": dates} if dates else {}


@contextmanager
def _source(uri: str) -> Iterator[dict[str, Any]]:
    """A file as pandas is to be told of it: it would go by its name to see whether it is compressed."""
    if (path := path_of(uri)) is None:
        yield {"filepath_or_buffer": uri}
    elif (stream := opened(Path(path))) is None:
        yield {"filepath_or_buffer": path, "compression": None}
    else:
        with stream:
            yield {"filepath_or_buffer": stream}


def _size(uri: str) -> int:
    """Bytes of a file; -1 for what is none, or has no end."""
    path = path_of(uri)
    return os.path.getsize(path) if path is not None and os.path.isfile(path) else -1


def _narrow(
    uri: str, dialect: Dialect, names: list[Any], columns: Collection[str], words: dict[str, Any]
) -> pd.DataFrame | None:
    from algotools.data import narrow  # here: of small files Arrow need not see anything

    asked = [position for position, name in enumerate(names) if name in columns]
    file = narrow.Narrow(Path(path_of(uri) or uri), dialect, names, asked)
    return narrow.read(file, words) if narrow.fits(file) else None
