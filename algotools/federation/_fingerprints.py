"""Fingerprints of the data and of the algorithm: two runs with equal fingerprints had the same data and the same code.

The hash of a file is cached in the history by size, time and inode, so that a file is read once. The content of a
database server is unknown: its fingerprint is the URI without credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from algotools import __version__
from algotools.data import FRAMES_IN_MEMORY
from algotools.data.reading import is_path
from algotools.declare.locate import locate
from algotools.errors import AlgotoolsError
from algotools.federation._versions import read_package
from algotools.federation.algorithms import Algorithms
from algotools.federation.configuration import Member
from algotools.federation.history import Fingerprint, TaskHistory
from algotools.payload import encode_rich
from algotools.task import Database

LENGTH = 32
"""Number of hexadecimal digits of a hash."""

_SKIPPED = ("__pycache__", "node_modules")


class DataFingerprints:
    """The fingerprints of the databases of all nodes.

    Args:
        members: the organizations.
        history: caches the hashes of files.
        temporary: the folder of the federation's own files, whose hashes are not cached.
    """

    def __init__(self, members: Iterable[Member], history: TaskHistory, temporary: Path) -> None:
        self._members = list(members)
        self._history = history
        self._temporary = temporary
        self._frames: dict[str, str] = {}
        """Path of a frame -> hash; the frames of a federation do not change."""

    def read(self) -> dict[str, dict[str, Fingerprint]]:
        """Return organization -> label -> fingerprint.

        Raises:
            HistoryProblem: the cache cannot be used.
        """
        paths = {path for m in self._members for d in m.databases.values() if (path := find_local_path(d)) is not None}
        files: dict[Path, os.stat_result] = {}
        for path in paths:
            files.update(_list_files(path))
        hashes = self._history.find_hashes(files)
        new = []
        for path, status in files.items():
            if path not in hashes and (hash_ := _hash_file(path)) is not None:
                hashes[path] = hash_
                if self._temporary not in path.parents:
                    new.append((path, status, hash_))
        if new:
            self._history.store_hashes(new)
        return {
            member.name: {
                label: self._make_fingerprint(database, hashes) for label, database in member.databases.items()
            }
            for member in self._members
        }

    def _make_fingerprint(self, database: Database, hashes: Mapping[Path, str]) -> Fingerprint:
        path = find_local_path(database)
        if path is None:
            return Fingerprint("uri", remove_credentials(database.uri))
        if path in FRAMES_IN_MEMORY:
            key = str(path)
            if key not in self._frames:
                self._frames[key] = _hash_frame(FRAMES_IN_MEMORY[path].frame)
            return Fingerprint("frame", "", self._frames[key])
        name = "" if self._temporary in path.parents else str(path)
        if path in hashes:
            return Fingerprint("file" if name else "frame", name, hashes[path])
        parts = sorted((str(file.relative_to(path)), h) for file, h in hashes.items() if path in file.parents)
        return Fingerprint("folder", name, hash_texts(*map(str, parts))) if parts else Fingerprint("missing", name)


def find_local_path(database: Database) -> Path | None:
    """Return the path of a database that is a file or a folder of this machine; None for a server."""
    uri = database.uri.removeprefix("file://")
    if "://" not in uri:
        return Path(uri) if is_path(uri) else None
    scheme, _, rest = uri.partition(":///")
    if scheme.partition("+")[0] in ("sqlite", "duckdb") and rest:
        return Path(rest.partition("?")[0])
    return None


def remove_credentials(uri: str) -> str:
    """Return a URI without user, password and parameters; only its scheme if it is unclear which part is the password.

    >>> remove_credentials("postgresql://reader:secret@db.example.org:5432/register?password=secret")
    'postgresql://db.example.org:5432/register'
    >>> remove_credentials("postgresql://reader:not/escaped@db.example.org/register")
    'postgresql://'
    """
    scheme, _, rest = uri.partition("://")
    if "://" not in uri or not _SCHEME.fullmatch(scheme):
        return ""  # a connection string
    authority, separator, path = _PARAMETERS.split(rest, maxsplit=1)[0].partition("/")
    host = authority.rpartition("@")[2]
    # An "@" after the authority can be the end of a password with "/", "?", "#" or ";" that is not escaped.
    if "@" in rest[len(authority) :] or not _HOSTS.fullmatch(host):
        return f"{scheme}://"
    return f"{scheme}://{host}{separator}{path}"


_SCHEME = re.compile(r"(jdbc:)?[A-Za-z][A-Za-z0-9+._-]*")
_PARAMETERS = re.compile(r"[?#;]")
_HOSTS = re.compile(r"(([\w.-]*|\[[0-9A-Fa-f:.%]+\])(:[0-9]*)?(,|$))*")


def hash_texts(*texts: str) -> str:
    """Return the hash of texts."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:LENGTH]


