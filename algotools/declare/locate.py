"""Find an algorithm by folder, entry point or module name, and import it."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import linecache
import re
import signal
import string
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from algotools.declare.functions import Algorithm, RegisteredFunction, get_registered_functions, unregister
from algotools.declare.projects import GROUP, get_table, make_no_project_error, read_toml
from algotools.disclosure import source_lines
from algotools.errors import (
    AlgorithmImportError,
    AlgorithmNotFound,
    AlgotoolsError,
    find_named_class,
    format_author_traceback,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_FILE_ERRORS = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)

_import_lock = threading.RLock()


class Location(NamedTuple):
    """The module of an algorithm, and the folder from which it is imported."""

    module: str
    root: Path | None = None
    """The folder that comes first on ``sys.path``; None for an installed module."""
    file: Path | None = None
    """The file of a single module; the folder ``root`` then comes last on ``sys.path``."""


def locate(name_or_folder: str | Path) -> Location:
    """Find an algorithm: an existing folder or Python file, the name of an entry point, or an importable module.

    Raises:
        AlgorithmNotFound: no algorithm has this name. The message lists the installed algorithms.
    """
    path = Path(name_or_folder)
    if path.is_dir():
        return _locate_in_folder(path.resolve())
    if path.suffix == ".py":
        return _locate_file(path)
    name = str(name_or_folder)
    points = _read_entry_points()
    if name in points:
        return Location(points[name].module)
    if _is_importable(name):
        return Location(name)
    raise AlgorithmNotFound(
        f"no algorithm {name!r}: this is not an existing folder or Python file, not an installed algorithm "
        f"(installed: {', '.join(sorted(points)) or 'none'}) and not an importable module"
    )


def locate_in_container(environ: Mapping[str, str]) -> Location:
    """Find the algorithm of an image: ``ALGOTOOLS_ALGORITHM``, ``PKG_NAME``, or the only installed algorithm.

    Raises:
        AlgorithmNotFound: no variable is set, and the number of installed algorithms is not one.
    """
    if name := environ.get("ALGOTOOLS_ALGORITHM") or environ.get("PKG_NAME"):
        return _locate_in_folder(Path(name)) if Path(name).is_absolute() else Location(name)
    points = _read_entry_points()
    if len(points) == 1:
        return Location(next(iter(points.values())).module)
    installed = ", ".join(sorted(points))
    reason = f"several algorithms are installed ({installed})" if points else "no algorithm is installed"
    raise AlgorithmNotFound(f"{reason}; set ALGOTOOLS_ALGORITHM to the module of the algorithm")


def load(location: Location) -> Algorithm:
    """Import an algorithm.

    Raises:
        AlgorithmImportError: the module cannot be imported. The detail contains the traceback.
        AlgorithmNotFound: the module does not exist, or registers no function.
        DeclarationError: the declaration of a function is wrong.
    """
    with _import_lock:  # an import changes sys.path and sys.modules, and inline runs are threads
        module = _import(location)
    if isinstance(algorithm := vars(module).get("__algorithm__"), Algorithm):  # functions of a notebook
        return algorithm
    functions = get_registered_functions(location.module)
    if not functions:
        raise AlgorithmNotFound(
            f"module {location.module!r} registers no function; decorate functions with @federated, @master or @rpc, "
            "and import their modules in the package's __init__.py"
        )
    for function in functions.values():
        _ = function.specification  # resolves the annotations
    file = module.__file__
    folder = location.file or (Path(file).parent if file else None)
    return Algorithm(location.module, functions, None if folder is None else str(folder))


def reload(location: Location) -> Algorithm:
    """Import an algorithm again, even if this process has imported it, or inherited the import from its parent.

    Raises:
        AlgotoolsError: see ``load``.
    """
    _remove_package(location.module.partition(".")[0])
    return load(location)


def load_notebook() -> Algorithm:
    """Return the functions decorated in ``__main__``, a notebook or a script, as an algorithm.

    Raises:
        AlgorithmNotFound: ``__main__`` has no decorated functions.
    """
    functions = get_registered_functions("__main__")
    if not functions:
        raise AlgorithmNotFound(
            "no algorithm: pass algorithm=, or decorate functions of this notebook or script with @master or @rpc"
        )
    return Algorithm("__main__", functions)


def _locate_in_folder(folder: Path) -> Location:
    file = folder / "pyproject.toml"
    if not file.is_file():
        raise make_no_project_error(folder)
    points = get_table(read_toml(file), "project", "entry-points", GROUP)
    if len(points) != 1:
        entries = f"{len(points)} entries ({', '.join(points)})" if points else "no entry"
        raise AlgorithmNotFound(
            f'{file}: [project.entry-points."{GROUP}"] must have exactly one entry, name = "module"; it has {entries}'
        )
    source = folder / "src"
    return Location(str(next(iter(points.values()))), source if source.is_dir() else folder)


def _locate_file(path: Path) -> Location:
    if not path.is_file():
        raise AlgorithmNotFound(f"the file {str(path)!r} does not exist; name a Python file with decorated functions")
    file = path.resolve()
    if "." in file.stem or file.stem in {*sys.stdlib_module_names, "algotools", "__init__"}:
        raise AlgorithmNotFound(
            f"{path} cannot be imported as {file.stem!r}, which is another module or not a module's name; rename the "
            "file, or name its project"
        )
    return Location(file.stem, file.parent, file)


def _read_entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def _is_importable(name: str) -> bool:
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    import importlib.util  # imported here, because containers do not need it

    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        # `find_spec("a.b")` imports `a`. If `a` itself is missing, the name is wrong. If another module is missing, `a`
        # exists and lacks a dependency, which `load` reports.
        return not (error.name and f"{name}.".startswith(f"{error.name}."))
    except (Exception, SystemExit):
        return "." in name  # importing a parent package failed; `load` reports the error


def _import(location: Location) -> ModuleType:
    package = location.module.partition(".")[0]
    if location.root is not None:
        # The folder must win over an installed copy and over a copy that this process has imported from elsewhere.
        _remove_other_copy(package, location.file or location.root)
        other_entries = [entry for entry in sys.path if entry != str(location.root)]
        sys.path[:] = [*other_entries, str(location.root)] if location.file else [str(location.root), *other_entries]
        importlib.invalidate_caches()
    try:
        return _import_file(location) if location.file else importlib.import_module(location.module)
    except AlgotoolsError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (location.module == error.name or location.module.startswith(f"{error.name}.")):
            folder = f" under {location.root}" if location.root else ""
            raise AlgorithmNotFound(f"no module {location.module!r}{folder}") from None
        raise AlgorithmImportError(
            f"the algorithm's module {location.module!r} requires {error.name!r}, which is not installed",
            detail=format_author_traceback(error),
        ) from None
    except BaseException as error:  # a module may call sys.exit when it is imported
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise  # Ctrl-C; without the handler, as in a worker, the module itself has raised the exception
        # Only type and line: the text of the exception may contain a value from data that the module has read.
        reason = f"{name_exception(error)}{describe_source_line(error, _find_source(location))}"
        raise AlgorithmImportError(
            f"the algorithm's module {location.module!r} cannot be imported ({reason})",
            detail=format_author_traceback(error),
        ) from None


def _import_file(location: Location) -> ModuleType:
    """Import the module of a single file, whose folder may contain files with the names of other modules."""
    import importlib.util  # imported here, because containers do not need it

    if (loaded := sys.modules.get(location.module)) is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(location.module, str(location.file))
    if spec is None or spec.loader is None:
        raise AlgorithmNotFound(f"{location.file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[location.module] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[location.module]
        raise
    return module


def _remove_other_copy(package: str, root: Path) -> None:
    """Remove a package from ``sys.modules`` if it was imported from another folder."""
    loaded = sys.modules.get(package)
    files = [loaded.__file__, *getattr(loaded, "__path__", [])] if loaded else []
    if loaded and not any(file and Path(file).is_relative_to(root) for file in files):
        _remove_package(package)


def _remove_package(package: str) -> None:
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    unregister(package)


def describe_source_line(error: BaseException, folder: str | Path | None) -> str:
    """Return the innermost line of the algorithm's source in a traceback: `` at file.py, line 12``.

    *folder* contains the source, or is the file of a notebook's cell. Other files are not named: a name given to
    ``compile``, or a file that a parser read, may be a file of the node's owner. Nor is a line that the source of a
    file does not have; see ``source_lines``.
    """
    if isinstance(error, SyntaxError) and (position := _find_syntax_error(error.filename, error.lineno, folder)):
        return position
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    for code, line in reversed(frames):
        name, first_line = code.co_name, code.co_firstlineno
        if _is_source_of(code.co_filename, folder) and source_lines.has_line(code.co_filename, line, name, first_line):
            return _format_line(code.co_filename, line)
    return ""


def describe_line(frames: Sequence[traceback.FrameSummary], folder: str | Path | None) -> str:
    """Return the last of the frames' lines that is in the algorithm's source; see ``describe_source_line``."""
    for frame in reversed(frames):
        if _is_source_of(frame.filename, folder) and source_lines.has_line(frame.filename, frame.lineno, frame.name):
            return _format_line(frame.filename, frame.lineno)
    return ""


def _find_syntax_error(file: object, line: object, folder: str | Path | None) -> str:
    """Return the line of a syntax error, if the file has this error: the author's code can raise any other."""
    if type(file) is not str or type(line) is not int or not _is_source_of(file, folder):
        return ""
    return _format_line(file, line) if source_lines.has_syntax_error(file, line) else ""


