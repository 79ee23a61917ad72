"""A DataFrame that somebody gave the local federation: a file in our own rich encoding, dtypes included."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from algotools.data import Loaded
from algotools.data.reading import loaded, reading
from algotools.errors import ProxyError
from algotools.payload import decode_rich, encode_rich
from algotools.task import Database


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write what ``read`` reads."""
    path.write_bytes(encode_rich(frame))


def read(database: Database, columns: Collection[str] | None) -> Loaded:
    """The frame, or the asked columns of it: see ``Source.read``."""
    with reading(database, "frame"):
        try:
            frame = decode_rich(Path(database.uri).read_bytes())
        except ProxyError as error:  # which speaks of another node's answer
            raise ValueError(f"{error} {error.detail}") from None
        if not isinstance(frame, pd.DataFrame):
            raise TypeError("the file holds something else than a DataFrame")
    return loaded(frame, columns)
