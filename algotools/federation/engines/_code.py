"""An algorithm as bytes: how its code travels from the federation to a worker of an engine.

* A worker that has the same files at the same path imports them there.
* A module that is installed in the environment of the federation must be installed where the worker runs, in the same
  version and with the same source.
* The code of a folder or a file, also of an editable project, travels once per worker process (see ``_code_files``).
* Functions of a notebook or a script travel as a pickle (see ``_functions``). It comes from the author, and runs where
  the author's code runs. Tasks and results are never pickles.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import socket
import sys
import threading
import zlib
from collections import OrderedDict
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from algotools.declare.functions import Algorithm
from algotools.declare.locate import Location
from algotools.errors import AlgorithmNotFound, AlgotoolsError, FederationError
from algotools.federation._file_hashes import is_settled
from algotools.federation.engines import _functions
from algotools.federation.engines._code_files import CodeListing, list_code
from algotools.federation.engines._members import is_member_name
from algotools.federation.imports import find_origin

CodeKind = Literal["folder", "file", "installed", "functions"]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Major and minor version of Python in this process."""
_MOST_ARCHIVES = 8
"""Number of packed algorithms in memory."""


class CodeFacts(msgspec.Struct, frozen=True):
    """Facts about the code of an algorithm."""

    kind: CodeKind
    module: str
    digest: str
    """Hash of the code. It is the same on each machine with the same code."""
    root: str = ""
    """The folder from which the module is imported."""
    file: str = ""
    """The file of a single module."""
    version: str = ""
    """The version of an installed module."""
    python: str = PYTHON


class PackedFile(NamedTuple):
    """A file of an algorithm, with its path relative to the folder."""

    name: bytes
    content: bytes


class PackedCode(msgspec.Struct, frozen=True):
    """The code of an algorithm."""

    module: str
    file: str
    """The name of the file of a single module; empty for a package."""
    files: tuple[PackedFile, ...]


class _DescribedCode(NamedTuple):
    listing: CodeListing
    facts: CodeFacts


_lock = threading.Lock()
_descriptions: dict[Location, _DescribedCode] = {}
_archives: OrderedDict[str, bytes] = OrderedDict()
"""Digest -> packed code, so that the code that travels is the code that was described."""


def describe(algorithm: Location | Algorithm) -> CodeFacts:
    """Return the facts about the code of an algorithm. Files are read again only after a change.

    Raises:
        FederationError: the code cannot travel. The message contains the way out.
        AlgorithmNotFound: the module does not exist.
    """
    if isinstance(algorithm, Algorithm):
        files = tuple(PackedFile(name, content) for name, content in _functions.pack(algorithm).items())
        code = PackedCode(_functions.MODULE, f"{_functions.MODULE}.py", files)
        with _lock:
            return CodeFacts("functions", code.module, _store(code))
    location = _find_root(algorithm)
    with _lock:
        description = _descriptions.pop(location, None)
        if description is None or not _is_current(description):
            description = _describe(location)
        if is_settled(file.identity for file in description.listing.files):
            _descriptions[location] = description
        return description.facts


def find_in_place(facts: CodeFacts) -> Location | None:
    """Return the location of the same code on this machine: at the same path, or installed in the same version."""
    if facts.kind == "functions":
        return None
    root, file = (Path(path) if path else None for path in (facts.root, facts.file))
    location = Location(facts.module, root, file)
    try:
        local = describe(location)
    except (AlgotoolsError, OSError, ValueError):
        return None
    return location if (local.kind, local.digest, local.version) == (facts.kind, facts.digest, facts.version) else None


