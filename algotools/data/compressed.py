"""Files that are compressed, whatever their name says: a v5 node mounts each as ``<label>.csv``."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from algotools.data.reading import Unfit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_STARTS = {
    b"\x1f\x8b\x08": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # one without a file
}
_BZ2_START, _BZ2_BLOCKS = b"BZh", (b"1AY&SY", b"\x17rE8P\x90")
"""A text may begin with the first; then follow a digit and what begins a block, or ends a file without any."""

_BUFFER = 1 << 18


def kind_of(path: Path) -> str | None:
    """How a file is compressed, by its first bytes: gzip, bz2, xz, zstd or zip; None if it is not."""
    with path.open("rb") as file:
        start = file.read(10)
    if start.startswith(_BZ2_START) and start[4:] in _BZ2_BLOCKS:
        return "bz2"
    return next((kind for magic, kind in _STARTS.items() if start.startswith(magic)), None)


def opened(path: Path) -> BinaryIO | None:
    """What a compressed file holds, decompressed as it is read; None for a file that is not compressed.

    Reading it raises ``Unfit`` where the file is broken.

    Raises:
        Unfit: it is a zip file that does not hold one file, or that wants a password.
    """
    kind = kind_of(path)
    if kind is None:
        return None
    try:
        stream = _decompressing(path, kind)
    except (Unfit, MemoryError):
        raise
    except Exception as error:  # whatever a reader of foreign bytes may raise
        raise _broken(kind, error) from None
    return cast("BinaryIO", io.BufferedReader(_Decompressed(stream, kind), _BUFFER))


def _decompressing(path: Path, kind: str) -> IO[bytes]:
    if kind == "zip":
        return _zip(path)
    if kind == "zstd":
        import pyarrow as pa

        return cast("IO[bytes]", pa.CompressedInputStream(str(path), kind))
    return cast("IO[bytes]", importlib.import_module(_MODULES.get(kind, kind)).open(path))


_MODULES = {"xz": "lzma"}
"""The module of a kind that is called otherwise."""


def _zip(path: Path) -> IO[bytes]:
    import zipfile

    archive = zipfile.ZipFile(path)
    # Directories, and what macOS adds to a file, are none that anybody has put there.
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    try:
        if "[Content_Types].xml" in names:
            raise Unfit("it is an Excel file, or another office document, and not of type 'csv'")
        if len(names) != 1:
            raise Unfit(f"it is a zip file that holds {len(names)} files; it must hold one", detail=", ".join(names))
        try:
            return archive.open(names[0])
        except RuntimeError as error:
            raise Unfit("it is a zip file that wants a password", error) from None
        except NotImplementedError as error:
            raise Unfit("it is a zip file, compressed in a way that cannot be read", error) from None
    finally:
        archive.close()  # which leaves the file open for who reads from it


def _broken(kind: str, error: Exception) -> Unfit:
    return Unfit(f"it is a {kind} file that is broken or incomplete", error)


class _Decompressed(io.RawIOBase):
    """A stream that names what is wrong with its file, whoever reads from it."""

    def __init__(self, stream: IO[bytes], kind: str) -> None:
        super().__init__()
        self._stream = stream
        self._kind = kind

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        try:
            found = self._stream.read(len(view))
        except MemoryError:
            raise
        except Exception as error:
            raise _broken(self._kind, error) from None
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()
