"""The files of an algorithm that travel to a worker of an engine: its code, and the files of its package.

* All files of the package, or the module. Hidden files and folders, caches and virtual environments are left out.
* The other modules and packages in the folder from which the package is imported, if the algorithm imports them.

So tests, notebooks and data beside the package do not travel. A link that leads out of the folder is refused.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from algotools.errors import FederationError
from algotools.federation._file_hashes import FileIdentity, identify_file
from algotools.federation.imports import SourceFile, list_files, read_imports

MOST_FILES = 5_000
MOST_BYTES = 128 << 20
"""Maximum number and size of the files of an algorithm."""

_SKIPPED = ("__pycache__", "node_modules", "site-packages")


class CodeFile(NamedTuple):
    """A file of an algorithm."""

    name: bytes
    """The path relative to the folder from which the algorithm is imported."""
    path: Path
    identity: FileIdentity


class CodeListing(NamedTuple):
    """The files of an algorithm, and the folders in which they were looked for."""

    files: list[CodeFile]
    folders: dict[Path, FileIdentity]

    def is_current(self) -> bool:
        """Whether no file has changed, and no file was added or removed."""
        try:
            return all(_identify(file.path) == file.identity for file in self.files) and all(
                _identify(folder) == identity for folder, identity in self.folders.items()
            )
        except OSError:
            return False


def list_code(root: Path, package: str, file: Path | None = None, *, with_imports: bool = True) -> CodeListing:
    """Return the files of an algorithm.

    Args:
        root: the folder from which it is imported.
        package: its top-level package or module.
        file: the file of a single module, beside which other modules may be.
        with_imports: whether to add the modules beside the package that it imports.

    Raises:
        FederationError: the files cannot travel.
        OSError: a file cannot be read.
    """
    root = root.resolve()
    listing = CodeListing([], {root: _identify(root)})
    names, seen = [package], {package}
    while names:
        name = names.pop()
        _add_module(listing, root, name, file if name == package else None)
        sources = [SourceFile(file, name)] if file is not None and name == package else list_files(root, name)
        sources = sources if with_imports else []
        for imported in (imported for source in sources for imported in read_imports(source)):
            top = imported.module.partition(".")[0]
            # A single file's folder comes last on the path of imports, so it does not hide the standard library.
            if top and top not in seen and (file is None or top not in sys.stdlib_module_names):
                seen.add(top)
                names.append(top)
    _check_size(root, listing)
    return CodeListing(sorted(listing.files), listing.folders)


def _add_module(listing: CodeListing, root: Path, name: str, file: Path | None) -> None:
    if file is not None:
        _add_file(listing, root, file)
        return
    if (root / name).is_dir():
        _refuse_foreign_link(root, root / name)
        for path in _walk(listing, root, root / name, ()):
            _add_file(listing, root, path)
    for suffix in (".py", *EXTENSION_SUFFIXES):
        if (path := root / f"{name}{suffix}").is_file():
            _add_file(listing, root, path)


def _add_file(listing: CodeListing, root: Path, path: Path) -> None:
    _refuse_foreign_link(root, path)
    listing.files.append(CodeFile(os.fsencode(path.relative_to(root)), path, _identify(path)))
    if len(listing.files) > MOST_FILES:
        raise FederationError(
            f"the algorithm in {root} has more than {MOST_FILES:,} files, which is too many to send to a worker of the "
            "engine; install it where the workers run, or put it on storage that they share"
        )


def _walk(listing: CodeListing, root: Path, folder: Path, parents: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files of a folder, without hidden ones, caches and virtual environments."""
    real = folder.resolve()
    if real in parents or (folder / "pyvenv.cfg").exists():  # a link to a folder above it would have no end
        return
    listing.folders[folder] = _identify(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir():
            _refuse_foreign_link(root, path)
            yield from _walk(listing, root, path, (*parents, real))
        elif entry.is_file() and not entry.name.endswith((".pyc", ".pyo")):
            yield path


def _refuse_foreign_link(root: Path, path: Path) -> None:
    if not path.resolve().is_relative_to(root):
        raise FederationError(
            f"{path} is a link that leads out of {root}, so it is not sent to a worker of the engine; replace the link "
            "by a copy, or put the project on storage that the workers share"
        )


def _check_size(root: Path, listing: CodeListing) -> None:
    if sum(file.identity.size for file in listing.files) > MOST_BYTES:
        largest = max(listing.files, key=lambda file: file.identity.size)
        raise FederationError(
            f"the algorithm in {root} has more than {MOST_BYTES >> 20} MiB, which is too much to send to a worker of "
            f"the engine; remove large files from the package (the largest is {largest.path}), or put the project on "
            "storage that the workers share"
        )


def _identify(path: Path) -> FileIdentity:
    return identify_file(path.stat())
