"""Which algorithm is meant: a folder, an entry point, a module, or what is installed beside us."""

from __future__ import annotations

import importlib
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from algotools.errors import AlgorithmImportError, AlgorithmNotFound, AlgotoolsError
from algotools.functions import Algorithm, forget, registered_in

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "algotools.algorithms"
"""The entry points' group: ``[project.entry-points."algotools.algorithms"]``, name = module."""

_importing = threading.RLock()


class Place(NamedTuple):
    """Where an algorithm is imported from."""

    module: str
    root: Path | None = None
    """The folder to import from ahead of everything else; None for an installed module."""


def locate(what: str | Path) -> Place:
    """WHAT, as a person names an algorithm: an existing folder, an entry point's name, an importable module.

    Raises:
        AlgorithmNotFound: nothing goes by that name; says what was looked for and found.
    """
    path = Path(what)
    if path.is_dir():
        return _in_folder(path.resolve())
    name = str(what)
    points = _entry_points()
    if name in points:
        return Place(points[name].module)
    if _importable(name):
        return Place(name)
    raise AlgorithmNotFound(
        f"no algorithm {name!r}: it is neither an existing folder, nor an installed algorithm "
        f"({', '.join(sorted(points)) or 'none is installed'}), nor an importable module"
    )


def locate_in_container(environ: Mapping[str, str]) -> Place:
    """The image's algorithm: ``ALGOTOOLS_ALGORITHM``, else ``PKG_NAME``, else the only one installed.

    Raises:
        AlgorithmNotFound: none, or several are installed and no variable tells which.
    """
    if named := environ.get("ALGOTOOLS_ALGORITHM") or environ.get("PKG_NAME"):
        return _in_folder(Path(named)) if Path(named).is_absolute() else Place(named)
    points = _entry_points()
    if len(points) == 1:
        return Place(next(iter(points.values())).module)
    found = f"several algorithms are installed ({', '.join(sorted(points))})" if points else "no algorithm is installed"
    raise AlgorithmNotFound(f"{found}; set ALGOTOOLS_ALGORITHM to the module of the one to run")


def load(place: Place) -> Algorithm:
    """Import an algorithm.

    Raises:
        AlgorithmImportError: its module cannot be imported; the owner gets the traceback.
        AlgorithmNotFound: it registers no function.
        DeclarationError: one of its functions is declared in a way that cannot work.
    """
    with _importing:
        module = _import(place)
    functions = registered_in(place.module)
    if not functions:
        raise AlgorithmNotFound(
            f"module {place.module!r} has no registered function; decorate some with @master or @rpc, "
            "and import the modules they are in from the package's __init__.py"
        )
    for function in functions.values():
        _ = function.specification  # resolves the annotations
    file = module.__file__
    return Algorithm(place.module, functions, str(Path(file).parent) if file else None)


def load_afresh(place: Place) -> Algorithm:
    """Import an algorithm as if nobody had before in this process, which may be a copy of one that has.

    Raises:
        AlgotoolsError: see ``load``.
    """
    _forget(place.module.partition(".")[0])
    return load(place)


def load_notebook() -> Algorithm:
    """The functions decorated in ``__main__``: a notebook or a script.

    Raises:
        AlgorithmNotFound: there are none.
    """
    functions = registered_in("__main__")
    if not functions:
        raise AlgorithmNotFound("no algorithm is named, and no function is decorated with @master or @rpc here")
    return Algorithm("__main__", functions)


def _in_folder(folder: Path) -> Place:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise AlgorithmNotFound(
            f"{folder} has no pyproject.toml; an algorithm's project names its module there, under "
            f'[project.entry-points."{GROUP}"]'
        )
    points = table(read_toml(file), "project", "entry-points", GROUP)
    if len(points) != 1:
        found = f"{len(points)} entries ({', '.join(points)})" if points else "none"
        raise AlgorithmNotFound(
            f'{file}: [project.entry-points."{GROUP}"] must have one entry, name = "module"; found {found}'
        )
    source = folder / "src"
    return Place(str(next(iter(points.values()))), source if source.is_dir() else folder)


def read_toml(file: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        AlgorithmNotFound: it cannot be read, or is not TOML; says where.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AlgorithmNotFound(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise AlgorithmNotFound(f"{file} cannot be read ({error.strerror})") from None


def table(content: object, *keys: str) -> dict[str, Any]:
    """A table within TOML's content; empty where there is none, or something else."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _importable(name: str) -> bool:
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    import importlib.util  # here, because no container needs it

    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        return not (error.name and f"{name}.".startswith(f"{error.name}."))
    except (Exception, SystemExit):
        return "." in name  # a package above it trips over itself: `load` says how


def _import(place: Place) -> ModuleType:
    package = place.module.partition(".")[0]
    if place.root is not None:
        _make_way(package, place.root)
        sys.path[:] = [str(place.root), *(entry for entry in sys.path if entry != str(place.root))]
        importlib.invalidate_caches()
    try:
        return importlib.import_module(place.module)
    except AlgotoolsError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (place.module == error.name or place.module.startswith(f"{error.name}.")):
            where = f" under {place.root}" if place.root else ""
            raise AlgorithmNotFound(f"there is no module {place.module!r}{where}") from None
        raise AlgorithmImportError(
            f"the algorithm's module {place.module!r} needs {error.name!r}, which is not installed",
            detail=traceback.format_exc(),
        ) from None
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        why = f"{type(error).__name__}{source_line(error, place.root)}"
        raise AlgorithmImportError(
            f"the algorithm's module {place.module!r} cannot be imported ({why})",
            detail=traceback.format_exc(),
        ) from None


def _make_way(package: str, root: Path) -> None:
    """Forget a copy of the package that was imported from elsewhere."""
    loaded = sys.modules.get(package)
    files = [loaded.__file__, *getattr(loaded, "__path__", [])] if loaded else []
    if loaded and not any(file and Path(file).is_relative_to(root) for file in files):
        _forget(package)


def _forget(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    forget(package)


def source_line(error: BaseException, folder: str | Path | None) -> str:
    """`` at file.py, line 12``: the innermost line of the algorithm's own source that an exception passed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {Path(error.filename).name}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if folder and Path(f.filename).is_relative_to(folder)] or [
        f
        for f in frames
        if not Path(f.filename).is_relative_to(Path(__file__).parent) and "importlib" not in f.filename
    ]
    return f" at {Path(own[-1].filename).name}, line {own[-1].lineno}" if own else ""
