"""Forms of data other than pandas' DataFrame: one module per form, imported when a function requests the form.

A form's module has a function ``read_SOURCE`` for each source that its library reads without pandas. Any other source
is read by pandas and converted by ``convert_frame``, so every form is available for every source.

This module contains the rules for CSV files. Each library has its own defaults: which texts are missing values, how
repeated names are changed, what an empty line means. If each form used the defaults of its library, one file could have
different values in different forms. So pandas' rules apply in every form: the readers pass the rules as options, and a
file to which a library cannot apply them (``NeedsPandas``) is read by pandas.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal, NamedTuple

from algotools.data import ahead
from algotools.data._csv_format import ASCII_BASED, Dialect, detect_compression
from algotools.data._csv_head import Kind, check_shape, find_kinds, read_head
from algotools.data._csv_scan import TOO_LONG, Traits, scan
from algotools.data.names import select_names
from algotools.data.reading import NeedsPandas, Unreadable, find_path
from algotools.task import Database


class Delimited(NamedTuple):
    """A CSV file that a library can read with pandas' rules."""

    path: Path
    names: list[str]
    """Names of all columns."""
    kinds: dict[str, Kind]
    """Kinds of the requested columns, in the file's order. The library must not choose types itself."""
    dialect: Dialect
    compression: str | None
    traits: Traits
    has_short_rows: bool
    """Whether one of the first rows has fewer fields than the header."""

    @property
    def skipped_lines(self) -> int:
        """Number of lines before the first row."""
        return self.dialect.skiprows + 1


def inspect_csv(
    database: Database,
    columns: Collection[str] | None,
    supported_fields: AbstractSet[str],
    compressions: AbstractSet[str],
    *,
    skips_blank_lines: bool = False,
    pads_rows: bool = True,
    finds_hexadecimals: bool = False,
    accepts_long_rows: Literal["never", "if empty", "if not requested"] = "never",
) -> Delimited:
    """Inspect a CSV file, and check that a library can read the file with pandas' rules.

    Args:
        database: the CSV file.
        columns: the requested columns; None: all.
        supported_fields: fields of ``Dialect`` for which the library's reader has an option. The others must be
            defaults.
        compressions: compressions that the library can decompress.
        skips_blank_lines: whether the library skips blank lines.
        pads_rows: whether the library reads a row with too few fields, and the other fields are missing.
        finds_hexadecimals: whether the trait ``has_hexadecimals`` is needed.
        accepts_long_rows: whether the library reads a row with too many fields: if the last field is empty, or if not
            all columns are requested.

    Raises:
        NeedsPandas: the library cannot read the file with pandas' rules.
        Unreadable: pandas cannot read the file rightly.
    """
    if (location := find_path(database.uri)) is None:
        raise NeedsPandas
    path, dialect = Path(location), Dialect.from_database(database)
    compression = detect_compression(path)
    if not dialect.differences <= supported_fields or (compression is not None and compression not in compressions):
        raise NeedsPandas
    if dialect.encoding not in ASCII_BASED:
        raise NeedsPandas
    head = read_head(path, dialect)
    names, lengths = head.names, {len(row) for row in head.rows}
    if check_shape(head, dialect) or not (lengths and head.begins_with_names):
        raise NeedsPandas
    # Names that the libraries read differently: an empty name, a repeated name (DuckDB ignores case), a line break or a
    # byte order mark in a name. In a file with one column, an empty line could be a missing value.
    is_plain = len(names) > 1 and all(names) and len({name.lower() for name in names}) == len(names)
    if not is_plain or any(mark in name for name in names for mark in "\r\n\0\ufeff"):
        raise NeedsPandas
    if len(head.rows[0]) != len(names) or max(lengths) > len(names) or (min(lengths) < len(names) and not pads_rows):
        raise NeedsPandas
    dialect = dialect.find_columns(names)
    selected = select_names(names, columns)
    if set(selected) & set(dialect.parse_dates):
        raise NeedsPandas
    kinds = find_kinds(head, [names.index(name) for name in selected], dialect)
    may_accept = accepts_long_rows == "if empty" or (accepts_long_rows != "never" and len(selected) < len(names))
    counts_fields = may_accept or not skips_blank_lines
    width = len(names) if counts_fields else None
    traits = ahead.take(path, dialect, width)
    if traits is None:
        traits = scan(path, dialect, width=width, hexadecimals=finds_hexadecimals)
    if not traits.is_regular or (traits.has_blank_lines and not skips_blank_lines):
        raise NeedsPandas
    if may_accept and traits.has_long_rows:
        raise Unreadable(TOO_LONG)
    return Delimited(
        path,
        names,
        {names[at]: kind for at, kind in kinds.items()},
        dialect,
        compression,
        traits,
        min(lengths) < len(names),
    )


def find_uniform_parts(folder: Path) -> tuple[list[Path], frozenset[str], bool]:
    """Return the parts of a table, the columns of pandas' index, and whether names of folders contain values.

    Raises:
        NeedsPandas: the parts have different columns or types, or a folder above them has a name with ``=``, which a
            library would take for a value.
        Unreadable: the parts do not fit together.
    """
    from algotools.data._parquet_parts import inspect_parts  # here: it imports Arrow

    parts = inspect_parts(folder)
    if not parts.is_uniform or (parts.has_partitions and "=" in str(folder.absolute())):
        raise NeedsPandas
    return parts.files, parts.index_names, parts.has_partitions
