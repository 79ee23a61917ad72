"""Functions of a notebook or a script as files that a worker of an engine imports.

No other process can import such functions, so they travel as a pickle, by value: their code, and the global variables
and helper functions that they use. Modules that are neither installed nor part of Python travel as source files.
cloudpickle does the main part; this module adds

* decorated functions: proxies of the author's functions, which refer to them by name when they are pickled;
* the names of files and the lines of source that tracebacks show;
* names in annotations that are texts (``from __future__ import annotations``), which cloudpickle does not follow.

On the worker, a generated module loads the pickle when it is imported.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import io
import linecache
import operator
import pickle
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

import algotools
from algotools.declare.federated import PooledFunction, Pooling
from algotools.declare.functions import Algorithm, RegisteredFunction
from algotools.declare.options import Options
from algotools.errors import FederationError
from algotools.federation.engines._code_files import list_code
from algotools.federation.imports import find_origin
from algotools.task import Role

MODULE = "algotools_functions"
"""The name of the generated module."""
_PICKLE = f"{MODULE}.pickle"
_MAIN = "__main__"
_WAY_OUT = "move the functions to a project (`algotools new`) or a .py file, and name it as the algorithm"
_MOST_BYTES = 128 << 20
_COPIED_METACLASSES = ("builtins", "abc", "enum", "typing", "typing_extensions")
"""Modules of the metaclasses whose classes cloudpickle copies completely. A msgspec.Struct would lose its fields."""

Names = set[tuple[str, str]]
"""Modules and names of global variables."""


def pack(algorithm: Algorithm) -> dict[bytes, bytes]:
    """Return the files of the generated module: name -> content.

    Raises:
        FederationError: the functions cannot travel. The message contains the way out.
    """
    names: Names = set()
    while True:
        pickler, data = _dump(algorithm, names)
        if pickler.names <= names:
            break
        names |= pickler.names
    if len(data) > _MOST_BYTES:
        raise FederationError(
            f"the functions and the global variables that they use have {len(data) >> 20} MiB, which is too much to "
            f"send to a worker of the engine; let the functions read data from databases, or {_WAY_OUT}"
        )
    modules = sorted({module.partition(".")[0] for module in pickler.modules} - {_MAIN})
    files = {_PICKLE.encode(): data}
    for module in modules:
        files |= _read_local_module(module)
    imports = [module for module in modules if module.isidentifier() and module != "algotools"]
    files[f"{MODULE}.py".encode()] = _make_source(imports).encode()
    return files


def _make_source(modules: Iterable[str]) -> str:
    lines = [
        '"""Functions of a notebook or a script, which a federation has sent."""',
        "from algotools.federation.engines import _functions",
        "__algorithm__ = _functions.load(__file__)",
        "def _list_imports():  # the template process imports these modules before the first run",
        "    import cloudpickle",
        *(f"    import {module}" for module in modules),
    ]
    return "\n".join(lines) + "\n"


def load(file: str) -> Algorithm:
    """Return the functions beside the generated module, as an algorithm."""
    with Path(file).with_name(_PICKLE).open("rb") as stream:
        functions, name, extras, sources = pickle.load(stream)  # noqa: S301 - the author's own code; see ``_code``
    for filename, lines in sources.items():
        linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)
    for function in functions.values():
        variables = inspect_globals(function)
        for missing, value in extras.get(variables.get("__name__"), {}).items():
            variables.setdefault(missing, value)
        # A class of a notebook is declared in `__main__`, where the names of its annotations are looked up.
        if variables.get("__name__") == _MAIN:
            for key, value in variables.items():
                if not key.startswith("__"):
                    vars(sys.modules[_MAIN])[key] = value
    for function in functions.values():
        _ = function.specification  # resolves the annotations
    return Algorithm(name, functions)


def inspect_globals(function: RegisteredFunction) -> dict[str, Any]:
    """Return the global variables of the author's function."""
    variables: dict[str, Any] = function.__wrapped__.__globals__
    return variables


def _dump(algorithm: Algorithm, names: Names) -> tuple[Any, bytes]:
    """Return the pickle of the functions, with further global variables, and the pickler."""
    stream = io.BytesIO()
    pickler = _make_pickler(stream, algorithm)
    extras: dict[str, dict[str, object]] = {}
    for module, name in names:
        variables = vars(sys.modules[module]) if module in sys.modules else {}
        if name in variables:
            extras.setdefault(module, {})[name] = variables[name]
    try:
        pickler.dump((dict(algorithm.functions), algorithm.name, extras, _Sources(pickler.sources)))
    except FederationError:
        raise
    except RecursionError:
        raise FederationError(f"the functions refer to a value that is nested too deeply; {_WAY_OUT}") from None
    except Exception as error:  # an object's own pickle method can raise any error
        raise FederationError(
            "the functions cannot be sent to the workers of the engine, because they refer to a global variable that "
            f"cannot be copied to another process ({type(error).__name__}: {error}); create the value in the function, "
            f"or {_WAY_OUT}"
        ) from None
    return pickler, stream.getvalue()


class _Sources:
    """The lines of the files of all functions. They are collected last, when all functions have been visited."""

    def __init__(self, files: set[str]) -> None:
        self._files = files

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return dict, ({file: lines for file in sorted(self._files) if (lines := linecache.getlines(file))},)


