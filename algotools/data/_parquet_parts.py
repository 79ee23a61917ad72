"""A folder of Parquet files as one table: which files are its parts, and one schema for all parts.

Programs that write such a folder add files of their own: Spark writes to ``_temporary``, Delta a log with checkpoints,
Jupyter copies, macOS files that begin with ``._``. Each library ignores others of them, and a library that reads a copy
counts its patients twice. So algotools lists the parts for all libraries.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from algotools.data.names import check_unique, find_index_names
from algotools.data.reading import Unreadable, list_parts


class Parts(NamedTuple):
    """The parts of a table."""

    folder: Path
    files: list[Path]
    schema: pa.Schema
    """Columns of all parts, with types that hold the values of each part."""
    is_uniform: bool
    """Whether all parts have these columns with these types."""

    @property
    def has_partitions(self) -> bool:
        """Whether names of folders contain values, such as ``year=2024``."""
        return any("=" in name for file in self.files for name in file.relative_to(self.folder).parts[:-1])

    @property
    def index_names(self) -> frozenset[str]:
        """Names of the columns that contain the index of a frame of pandas."""
        return find_index_names(self.schema)


def inspect_parts(folder: Path) -> Parts:
    """Read the schemas of all parts.

    Raises:
        Unreadable: there is no part, a part is empty, or the parts do not fit together.
    """
    files = list_parts(folder)
    if any(not file.stat().st_size for file in files):
        raise Unreadable("one of its parts is an empty file; remove the part, or write it again")
    schemas = [pq.read_schema(file) for file in files]
    for schema in schemas:
        check_unique(schema.names)
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise Unreadable("the parts have different types for a column; write them with one type", error) from None
    fields = [{field.name: field.type for field in each} for each in schemas]
    is_uniform = all(each == {field.name: field.type for field in schema} for each in fields)
    return Parts(folder, files, schema, is_uniform)


def open_parts(parts: Parts, *, as_categories: bool = False) -> Any:
    """Open the parts as one dataset of Arrow, with the partitions as columns. Only the metadata are read.

    With ``as_categories``, a partition is a category, as ``pandas.read_parquet`` makes it.
    """
    discovery = ds.HivePartitioning.discover(infer_dictionary=as_categories)
    options: dict[str, Any] = {
        "format": "parquet",
        "partitioning": discovery if parts.has_partitions else None,
        "partition_base_dir": str(parts.folder),
    }
    files = list(map(str, parts.files))
    dataset = ds.dataset(files, **options)
    if parts.is_uniform:
        return dataset
    partitions = [field for field in dataset.schema if field.name not in parts.schema.names]
    return ds.dataset(files, schema=pa.schema([*parts.schema, *partitions], parts.schema.metadata), **options)