def explain_missing(facts: CodeFacts) -> str:
    """Return the reason why code that is not in place cannot travel to this process; empty if the code can travel."""
    host = socket.gethostname()
    if facts.kind == "installed":
        version = facts.version or facts.module
        here = _find_version(facts.module.partition(".")[0])
        state = (
            f"{here} is installed there, or its source is different" if here else "the module is not installed there"
        )
        return (
            f"the algorithm {facts.module!r} ({version}) must be installed where the workers of the engine run, but on "
            f"{host}: {state}; install the same version there, or name the folder of the project as the algorithm"
        )
    if facts.kind == "functions":
        if facts.python != PYTHON:
            return (
                f"functions of a notebook or script need the same version of Python, but the workers of the engine on "
                f"{host} have {PYTHON} instead of {facts.python}; use this version there, or move the functions to a "
                f"project (`algotools new`) or a .py file"
            )
        if importlib.util.find_spec("cloudpickle") is None:
            return (
                f"functions of a notebook or script need the package cloudpickle, which the workers of the engine on "
                f"{host} lack; install it there, or move the functions to a project (`algotools new`) or a .py file"
            )
    return ""


def pack(facts: CodeFacts) -> bytes:
    """Return the code that *facts* describe.

    Raises:
        FederationError: many other algorithms were described since.
    """
    with _lock:
        if (data := _archives.get(facts.digest)) is None:
            raise FederationError(f"the code of {facts.module} has changed; run the task again")
        return data


def unpack(data: bytes, folder: Path) -> Location:
    """Write packed code into an empty folder, and return its location.

    Raises:
        FederationError: a name leads out of the folder.
        OSError: a file cannot be written.
    """
    code = msgspec.msgpack.decode(zlib.decompress(data), type=PackedCode)
    root = os.fsencode(folder)
    for name, content in code.files:
        if not is_member_name(name):
            raise FederationError("the packed code of an algorithm contains a name that leads out of its folder")
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "xb") as file:
            file.write(content)
    return Location(code.module, folder, folder / Path(code.file).name if code.file else None)


def _find_root(location: Location) -> Location:
    """Return the location with its folder, unless the module is installed in the environment."""
    if location.root is not None:
        return location
    package = location.module.partition(".")[0]
    root = _find_folder(package)
    return location if {"site-packages", "dist-packages"} & {*root.parts} else Location(location.module, root)


def _find_folder(package: str) -> Path:
    """Return the folder from which this process imports a top-level package or module.

    Raises:
        AlgorithmNotFound: it does not exist.
    """
    if (origin := find_origin(package)) is None:
        raise AlgorithmNotFound(f"no module {package!r}")
    return origin.parent


def _is_current(description: _DescribedCode) -> bool:
    facts = description.facts
    return (facts.kind == "installed" or facts.digest in _archives) and description.listing.is_current()


def _describe(location: Location) -> _DescribedCode:
    package = location.module.partition(".")[0]
    root = location.root or _find_folder(package)
    try:
        # Beside an installed package are all other installed packages.
        listing = list_code(root, package, location.file, with_imports=location.root is not None)
        files = tuple(PackedFile(file.name, file.path.read_bytes()) for file in listing.files)
    except OSError as error:
        raise FederationError(f"the code of {package} in {root} cannot be read ({error.strerror})") from None
    code = PackedCode(location.module, location.file.name if location.file else "", files)
    if location.root is None:
        facts = CodeFacts("installed", location.module, _digest(code), version=_find_version(package))
    else:
        kind: CodeKind = "file" if location.file else "folder"
        file = str(location.file) if location.file else ""
        facts = CodeFacts(kind, location.module, _store(code), str(location.root), file)
    return _DescribedCode(listing, facts)


def _find_version(package: str) -> str:
    """Return the distributions that contain an installed package, with their versions; empty if it is unknown."""
    names = set(metadata.packages_distributions().get(package, ()))
    return ", ".join(sorted(f"{name} {metadata.version(name)}" for name in names))


def _store(code: PackedCode) -> str:
    """Store packed code for ``pack``, and return its digest."""
    data = msgspec.msgpack.encode(code)
    digest = hashlib.sha256(data).hexdigest()
    if digest not in _archives:  # functions are described before each run
        _archives[digest] = zlib.compress(data, 1)
    _archives.move_to_end(digest)
    while len(_archives) > _MOST_ARCHIVES:
        _archives.popitem(last=False)
    return digest


def _digest(code: PackedCode) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(code)).hexdigest()
