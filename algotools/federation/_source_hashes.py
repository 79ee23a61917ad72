"""The versions on which a result depends: of algotools, Python, the image, the packages, and the algorithm's source."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.machinery import all_suffixes
from pathlib import Path
from urllib.parse import unquote, urlsplit

from algotools import __version__
from algotools.declare.locate import locate
from algotools.errors import AlgotoolsError
from algotools.federation._file_hashes import FileIdentity, hash_file, hash_texts, identify_file, is_settled
from algotools.federation._function_hashes import UnknownState, hash_functions
from algotools.federation._versions import read_package
from algotools.federation.algorithms import Algorithms, AlgorithmSource

MOST_FILES = 5_000
"""Maximum number of source files that are compared. Where more are found, the source is unknown."""

_SKIPPED = ("__pycache__", "node_modules", "site-packages")

_cache: dict[Path, tuple[FileIdentity, str]] = {}
"""The hashes of the files that this process has read."""

_first_hashes: dict[Path, str] = {}
"""The first hash of each source file. A process that has imported a file does not run a later content of it."""


def describe_versions(algorithms: Algorithms, image_id: str) -> tuple[dict[str, str], str]:
    """Return the versions on which a result depends, and the reason why a part is unknown; empty if all are known.

    ``algorithm`` is the hash of the algorithm's source, after the version if a project has one. It is missing if the
    source is unknown. ``packages`` is the hash of all installed packages, of which pandas and numpy are also named.
    """
    versions = {"algotools": __version__, "python": platform.python_version()}
    unknown = ""
    if image_id:
        versions["image"] = image_id
    try:
        versions["algorithm"] = _hash_algorithms(algorithms)
    except UnknownState as error:
        unknown = "" if image_id and not algorithms.images else str(error)
    if algorithms.uses_containers:
        if not image_id or algorithms.images:
            unknown = unknown or "the images of the runs are unknown"
    else:
        try:
            versions |= _describe_packages()
        except UnknownState as error:
            unknown = unknown or str(error)
    return versions, unknown


def _hash_algorithms(algorithms: Algorithms) -> str:
    """Return the hash of the algorithms for all names of images."""
    if algorithms.python is not None:
        raise UnknownState("the source of an algorithm in another interpreter is unknown")
    sources = [source for source in [algorithms.default, *algorithms.images.values()] if source is not None]
    if not sources:
        raise UnknownState("the federation has no algorithm of its own")
    hashes = list(dict.fromkeys(_hash_source(source) for source in sources))
    return hashes[0] if len(hashes) == 1 else hash_texts(*hashes)


def _hash_source(source: AlgorithmSource) -> str:
    if not isinstance(source, (str, Path)):
        return hash_functions([source] if callable(source) else source)
    try:
        module, root, file = locate(source)
    except AlgotoolsError:
        raise UnknownState(f"the source of {source} is unknown") from None
    package = module.partition(".")[0]
    if root is None:
        module_spec = importlib.util.find_spec(package)
        if module_spec is None or module_spec.origin is None:
            raise UnknownState(f"the source of the module {package!r} is unknown")
        origin = Path(module_spec.origin)
        root = origin.parent.parent if module_spec.submodule_search_locations else origin.parent
        if {"site-packages", "dist-packages"} & {*root.parts}:
            files = list(_list_files(origin.parent)) if module_spec.submodule_search_locations else [origin]
        else:
            files = list(_list_sources(root, root / package))
    else:
        files = list(_list_sources(root, root / package if file is None else None))
    texts = [f"{file.relative_to(root)} {_hash_source_file(file)}" for file in files]
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        texts += [_hash_source_file(file) for file in _list_sources(Path(folder).absolute(), None)]
    hash_ = hash_texts(*texts)
    version = None if file is not None else (read_package(source) or {}).get("version")
    return f"{version} {hash_}" if version else hash_


def _list_sources(root: Path, package: Path | None) -> Iterator[Path]:
    """Yield the modules in a folder, and all files of a package in it, which may be code or data of the package."""
    suffixes = tuple(all_suffixes())
    for file in _list_files(root):
        if file.name.endswith(suffixes) or (package is not None and package in file.parents):
            yield file


def _list_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, without hidden folders and virtual environments."""
    number = 0
    for parent, folders, names in os.walk(folder, followlinks=True):
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        number += len(names) + len(folders)
        if number > MOST_FILES:
            raise UnknownState(f"the folder {folder} has more than {MOST_FILES:,} files")
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _hash_source_file(path: Path) -> str:
    """Return the hash of a file of the source.

    Raises:
        UnknownState: the file cannot be read, or this process may have imported another content of it.
    """
    hash_ = _hash_cached(path)
    if path.suffix == ".py" and _first_hashes.setdefault(path, hash_) != hash_:
        raise UnknownState(f"{path} has changed since this process first read it")
    return hash_


def _hash_cached(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        raise UnknownState(f"{path} cannot be read") from None
    identity = identify_file(status)
    if (cached := _cache.get(path)) is not None and cached[0] == identity:
        return cached[1]
    hash_ = hash_file(path, status)
    if hash_ is None:
        raise UnknownState(f"{path} cannot be read, or changes at this moment")
    if is_settled([identity]):
        _cache[path] = (identity, hash_)
    return hash_


def _describe_packages() -> dict[str, str]:
    """Return the versions of pandas and numpy, and the hash of all installed packages.

    A package has a file ``RECORD`` with the hashes of its files. A package that is installed as editable has a folder.
    """
    states = []
    for entry in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            status = os.stat(entry or ".")
            states.append((entry or ".", status.st_mtime_ns, status.st_ctime_ns))
    versions, hash_, sources = _read_packages(tuple(states))
    texts = [f"{file} {_hash_source_file(file)}" for source in sources for file in _list_sources(source, None)]
    return {**versions, "packages": hash_texts(hash_, *texts)}


@functools.lru_cache(8)
def _read_packages(states: tuple[tuple[str, int, int], ...]) -> tuple[dict[str, str], str, list[Path]]:
    """Return the versions of pandas and numpy, the hash of the packages, and the folders of those that are editable.

    *states* are the folders with the times of their last change: an installation makes or removes a folder in them.
    """
    texts: list[str] = []
    versions: dict[str, str] = {}
    sources: list[Path] = []
    for folder, *_ in states:
        for path in sorted([*Path(folder).glob("*.dist-info"), *Path(folder).glob("*.egg-info")]):
            name, _, version = path.stem.partition("-")
            if name in ("numpy", "pandas"):
                versions.setdefault(name, version)
            records = [record for record in (path / "RECORD", path / "direct_url.json") if record.is_file()]
            texts += [path.name, *map(_hash_cached, records)]
            if (source := _find_editable(path)) is not None and name != "federated_algotools":
                sources.append(source)
    package_folder = Path(__file__).parents[1]
    texts += [
        f"{file.relative_to(package_folder)} {_hash_cached(file)}" for file in _list_sources(package_folder, None)
    ]
    return dict(sorted(versions.items())), hash_texts(*texts), sources


def _find_editable(path: Path) -> Path | None:
    """Return the folder of the source of a package that is installed as editable; None for the others."""
    try:
        content = json.loads((path / "direct_url.json").read_text(encoding="utf-8"))
        if not content["dir_info"]["editable"]:
            return None
        folder = Path(unquote(urlsplit(content["url"]).path))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder / "src" if (folder / "src").is_dir() else folder
