"""What each node has, given as Python objects: frames, paths, descriptions of databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import msgspec

from algotools.data import form_of, type_of
from algotools.errors import FederationError
from algotools.federation.configuration import Configuration, Member, locate
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd  # half a second that only those need who bring frames, and they have it already
    import polars as pl
    import pyarrow as pa

Source = Union["pd.DataFrame", "pl.DataFrame", "pa.Table", str, Path, Database]
"""One database of a node: a table in memory, a path, a URI, or a full description."""

Nodes = Union[Mapping[str, Union[Source, Mapping[str, Source]]], Sequence[Union[Source, Mapping[str, Source]]]]
"""Organization -> one database, or a mapping label -> database; or a sequence of such."""


TABLES = frozenset({"pandas", "polars", "arrow"})
"""The forms of data that are tables in memory."""


def described(nodes: Nodes, folder: Path, *, plain: bool = False) -> Configuration:
    """What Python objects describe, as a file would; frames have their place in ``folder``.

    ``plain`` frames are CSV, which every reader knows: they lose what CSV cannot hold.

    Raises:
        FederationError: something is no source.
    """
    if not isinstance(nodes, Mapping):
        nodes = {f"organization_{position}": node for position, node in enumerate(nodes, start=2)}
    return Configuration(
        tuple(
            Member(
                name,
                {label: _database(label, source, folder / str(position), plain) for label, source in _labelled(node)},
            )
            for position, (name, node) in enumerate(nodes.items())
        )
    )


def typed(configuration: Configuration) -> Configuration:
    """The same with a type for each database: a real node's configuration has one, and other tools rely on it."""

    def named(member: Member) -> Member:
        databases = {
            label: msgspec.structs.replace(database, type=type_of(database))
            for label, database in member.databases.items()
        }
        return msgspec.structs.replace(member, databases=databases)

    return msgspec.structs.replace(configuration, members=tuple(map(named, configuration.members)))


def _labelled(node: Source | Mapping[str, Source]) -> Iterable[tuple[str, Source]]:
    return node.items() if isinstance(node, Mapping) else [("default", node)]


def _database(label: str, source: Source, folder: Path, plain: bool) -> Database:
    """One database of a node; a frame is a file to all that handle it, though none may have to be written."""
    if isinstance(source, Database):
        return Database(label, source.uri, source.type, source.options)
    if isinstance(source, (str, Path)):
        return Database(label, locate(str(source), Path.cwd()))
    form = next(filter(None, map(form_of, type(source).__mro__)), None)
    held: Any = source
    if form not in TABLES:
        raise FederationError(
            f"database {label!r}: give a table (of pandas, Polars or Arrow), a path or a Database, not a "
            f"{type(source).__name__}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if plain:
        frame = held if form == "pandas" else held.to_pandas()
        path = folder / f"{label}.csv"
        frame.to_csv(path, index=False)
        return Database(label, str(path), "csv")
    if form == "pandas":
        from algotools.data.frame import hold

        path = folder / f"{label}.frame"
        hold(held, path)
        return Database(label, str(path), "frame")
    import pyarrow.parquet

    path = folder / f"{label}.parquet"
    pyarrow.parquet.write_table(held.to_arrow() if form == "polars" else held, path)
    return Database(label, str(path), "parquet")