def _make_pickler(stream: io.BytesIO, algorithm: Algorithm) -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise FederationError(
            "functions of a notebook or script need the package cloudpickle to be sent to the workers of an engine; "
            f"run `pip install cloudpickle`, or {_WAY_OUT}"
        ) from None

    class FunctionPickler(cloudpickle.Pickler):  # type: ignore[misc]  # the package has no types
        """Pickles functions by value, and notes the modules and the names that they need."""

        def __init__(self) -> None:
            super().__init__(stream, protocol=5)
            self.modules: set[str] = set()
            self.names: Names = set()
            self.sources: set[str] = set()

        def reducer_override(self, obj: Any) -> Any:
            kind = type(obj)
            if issubclass(kind, RegisteredFunction):
                if _is_importable(obj):
                    self.modules.add(obj.__module__)
                    return NotImplemented
                return _reduce(obj, algorithm)
            if kind is types.CodeType:  # cloudpickle replaces the name of the file
                make, arguments = self.dispatch_table[types.CodeType](obj)
                return _make_code, (make, obj.co_filename, *arguments)
            if kind is msgspec.Meta:
                return _make_meta, ({name: value for name, value in obj.__rich_repr__() if value is not None},)
            if obj is dataclasses.MISSING:
                return "MISSING"
            if kind is types.ModuleType:
                self.modules.add(obj.__name__)
            elif kind is types.FunctionType or issubclass(kind, type):
                reduced = super().reducer_override(obj)
                if reduced is NotImplemented:
                    self.modules.add(obj.__module__ or "")
                else:
                    self._visit(obj)
                    if kind is not types.FunctionType and len(reduced) > 2:  # not the class of None
                        # Msgspec stores what it has found out about a class in the class.
                        reduced[2][0].pop("__msgspec_cache__", None)
                return reduced
            return super().reducer_override(obj)

        def _visit(self, obj: Any) -> None:
            if isinstance(obj, type) and type(obj).__module__ not in _COPIED_METACLASSES:
                raise FederationError(
                    f"the class {obj.__name__} cannot be sent to the workers of the engine, because cloudpickle does "
                    f"not copy a {type(obj).__module__} class completely; declare a dataclass instead, or {_WAY_OUT}"
                )
            annotations = vars(obj).get("__annotations__") if isinstance(obj, type) else obj.__annotations__
            self.names |= {(obj.__module__, name) for name in _list_names(annotations or {})}
            if isinstance(obj, types.FunctionType):
                self.sources.add(obj.__code__.co_filename)
                self.modules |= set(_list_imports(obj.__code__))

    return FunctionPickler()


def _is_importable(function: RegisteredFunction) -> bool:
    """Whether another process can import a decorated function by its name."""
    module, name = function.origin
    found: Any = sys.modules.get(module) if module != _MAIN else None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is function


def _reduce(function: RegisteredFunction, algorithm: Algorithm) -> tuple[Callable[..., object], tuple[object, ...]]:
    """Return how to make a decorated function again."""
    wrapped = function.__wrapped__
    if not isinstance(function, PooledFunction):
        options = Options(function.step, function.minimum_rows, function.standalone)
        return _make_registered, (wrapped, function.role, function.method, options)
    if function.derived_from is None:
        return PooledFunction, (wrapped, "master", function.method, function.pooling)
    for master in algorithm.functions.values():
        if isinstance(master, PooledFunction) and master is not function and master.partial is function:
            return operator.attrgetter("partial"), (master,)
    return _make_partial, (wrapped, function.method, function.pooling, function.derived_from)


def _make_code(make: Callable[..., types.CodeType], filename: str, *arguments: Any) -> types.CodeType:
    return make(*arguments).replace(co_filename=filename)


def _make_meta(options: dict[str, Any]) -> msgspec.Meta:
    return msgspec.Meta(**options)


def _make_registered(function: Callable[..., object], role: Role, name: str, options: Options) -> RegisteredFunction:
    return RegisteredFunction(function, role, name, options)


def _make_partial(function: Callable[..., object], name: str, pooling: Pooling, derived_from: str) -> PooledFunction:
    return PooledFunction(function, "rpc", name, pooling, derived_from)


def _list_names(annotations: Mapping[str, object]) -> Iterator[str]:
    """Yield the names in annotations that are texts."""
    for annotation in annotations.values():
        if isinstance(annotation, str):
            try:
                tree = ast.parse(annotation, mode="eval")
            except SyntaxError:  # the declaration was refused
                continue
            yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _list_imports(code: types.CodeType) -> Iterator[str]:
    """Yield the modules that a function imports."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and instruction.argval:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _list_imports(constant)


def _read_local_module(module: str) -> dict[bytes, bytes]:
    """Return the source files of a module that is neither installed nor part of Python; otherwise nothing."""
    if module in sys.stdlib_module_names or module == "algotools":
        return {}
    try:
        origin = find_origin(module)
    except (ImportError, ValueError):  # the function imports it under a condition, or the run reports its absence
        return {}
    if origin is None or not _is_local(origin):
        return {}
    listing = list_code(origin.parent, module)
    return {file.name: file.path.read_bytes() for file in listing.files}


def _is_local(path: Path) -> bool:
    """Whether a module belongs to the author: it is not in a folder of Python or of installed packages."""
    installed = {Path(folder).resolve() for folder in sysconfig.get_paths().values() if folder}
    installed.add(Path(algotools.__file__).parent)
    resolved = path.resolve()
    return not {"site-packages", "dist-packages"} & {*resolved.parts} and not any(
        resolved.is_relative_to(folder) for folder in installed
    )