def _format_line(file: str, line: int | None) -> str:
    return f" at {Path(file).name}, line {line}"


def _is_source_of(file: str, folder: str | Path | None) -> bool:
    return folder is not None and _is_source_file(Path(file), Path(folder))


def collect_source_texts(error: BaseException, folder: str | Path) -> frozenset[str]:
    """Return all string constants in the source of the functions in a traceback, and of the algorithm's modules."""
    files = _list_source_files(folder)
    files |= {Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)}
    return _select_texts(_parse(files))


def list_source_texts(folder: str | None, functions: Iterable[RegisteredFunction]) -> frozenset[str]:
    """Return the string constants and the names in the source of an algorithm. They are not data.

    *folder* contains the source; None for the functions of a notebook, whose cells are then read.
    """
    files = {Path(inspect.unwrap(function.__wrapped__).__code__.co_filename) for function in functions}
    if folder is not None:
        files |= _list_source_files(folder)
    nodes = list(_parse(files))
    texts, names = _select_texts(nodes), _select_names(nodes)
    return texts | names | frozenset(part for text in texts if "{" in text or "%" in text for part in _divide(text))


def _divide(template: str) -> Iterator[str]:
    """Return the constant parts of a text with fields: ``{name}``, as in the text of a ``UserError``, or ``%s``."""
    with contextlib.suppress(ValueError):  # it is not a template
        yield from (part for part, *_ in string.Formatter().parse(template) if part)
    yield from filter(None, _PERCENT_FIELD.split(template))


