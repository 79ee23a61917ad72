"""The description of a federation, read from frames, paths and databases as Python objects; see also ``yaml_file``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import msgspec

from algotools.data import detect_type, find_form
from algotools.errors import FederationError, PolicyError
from algotools.federation._frames import add_frame
from algotools.federation.contract.prepare import split_variables
from algotools.federation.policy import NodePolicy, get_own_policy
from algotools.runtime.contract.environment import is_ledger_label, is_owner_label, is_rules_label
from algotools.task import Database

if TYPE_CHECKING:
    import pandas as pd  # half a second of import time, only for callers that bring frames
    import polars as pl
    import pyarrow as pa


class Member(msgspec.Struct, frozen=True):
    """One organization of the collaboration, and the databases and variables of its node."""

    name: str
    databases: Mapping[str, Database] = {}
    variables: Mapping[str, str] = {}
    """The environment variables that the node sets for algorithms."""

    def read_policy(self) -> NodePolicy | None:
        """Return the policy that the owner of this node has set; None if it has none of its own.

        Raises:
            PolicyError: the policy is malformed, or its file cannot be read.
        """
        rules = self.find_rules()
        try:
            return get_own_policy(self.variables, rules.uri if rules else None)
        except PolicyError as error:
            raise PolicyError(f"{self.name}: {error.message}", detail=error.detail) from None

    def find_rules(self) -> Database | None:
        """Return the database with the policy file of this node's owner; None if it has none of its own."""
        return next((item for label, item in self.databases.items() if is_rules_label(label)), None)

    def find_ledger(self) -> Path | None:
        """Return the folder of the database ``algotools_ledger``; None if the node does not have it."""
        ledger = next((item for label, item in self.databases.items() if is_ledger_label(label)), None)
        return None if ledger is None else Path(ledger.uri.removeprefix("file://"))

    def remove_policy(self) -> Member:
        """Return the member without the policy and the ledger of its owner, which no algorithm may see."""
        return msgspec.structs.replace(
            self,
            databases={label: item for label, item in self.databases.items() if not is_owner_label(label)},
            variables=split_variables(self.variables)[0],
        )


class Configuration(msgspec.Struct, frozen=True):
    """A collaboration: its members in order."""

    members: tuple[Member, ...]
    collaboration: str = "collaboration"
    images: Mapping[str, str] = {}
    """The algorithm for each image name."""
    policy: Union[NodePolicy, None] = None
    """The policy of every node; None if the description has none."""
    file: Union[Path, None] = None
    """The file with the description, if it is a file."""


def locate(uri: str, folder: Path) -> str:
    """Return a URI unchanged, or the absolute path of a file; a relative path is relative to *folder*."""
    return uri if "://" in uri else str((folder / Path(uri).expanduser()).absolute())


Source = Union["pd.DataFrame", "pl.DataFrame", "pa.Table", str, Path, Database]
"""A database of a node: a table in memory, a path, a URI, or a full description."""

Nodes = Union[Mapping[str, Union[Source, Mapping[str, Source]]], Sequence[Union[Source, Mapping[str, Source]]]]
"""Organization -> the databases of its node (one, or a mapping label -> database); or a sequence of these databases."""


TABLES = frozenset({"pandas", "polars", "arrow"})
"""The forms of data that are tables in memory."""


def read_nodes(nodes: Nodes, folder: Path, *, as_csv: bool = False) -> Configuration:
    """Return the configuration for nodes that are described with Python objects.

    The files of frames are in ``folder``. With ``as_csv`` they are CSV files, which all tools can read, but which lose
    types that CSV cannot represent.

    Raises:
        FederationError: an object is not a valid source.
    """
    if not isinstance(nodes, Mapping):
        nodes = {f"organization_{position}": node for position, node in enumerate(nodes, start=2)}
    return Configuration(
        tuple(
            Member(
                name,
                {
                    label: _make_database(label, source, folder / str(position), as_csv)
                    for label, source in _list_sources(node)
                },
            )
            for position, (name, node) in enumerate(nodes.items())
        )
    )


def add_types(configuration: Configuration) -> Configuration:
    """Return the configuration with a type for each database, because other tools rely on the type."""

    def add_types_to_member(member: Member) -> Member:
        databases = {
            label: msgspec.structs.replace(database, type=detect_type(database))
            for label, database in member.databases.items()
        }
        return msgspec.structs.replace(member, databases=databases)

    return msgspec.structs.replace(configuration, members=tuple(map(add_types_to_member, configuration.members)))


def _list_sources(node: Source | Mapping[str, Source]) -> Iterable[tuple[str, Source]]:
    return node.items() if isinstance(node, Mapping) else [("default", node)]


def _format_options(label: str, options: Mapping[str, object]) -> dict[str, str]:
    """Return options as a node passes them to a container: upper-case names, and texts or JSON as values."""
    texts: dict[str, str] = {}
    for name, value in options.items():
        if name.upper() in texts:
            raise FederationError(f"database {label!r} has the option {name.upper()} twice; keep one of the two")
        try:
            texts[name.upper()] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        except TypeError:
            raise FederationError(
                f"the option {name!r} of database {label!r} must be a text, a number, or a list or dict of them"
            ) from None
    return texts


def _make_database(label: str, source: Source, folder: Path, as_csv: bool) -> Database:
    """Return a database of a node.

    A frame gets the path of a file, too, so that nodes and runners handle only paths. For runs that can see the memory
    of this process, the file is never written; see ``_frames``.
    """
    if isinstance(source, Database):
        return Database(label, source.uri, source.type, _format_options(label, source.options))
    if isinstance(source, (str, Path)):
        return Database(label, locate(str(source), Path.cwd()))
    form = next(filter(None, map(find_form, type(source).__mro__)), None)
    table: Any = source
    if form not in TABLES:
        raise FederationError(
            f"database {label!r} must be a table (of pandas, Polars or Arrow), a path or a Database, not a "
            f"{type(source).__name__}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if as_csv:
        frame = table if form == "pandas" else table.to_pandas()
        path = folder / f"{label}.csv"
        frame.to_csv(path, index=False)
        return Database(label, str(path), "csv")
    if form == "pandas":
        path = folder / f"{label}.frame"
        add_frame(table, path)
        return Database(label, str(path), "frame")
    import pyarrow.parquet

    path = folder / f"{label}.parquet"
    pyarrow.parquet.write_table(table.to_arrow() if form == "polars" else table, path)
    return Database(label, str(path), "parquet")
