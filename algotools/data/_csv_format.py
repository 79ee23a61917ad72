"""Format of a CSV file: the options that the node's owner configured, and the compression.

The options have the names of ``pandas.read_csv``, in upper case; see ``_options``. Every form of data applies them. The
compression is detected from the first bytes, because a v5 node mounts every file as ``<label>.csv``.
"""

from __future__ import annotations

import importlib
import io
import itertools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import msgspec

from algotools.data import _options
from algotools.data.reading import Unreadable, name_errors
from algotools.task import Database

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Texts that pandas reads as a missing value."""

ASCII_BASED = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""Encodings in which an ASCII character is a single byte."""

# --- Options. ---


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a CSV file; the defaults are those of pandas."""

    sep: str = ","
    """One ASCII character. The default for files with the suffix .tsv or .tab is a tab."""
    decimal: str = "."
    thousands: str | None = None
    encoding: str = "utf-8"
    """Name of Python's codec. With ``utf-8``, a byte order mark at the start is ignored."""
    quotechar: str = '"'
    """One ASCII character. If it is empty, quotes have no special meaning."""
    escapechar: str | None = None
    comment: str | None = None
    """Character at which the ignored part of a line begins."""
    skiprows: int = 0
    """Number of lines before the header."""
    na_values: tuple[str, ...] = ()
    """Texts that represent a missing value, in addition to pandas' defaults."""
    parse_dates: tuple[str, ...] = ()
    """Names of the columns that contain dates."""
    date_format: str | None = None
    """``strptime`` format of the dates; None to infer it from the first date."""
    dtype: tuple[tuple[str, str], ...] = ()
    """Names and types of columns, in pandas' words: ``str``, ``Int64``, ``float64`` or ``boolean``."""

    @classmethod
    def from_database(cls, database: Database) -> Dialect:
        """Return the options that the owner configured for a database.

        Raises:
            DatabaseUnreadable: an option has a wrong value; the message names the option and quotes nothing.
        """
        with name_errors(database, "csv"):
            fields = _options.parse(database.options, _options.CSV)
            if _find_suffix(database.uri) in _TAB_SUFFIXES:
                fields.setdefault("sep", "\t")
            dialect = cls(**fields)
            _check_ambiguity(dialect)
        return dialect

    def find_columns(self, existing_names: Sequence[object]) -> Dialect:
        """Return the options with the names of columns as they are in the file.

        Raises:
            Unreadable: an option names a column that the file does not have.
        """
        if not (self.dtype or self.parse_dates):
            return self
        names = [name for name in existing_names if isinstance(name, str)]
        columns = _options.find_columns("DTYPE", [name for name, _ in self.dtype], names)
        dtypes = [dtype for _, dtype in self.dtype]
        dates = _options.find_columns("PARSE_DATES", self.parse_dates, names)
        return msgspec.structs.replace(self, dtype=tuple(zip(columns, dtypes, strict=True)), parse_dates=tuple(dates))

    @property
    def missing(self) -> list[str]:
        """Texts that represent a missing value: those of pandas and those of the owner."""
        return list(dict.fromkeys((*MISSING, *_options.spell_missing(self.na_values))))

    @property
    def missing_numbers(self) -> list[float]:
        """Numbers that represent a missing value, however they are written in the file."""
        return _options.find_missing_numbers(self.na_values)

    @property
    def differences(self) -> frozenset[str]:
        """Names of the fields whose values differ from the defaults."""
        plain = type(self)()
        return frozenset(name for name in self.__struct_fields__ if getattr(self, name) != getattr(plain, name))


_TAB_SUFFIXES = (".tsv", ".tab")


def _find_suffix(uri: str) -> str:
    """Return the last suffix of a file's name, ignoring the suffixes of compressed files."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(uri).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in _COMPRESSED_SUFFIXES), "")


_COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")


def _check_ambiguity(dialect: Dialect) -> None:
    """Refuse characters with two meanings.

    Each library would resolve the ambiguity differently, so the forms would read different values from one file.
    """
    delimiters = {
        "SEP": dialect.sep, "QUOTECHAR": dialect.quotechar, "ESCAPECHAR": dialect.escapechar,
        "COMMENT": dialect.comment,
    }  # fmt: skip
    numbers = {"DECIMAL": dialect.decimal, "THOUSANDS": dialect.thousands}
    for group in (delimiters, numbers):
        characters = {name: value for name, value in group.items() if value}
        for first, second in itertools.combinations(characters, 2):
            if characters[first] == characters[second]:
                raise Unreadable(
                    f"its options {first} and {second} are the same character", detail=repr(characters[first])
                )
    if dialect.date_format is not None and not dialect.parse_dates:
        raise Unreadable("its option DATE_FORMAT has no effect without PARSE_DATES, which names the columns with dates")


# --- Compression. ---

_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty archive
}
_BZ2_MAGIC, _BZ2_BLOCKS = b"BZh", (b"1AY&SY", b"\x17rE8P\x90")
"""A text file can also begin with BZh. In a bz2 file, a digit and the start or the end of a block follow."""

_BUFFER = 1 << 18


def detect_compression(path: Path) -> str | None:
    """Return the compression, found by the first bytes: gzip, bz2, xz, zstd or zip; None for any other file."""
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(_BZ2_MAGIC) and start[4:] in _BZ2_BLOCKS:
        return "bz2"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def open_decompressed(path: Path) -> BinaryIO | None:
    """Open a compressed file as a stream of its content; return None for a file that is not compressed.

    Reading the stream raises ``Unreadable`` if the file is broken.

    Raises:
        Unreadable: the file is a zip file with a password, without a file or with several files.
    """
    kind = detect_compression(path)
    if kind is None:
        return None
    try:
        stream = _open_compressed(path, kind)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # libraries raise any class of error for broken files
        raise _make_broken_error(kind, error) from None
    return cast("BinaryIO", io.BufferedReader(_Decompressed(stream, kind), _BUFFER))


def _open_compressed(path: Path, kind: str) -> IO[bytes]:
    if kind == "zip":
        return _open_zip(path)
    if kind == "zstd":
        import pyarrow as pa

        return cast("IO[bytes]", pa.CompressedInputStream(str(path), kind))
    return cast("IO[bytes]", importlib.import_module("lzma" if kind == "xz" else kind).open(path))


def _open_zip(path: Path) -> IO[bytes]:
    import zipfile

    archive = zipfile.ZipFile(path)
    # Do not count folders, and the entries that macOS adds.
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    try:
        if "[Content_Types].xml" in names:
            raise Unreadable("it is an Excel file or another office document, not a csv file")
        if len(names) != 1:
            raise Unreadable(f"it is a zip file with {len(names)} files; it must contain one", detail=", ".join(names))
        try:
            return archive.open(names[0])
        except RuntimeError as error:
            raise Unreadable("it is a zip file with a password; store it without a password", error) from None
        except NotImplementedError as error:
            raise Unreadable("it is a zip file with an unsupported compression", error) from None
    finally:
        archive.close()  # the opened entry keeps the file open


def _make_broken_error(kind: str, error: Exception) -> Unreadable:
    return Unreadable(f"it is a {kind} file that is broken or incomplete", error)


class _Decompressed(io.RawIOBase):
    """Raw stream of decompressed bytes. Any error becomes ``Unreadable``, so that all libraries report the same."""

    def __init__(self, stream: IO[bytes], kind: str) -> None:
        super().__init__()
        self._stream = stream
        self._kind = kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read(len(view))
        except MemoryError:
            raise
        except Exception as error:
            raise _make_broken_error(self._kind, error) from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