_PERCENT_FIELD = re.compile(r"%(?:\(\w+\))?[-+ #0]*[0-9]*(?:\.[0-9]+)?[a-zA-Z]")


def _list_source_files(folder: str | Path) -> set[Path]:
    """Return the files of the imported modules in a folder, or the file of a notebook's cell."""
    loaded = {getattr(module, "__file__", None) for module in [*sys.modules.values()]}
    # Thousands of modules are loaded, and the check of a path is slow, so the texts are compared first.
    near = {file for file in loaded if isinstance(file, str) and file.startswith(str(folder))}
    return {Path(file) for file in near if _is_source_file(Path(file), Path(folder))}


def _select_texts(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the string constants in a source."""
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return frozenset(value for value in constants if isinstance(value, str))


def _select_names(nodes: Iterable[ast.AST]) -> frozenset[str]:
    """Return the names in a source: variables, attributes, parameters, keywords, functions and classes."""
    fields = ("id", "attr", "arg", "name")
    names = (getattr(node, field, None) for node in nodes for field in fields)
    return frozenset(name for name in names if isinstance(name, str))


def _parse(files: Iterable[Path]) -> Iterator[ast.AST]:
    """Yield the nodes of files' sources; none of a file that cannot be parsed, such as a cell with a magic command."""
    for file in files:
        yield from ast.walk(parse_source("".join(linecache.getlines(str(file)))))


def parse_source(source: str) -> ast.Module:
    """Return the syntax tree of a source; without statements if the source cannot be parsed."""
    with source_lines.parse_lock, contextlib.suppress(SyntaxError, ValueError):
        return ast.parse(source)
    return ast.Module(body=[], type_ignores=[])


def _is_source_file(file: Path, folder: Path) -> bool:
    return file == folder or (file.suffix == ".py" and file.is_relative_to(folder) and file.is_file())


def name_exception(error: BaseException) -> str:
    """Return the name of an exception's class for a message; see ``find_named_class``.

    Errors of the file system have one name, because their classes would show whether the folder of another run exists.
    """
    if isinstance(error, _FILE_ERRORS):
        return "OSError"
    try:
        return find_named_class(type(error)).__name__
    except Exception:  # the class is the author's, and its attributes raise
        return "an exception"


def _find_source(location: Location) -> Path | None:
    """Return the folder of an algorithm's source; for an installed module, the folder of its package."""
    if location.root is not None:
        return location.file or location.root
    module = sys.modules.get(location.module.partition(".")[0])
    if module is None:  # the import failed, so the import system has removed the module
        import importlib.util

        with contextlib.suppress(Exception):
            module_spec = importlib.util.find_spec(location.module.partition(".")[0])
            if module_spec is not None and module_spec.origin is not None:
                origin = Path(module_spec.origin)
                return origin.parent if module_spec.submodule_search_locations else origin
    file = getattr(module, "__file__", None)
    return Path(file).parent if file else None
