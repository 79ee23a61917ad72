"""Names of columns: one rule by which a requested name finds its column, for every source and form.

Programs write one name in several ways: ``é`` as one character or as ``e`` with an accent, a blank at the end, a
no-break space, a byte order mark. They look alike, and a researcher sends one name to all nodes. So names are compared
in a normal form. Upper and lower case differ.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from algotools.data.reading import Loaded, Unreadable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad"))
"""Characters without a width: byte order mark, zero-width space, word joiner, soft hyphen."""


def normalize(name: str) -> str:
    """Return the normal form of a name: NFC, with single blanks between words, without invisible characters."""
    if name.isascii() and name.isprintable() and "  " not in name:
        return name.strip(" ")
    return " ".join(unicodedata.normalize("NFC", name.translate(_INVISIBLE)).split())


def quote_name(name: str) -> str:
    """Quote a name as in standard SQL, which all databases understand whose queries are wrapped."""
    return '"' + name.replace('"', '""') + '"'


class RequestedNames(Collection[str]):
    """The columns that a task requests.

    A column of the database is in this collection if its name, or the normal form of its name, is that of a requested
    column. A name of blanks only has no normal form.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._normal_forms = frozenset(map(normalize, self._names)) - {""}

    def __contains__(self, name: object) -> bool:
        return name in self._names or (isinstance(name, str) and normalize(name) in self._normal_forms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def find_name(name: str, existing_names: Collection[str]) -> str | None:
    """Return the existing name with the same normal form, the same name first; None if there is none."""
    if name in existing_names:
        return name
    normal_form = normalize(name)
    return next(
        (candidate for candidate in existing_names if normal_form and normalize(candidate) == normal_form), None
    )


def find_renames(existing_names: Sequence[object], requested_names: Collection[str]) -> dict[str, str]:
    """Return the columns to rename, so that each requested column has the requested name: old name -> new name.

    Raises:
        Unreadable: two columns have the normal form of one requested name, so nobody can tell which one is meant.
    """
    if not requested_names:
        return {}
    requested = {normal_form: name for name in sorted(requested_names) if (normal_form := normalize(name))}
    columns: dict[str, set[str]] = {}
    for name in existing_names:
        if isinstance(name, str) and (normal_form := normalize(name)) in requested:
            columns.setdefault(normal_form, set()).add(name)
    if any(len(names) > 1 for names in columns.values()):
        raise Unreadable(
            "the names of two columns differ only in blanks, invisible characters or the form of accents; rename one "
            "of them",
            detail="; ".join(" and ".join(map(repr, sorted(names))) for names in columns.values() if len(names) > 1),
        )
    return {name: requested[normal_form] for normal_form, (name,) in columns.items() if name not in requested_names}


def differs_only_in_case(name: str, existing_names: Iterable[object]) -> bool:
    """Whether a column has this name in upper or lower case."""
    folded = normalize(name).casefold()
    return any(isinstance(candidate, str) and normalize(candidate).casefold() == folded for candidate in existing_names)


def suggest_name(name: str, existing_names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the existing name that is most similar; empty if no name is."""
    import difflib  # here, because nodes do not need it

    by_lower_case = {candidate.lower(): candidate for candidate in existing_names}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return f"; did you mean {by_lower_case[matches[0]]!r}?" if matches else ""


# --- Columns of a table. ---


def check_unique(names: Collection[object]) -> None:
    """Refuse a repeated name.

    Raises:
        Unreadable: two columns have the same name.
    """
    if len(set(names)) < len(names):
        raise Unreadable("it has two columns with the same name; rename one of them")


def find_index_names(schema: pa.Schema) -> frozenset[str]:
    """Return the names of the columns that contain the index of a frame, by the schema of a Parquet file."""
    return parse_index_names((schema.metadata or {}).get(b"pandas"))


def parse_index_names(metadata: bytes | str | None) -> frozenset[str]:
    """Return the names of the columns that contain the index of a frame, by pandas' metadata of a Parquet file."""
    if metadata is None:
        return frozenset()
    try:
        columns = msgspec.json.decode(metadata, type=_PandasMetadata).index_columns
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(name for name in columns if isinstance(name, str))


class _PandasMetadata(msgspec.Struct):
    index_columns: list[object] = []


def select_names(names: Iterable[str], columns: Collection[str] | None) -> list[str]:
    """Return the requested columns (None: all), in the database's order."""
    return [name for name in names if columns is None or name in columns]


def format_labels(labels: pd.Index) -> pd.Index:
    """Return the labels of columns as texts, as a task writes them: ``2023``, ``2023-01-31``. Levels stay levels."""
    if labels.nlevels > 1 or all(isinstance(label, str) for label in labels):
        return labels
    return labels.map(_format_label)


def _format_label(label: object) -> str:
    if isinstance(label, dt.datetime) and label.time() == dt.time():
        return label.date().isoformat()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def select_columns(frame: pd.DataFrame, columns: Collection[str] | None) -> Loaded:
    """Return the requested columns (None: all) of a frame that was read completely; names are texts."""
    if (labels := format_labels(frame.columns)) is not frame.columns:
        frame = frame.set_axis(labels, axis="columns")
    selection = frame if columns is None else frame.loc[:, [name in columns for name in frame.columns]]
    return Loaded(selection, list(frame.columns))
