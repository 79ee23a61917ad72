"""CSV files, through pandas."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from algotools.data import Loaded
from algotools.data.reading import reading
from algotools.task import Database


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The file as ``pandas.read_csv`` gives it, or the asked columns of it: see ``Source.read``."""
    seen: list[object] = []

    def asked(name: object) -> bool:
        seen.append(name)
        return columns is None or name in columns

    with reading(database, "csv"):
        frame = pd.read_csv(database.uri, usecols=None if columns is None else asked)
    return Loaded(frame, list(frame.columns) if columns is None else list(dict.fromkeys(seen)))
