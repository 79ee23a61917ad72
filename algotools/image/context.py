"""The build context: the files of a folder that are sent to the engine, without data files.

``.dockerignore`` excludes files, as for ``docker build``. Two rules are added, because an image travels to every node
and a forgotten file with patients' data must not travel with it:

* Files that no image needs (``_ALWAYS_EXCLUDED``) and data files are excluded, whatever ``.dockerignore`` contains.
* A line of ``.dockerignore`` that begins with ``!`` includes such a file if the line names the file itself. A line that
  names only a folder above the file, or everything, is not enough.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import yaml
from docker.utils.build import Pattern, exclude_paths

from algotools.errors import ImageError

_ALWAYS_EXCLUDED = (
    "**/.git", "**/.hg", "**/.venv*", "**/venv", "**/__pycache__", "**/*.py[co]", "**/*.egg-info", "**/.mypy_cache",
    "**/.pytest_cache", "**/.ruff_cache", "**/.hypothesis", "**/.algotools", "**/.ipynb_checkpoints", "**/.env",
)  # fmt: skip
"""Patterns of files that no image needs."""

DATA_SUFFIXES = frozenset(
    {
        ".csv", ".tsv", ".psv", ".jsonl", ".ndjson", ".parquet", ".feather", ".arrow", ".orc", ".avro",
        ".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".sav", ".zsav", ".por", ".dta", ".sas7bdat", ".xpt",
        ".rds", ".rda", ".rdata", ".db", ".sqlite", ".sqlite3", ".duckdb", ".h5", ".hdf5", ".mdb", ".accdb",
        ".pkl", ".pickle", ".npy", ".npz", ".frame", ".dcm", ".nii", ".tab", ".dat", ".fst", ".vcf",
        ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar", ".tar", ".tgz",
    }
)  # fmt: skip
"""Suffixes of data files. Archives are among them, because they can contain data."""


class Context(NamedTuple):
    """The files of a folder that go into a build."""

    root: Path
    files: tuple[str, ...]
    """Sorted paths relative to the folder, including folders."""
    data: tuple[str, ...] = ()
    """Data files in the folder that are excluded."""

    def make_archive(self, dockerfile: str | None = None) -> IO[bytes]:
        """Return the tar archive for the engine. ``dockerfile`` is the text of a Dockerfile that replaces the folder's.

        All users may read the files in the image, because the algorithm's code does not run as the files' owner there.

        Raises:
            ImageError: a file cannot be read.
        """
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in self.files:
                if dockerfile is None or name != "Dockerfile":
                    try:
                        tar.add(self.root / name, name, recursive=False, filter=self._normalize)
                    except OSError as error:
                        raise _make_unreadable_error(self.root / name, error) from None
            if dockerfile is not None:
                entry = tarfile.TarInfo("Dockerfile")
                entry.size = len(dockerfile.encode())
                tar.addfile(entry, io.BytesIO(dockerfile.encode()))
        archive.seek(0)
        return archive

    def compute_digest(self, *parameters: str) -> str:
        """Return a digest of all contents and of the build's other parameters.

        Raises:
            ImageError: a file cannot be read.
        """
        digest = hashlib.sha256("\0".join(parameters).encode())
        for name in self.files:
            try:
                content = (self.root / name).read_bytes() if (self.root / name).is_file() else b""
            except OSError as error:
                raise _make_unreadable_error(self.root / name, error) from None
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def _normalize(self, entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = int(entry.mtime)
        if entry.islnk():  # a second name of a file: store the content again
            entry.type, entry.size = tarfile.REGTYPE, (self.root / entry.name).stat().st_size
        return entry


def collect_project(root: Path) -> Context:
    """Return the build context of an algorithm's project.

    Databases of ``federation.yaml`` and files with the suffix of data files are excluded. To include a file, add a
    line that names it to ``.dockerignore``, such as ``!src/package/codes.csv`` or ``!src/package/*.csv``.

    Raises:
        ImageError: ``.dockerignore`` cannot be read.
    """
    root = root.resolve()
    patterns = _read_patterns(root / ".dockerignore")
    inclusions = [Pattern(pattern) for pattern in patterns if pattern.startswith("!")]
    files = exclude_paths(str(root), [*_ALWAYS_EXCLUDED, *patterns])
    # A line `!src` also includes `src/__pycache__` again, so the patterns are applied a second time.
    files = {name for name in files if not _is_unneeded(name, inclusions)}
    databases = set(_list_databases(root))
    data = {
        name
        for name in files
        if (root / name).is_file()
        and (_is_data(name) or any((root / name).resolve().is_relative_to(database) for database in databases))
        and not any(_names_itself(pattern, name) for pattern in inclusions)
    }
    return Context(root, tuple(sorted(files - data)), tuple(sorted(data)))


def collect_folder(root: Path, ignore: Path) -> Context:
    """Return the files of a folder that an ignore file does not exclude. The ignore file can be in another folder.

    Raises:
        ImageError: the ignore file cannot be read.
    """
    files = exclude_paths(str(root), _read_patterns(ignore), dockerfile="")
    return Context(root, tuple(sorted(files - {".dockerignore"})))


def _read_patterns(ignore: Path) -> list[str]:
    """Return the patterns of a ``.dockerignore``; empty if the file does not exist.

    Raises:
        ImageError: the file cannot be read.
    """
    try:
        lines = ignore.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise _make_unreadable_error(ignore, error) from None
    return [line for text in lines if (line := text.strip()) and not line.startswith("#")]


def _make_unreadable_error(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})")


def _is_data(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in DATA_SUFFIXES


def _is_unneeded(name: str, inclusions: Collection[Pattern]) -> bool:
    """Whether a path or a folder above it is always excluded, and no inclusion names it or a path between the two."""
    path = PurePosixPath(name)
    parts = [str(part) for part in (*reversed(path.parents), path) if part.name]
    for position, part in enumerate(parts):
        if any(Pattern(pattern).match(part) for pattern in _ALWAYS_EXCLUDED):
            return not any(_names_itself(pattern, below) for pattern in inclusions for below in parts[position:])
    return False


def _names_itself(pattern: Pattern, name: str) -> bool:
    """Whether a pattern names a path itself, not only a folder above the path or everything."""
    return PurePosixPath(pattern.cleaned_pattern).name.strip("*?") != "" and bool(pattern.match(name))


def _list_databases(root: Path) -> Iterator[Path]:
    """Yield the files and folders that are databases in the project's ``federation.yaml``.

    The file may be wrong in any other respect, so the parsed nodes are searched. They contain both values if a label
    occurs twice.
    """
    try:
        document = yaml.compose((root / "federation.yaml").read_text(encoding="utf-8-sig"), yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return
    for databases in _find_values([document], "databases"):
        for database in databases.value if isinstance(databases, yaml.SequenceNode) else _list_values(databases):
            for uri in _list_values(database, "uri") if isinstance(database, yaml.MappingNode) else [database]:
                text = str(uri.value) if isinstance(uri, yaml.ScalarNode) else ""
                if text and (text.startswith("file://") or "://" not in text):
                    with suppress(RuntimeError, ValueError):  # `~user` of an unknown user; a zero byte
                        yield (root / Path(text.removeprefix("file://")).expanduser()).resolve()


def _find_values(nodes: Iterable[yaml.Node | None], key: str) -> Iterator[yaml.Node]:
    """Yield the values of a key at any depth of a document. Aliases can refer to a node many times."""
    waiting, visited = list(nodes), set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in visited:
            continue
        visited.add(id(node))
        yield from _list_values(node, key)
        waiting += node.value if isinstance(node, yaml.SequenceNode) else _list_values(node)


def _list_values(node: yaml.Node, key: str | None = None) -> list[yaml.Node]:
    """Return the values of a mapping, or the values of one key; empty for other nodes.

    The mappings that its merge key (``<<``) names are included.
    """
    values: list[yaml.Node] = []
    waiting, visited = [node], set[int]()
    while waiting:
        mapping = waiting.pop()
        if not isinstance(mapping, yaml.MappingNode) or id(mapping) in visited:
            continue
        visited.add(id(mapping))
        for name, value in mapping.value:
            if name.tag == "tag:yaml.org,2002:merge":
                waiting += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif key is None or name.value == key:
                values.append(value)
    return values