def _list_files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield a file, or the files of a folder."""
    with contextlib.suppress(OSError):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            yield path, status
        elif stat.S_ISDIR(status.st_mode):
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    yield file, file.stat()


def _hash_file(path: Path) -> str | None:
    """Return the hash of a file's content; None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()[:LENGTH]


def _hash_frame(frame: Any) -> str:
    """Return the hash of a DataFrame's content: labels, index and columns."""
    digest = hashlib.sha256()
    for part in (frame.columns, frame.index, *(frame.iloc[:, i] for i in range(frame.shape[1]))):
        with contextlib.suppress(AttributeError):
            digest.update(str(part.dtype).encode())
        digest.update(encode_rich(part))
    return digest.hexdigest()[:LENGTH]


def describe_versions(algorithms: Algorithms, image_id: str) -> dict[str, str]:
    """Return the versions on which a result depends.

    ``algorithm`` is the hash of the algorithm's source, after the version if a project has one. It is missing if the
    source is not readable here, for instance in another interpreter.
    """
    versions = {"algotools": __version__, "python": platform.python_version()}
    if image_id:
        versions["image"] = image_id
    if (hash_ := _hash_algorithm(algorithms)) is not None:
        versions["algorithm"] = hash_
    return versions


def _hash_algorithm(algorithms: Algorithms) -> str | None:
    source = algorithms.default
    if source is None or algorithms.python is not None:
        return None
    if not isinstance(source, (str, Path)):
        return _hash_functions([source] if callable(source) else source)
    try:
        module, root, file = locate(source)
    except AlgotoolsError:
        return None  # an image
    if file is not None:
        return hash_texts(f"{file.name} {_hash_file(file)}")
    package = module.partition(".")[0]
    if root is None:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            return None
        root = Path(found.origin).parent
        folder = root if found.submodule_search_locations else None
    else:
        folder = root / package if (root / package).is_dir() else None
    files = sorted(root.glob("*.py")) if folder is None else _list_sources(folder)
    hash_ = hash_texts(*(f"{file.relative_to(root)} {_hash_file(file)}" for file in files))
    version = (read_package(source) or {}).get("version")
    return f"{version} {hash_}" if version else hash_


def _list_sources(folder: Path) -> list[Path]:
    """Return the files of a package, which may be code or data of the package."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file()
        and not any(part.startswith(".") or part in _SKIPPED for part in file.relative_to(folder).parts)
    )


def _hash_functions(functions: Iterable[Callable[..., object]]) -> str:
    """Return the hash of functions and of the functions that they call in the same module."""
    texts: dict[str, str] = {}

    def visit(function: Any) -> None:
        function = getattr(function, "__wrapped__", function)
        code = getattr(function, "__code__", None)
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
        if code is None or name in texts:
            return
        parts = (function.__defaults__, function.__kwdefaults__, list(function.__annotations__.items()))
        texts[name] = "\n".join([*_describe_code(code), *map(_describe, parts)])
        names = {name for part in _list_codes(code) for name in part.co_names}
        for used in sorted(names & function.__globals__.keys()):
            value = function.__globals__[used]
            if getattr(value, "__module__", None) == function.__module__:
                for member in vars(value).values() if isinstance(value, type) else [value]:
                    visit(member)
            elif isinstance(value, (str, int, float, bool, tuple)):
                texts[f"{name} {used}"] = _describe(value)

    for function in functions:
        visit(function)
    return hash_texts(*(f"{name} {text}" for name, text in sorted(texts.items())))


def _list_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_codes(constant)


def _describe_code(code: CodeType) -> Iterator[str]:
    for part in _list_codes(code):
        constants = [_describe(constant) for constant in part.co_consts if not isinstance(constant, CodeType)]
        yield f"{part.co_name} {part.co_code.hex()} {constants} {part.co_names} {part.co_varnames}"


def _describe(value: object) -> str:
    """Return the same text for equal values in every process: without addresses, and with sorted sets."""
    if isinstance(value, frozenset):
        return repr(sorted(map(repr, value)))
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
