"""Fingerprints of the data: two runs with equal fingerprints had the same data, and read them with the same settings.

The hash of a file is cached in the history by size, times and inode, so that a file is read once. The content of a
database server is unknown: its fingerprint is the URI without credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from algotools.data import FRAMES_IN_MEMORY
from algotools.data.reading import is_path
from algotools.federation._file_hashes import LENGTH, hash_file, hash_texts, identify_file, is_settled
from algotools.federation.configuration import Member
from algotools.federation.history import Fingerprint, TaskHistory
from algotools.payload import encode_rich
from algotools.task import Database

JOURNALS = ("-wal", "-journal", ".wal")
"""The endings of the files with the latest changes of a database of SQLite or DuckDB that another program has open."""


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
        self._own: dict[Path, str] = {}
        """Path of a frame or of the federation's own file -> hash; these do not change."""

    def read(self) -> dict[str, dict[str, Fingerprint]]:
        """Return organization -> label -> fingerprint.

        Raises:
            HistoryProblem: the cache cannot be used.
        """
        paths = {path for m in self._members for d in m.databases.values() if (path := find_local_path(d)) is not None}
        listings = {path: _list_files(path) for path in paths if path not in FRAMES_IN_MEMORY}
        files = {file: status for listing in listings.values() for file, status in (listing or {}).items()}
        hashes = {path: self._own[path] for path in files if path in self._own}
        hashes |= self._history.find_hashes({path: status for path, status in files.items() if path not in hashes})
        new = []
        for path, status in files.items():
            if path not in hashes and (hash_ := hash_file(path, status)) is not None:
                hashes[path] = hash_
                if self._temporary in path.parents:
                    self._own[path] = hash_
                elif is_settled([identify_file(status)]):
                    new.append((path, status, hash_))
        if new:
            self._history.store_hashes(new)
        contents = {path: _hash_content(path, listing, hashes) for path, listing in listings.items()}
        return {
            member.name: {
                label: self._make_fingerprint(database, contents) for label, database in member.databases.items()
            }
            for member in self._members
        }

    def _make_fingerprint(self, database: Database, contents: Mapping[Path, str]) -> Fingerprint:
        path = find_local_path(database)
        if path is None:
            return Fingerprint("uri", remove_credentials(database.uri))
        name = "" if self._temporary in path.parents else str(path)
        if path in FRAMES_IN_MEMORY:
            name = ""
            if path not in self._own:
                self._own[path] = _hash_frame(FRAMES_IN_MEMORY[path].frame)
            content = self._own[path]
        else:
            content = contents[path]
            if not path.exists():
                return Fingerprint("missing", name)
        kind = "folder" if path.is_dir() else "file" if name else "frame"
        return Fingerprint(kind, name, _add_settings(content, database) if content else "")


def _hash_content(path: Path, files: Mapping[Path, os.stat_result] | None, hashes: Mapping[Path, str]) -> str:
    """Return the hash of the content of a database; empty if a part is unknown."""
    if not files or any(file not in hashes for file in files):
        return ""
    return hash_texts(*(f"{os.path.relpath(file, path)} {hashes[file]}" for file in sorted(files)))


def _add_settings(content: str, database: Database) -> str:
    """Return the hash of a content together with the settings that decide how it is read."""
    query = database.uri.partition("?")[2] if "://" in database.uri else ""
    return hash_texts(content, database.type or "", query, json.dumps(dict(database.options), sort_keys=True))


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


def _list_files(path: Path) -> dict[Path, os.stat_result] | None:
    """Return a file with its journals, or the files of a folder; None if a part cannot be listed."""
    files: dict[Path, os.stat_result] = {}
    try:
        if not path.is_dir():
            found = [path, *(path.with_name(f"{path.name}{suffix}") for suffix in JOURNALS)]
            return {file: file.stat() for file in found if file.is_file()}
        for file in sorted(path.rglob("*")):
            if file.is_dir():
                if file.is_symlink():  # ``rglob`` does not list its files
                    return None
            else:
                files[file] = file.stat()
    except OSError:
        return None
    return files


def _hash_frame(frame: Any) -> str:
    """Return the hash of a DataFrame's content: labels, index and columns."""
    digest = hashlib.sha256()
    for part in (frame.columns, frame.index, *(frame.iloc[:, i] for i in range(frame.shape[1]))):
        with contextlib.suppress(AttributeError):
            digest.update(str(part.dtype).encode())
        digest.update(encode_rich(part))
    return digest.hexdigest()[:LENGTH]
