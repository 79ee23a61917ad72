"""What of a folder is sent to the engine: what ``.dockerignore`` leaves, and no data."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import yaml
from docker.utils.build import Pattern, exclude_paths

from algotools.errors import ImageError

ALWAYS_LEFT_OUT = (
    "**/.git", "**/.hg", "**/.venv*", "**/venv", "**/__pycache__", "**/*.py[co]", "**/*.egg-info", "**/.mypy_cache",
    "**/.pytest_cache", "**/.ruff_cache", "**/.hypothesis", "**/.ipynb_checkpoints", "**/.env",
)  # fmt: skip
"""What no image needs. A line of ``.dockerignore`` that begins with ``!`` and names it takes it in all the same."""

DATA_ENDINGS = frozenset(
    {
        ".csv", ".tsv", ".psv", ".jsonl", ".ndjson", ".parquet", ".feather", ".arrow", ".orc", ".avro",
        ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".sav", ".zsav", ".por", ".dta", ".sas7bdat", ".xpt",
        ".rds", ".rda", ".rdata", ".db", ".sqlite", ".sqlite3", ".duckdb", ".h5", ".hdf5", ".mdb", ".accdb",
        ".pkl", ".pickle", ".npy", ".npz", ".frame", ".dcm", ".nii", ".tab", ".dat", ".fst", ".vcf",
        ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tar", ".tgz",
    }
)  # fmt: skip
"""How the names of files end in which people keep data; what is packed can be anything."""


class Context(NamedTuple):
    """The files of a folder that go into a build."""

    root: Path
    files: tuple[str, ...]
    """Paths relative to the folder, folders too, sorted."""
    data: tuple[str, ...] = ()
    """Data files that were found there and left out."""

    def archive(self, dockerfile: str | None = None) -> IO[bytes]:
        """The tar that the engine takes; ``dockerfile`` is the text of another Dockerfile than the folder's.

        Whoever may read the files here, everybody may in the image: the algorithm's code runs as another user there.

        Raises:
            ImageError: a file cannot be read.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in self.files:
                if dockerfile is None or name != "Dockerfile":
                    self._add(tar, name)
            if dockerfile is not None:
                entry = tarfile.TarInfo("Dockerfile")
                entry.size = len(dockerfile.encode())
                tar.addfile(entry, io.BytesIO(dockerfile.encode()))
        archive.seek(0)
        return archive

    def digest(self, *more: str) -> str:
        """A digest of all contents, and of what else decides what comes out.

        Raises:
            ImageError: a file cannot be read.
        """
        found = hashlib.sha256("\0".join(more).encode())
        for name in self.files:
            content = self._content(name) if (self.root / name).is_file() else b""
            found.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return found.hexdigest()

    def _add(self, tar: tarfile.TarFile, name: str) -> None:
        try:
            entry = tar.gettarinfo(str(self.root / name), arcname=name)
        except OSError as error:
            raise _unreadable(self.root / name, error) from None
        if entry is None:  # a socket
            return
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = int(entry.mtime)
        if not entry.isreg():
            if entry.islnk():  # a second name of a file that was added already
                entry.type = tarfile.REGTYPE
            else:
                tar.addfile(entry)
                return
        content = self._content(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))

    def _content(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise _unreadable(self.root / name, error) from None


def of_project(root: Path) -> Context:
    """An algorithm's project as its Dockerfile sees it.

    A file with data never slips in: neither a database that ``federation.yaml`` names, nor a file whose name ends
    as those of data do. An author who means a certain file to be in the image says so in ``.dockerignore``, with a
    line ``!src/package/codes.csv`` (or ``!src/package/*.csv``) that names it, not only the folder that it is in.
    """
    root = root.resolve()
    patterns = read_patterns(root / ".dockerignore")
    meant = [Pattern(pattern) for pattern in patterns if pattern.startswith("!")]
    files = exclude_paths(str(root), [*ALWAYS_LEFT_OUT, *patterns])
    files = {name for name in files if not _needless(name, meant)}  # `!src` takes in what is needless in there, too
    databases = set(_databases(root))
    data = {
        name
        for name in files
        if (root / name).is_file()
        and (_is_data(name) or any((root / name).resolve().is_relative_to(database) for database in databases))
        and not any(_names(pattern, name) for pattern in meant)
    }
    return Context(root, tuple(sorted(files - data)), tuple(sorted(data)))


def of_patterns(root: Path, ignore: Path) -> Context:
    """What an ignore file leaves of a folder; not the ignore file itself, which may stand elsewhere."""
    files = exclude_paths(str(root), read_patterns(ignore), dockerfile="")
    return Context(root, tuple(sorted(files - {".dockerignore"})))


def read_patterns(ignore: Path) -> list[str]:
    """The lines of a ``.dockerignore``; none if there is no such file.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        lines = ignore.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(ignore, error) from None
    return [line for text in lines if (line := text.strip()) and not line.startswith("#")]


def _unreadable(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})")


def _is_data(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in DATA_ENDINGS


def _needless(name: str, meant: Collection[Pattern]) -> bool:
    path = PurePosixPath(name)
    parts = [str(part) for part in (*reversed(path.parents), path) if part.name]
    for position, part in enumerate(parts):
        if any(Pattern(pattern).match(part) for pattern in ALWAYS_LEFT_OUT):
            return not any(_names(pattern, below) for pattern in meant for below in parts[position:])
    return False


def _names(pattern: Pattern, name: str) -> bool:
    """Whether a pattern names a path itself, rather than everything, or a folder above it."""
    return PurePosixPath(pattern.cleaned_pattern).name.strip("*?") != "" and bool(pattern.match(name))


def _databases(root: Path) -> Iterator[Path]:
    """Files and folders that the project's federation keeps data in."""
    try:
        content = yaml.safe_load((root / "federation.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    for told in _below(content, "databases"):
        if isinstance(told, dict):
            for database in told.values():
                uri = database.get("uri") if isinstance(database, dict) else database
                if isinstance(uri, str) and (uri.startswith("file://") or "://" not in uri):
                    yield (root / Path(uri.removeprefix("file://")).expanduser()).resolve()


def _below(content: object, key: str) -> Iterator[object]:
    """The values of a key anywhere in a document."""
    children: Collection[object] | Iterable[object] = ()
    if isinstance(content, dict):
        if key in content:
            yield content[key]
        children = content.values()
    elif isinstance(content, list):
        children = content
    for child in children:
        yield from _below(child, key)
