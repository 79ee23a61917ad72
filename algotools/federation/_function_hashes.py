"""The hash of functions of a notebook or script, with everything of the author that they use.

The hash contains the code of the functions, their defaults, closures and global variables, and the functions, classes
and modules that these use, unless they belong to Python or to an installed package: ``_source_hashes`` compares the
packages. What cannot be described completely makes the hash unknown, so that no result is reused by mistake.
"""

from __future__ import annotations

import abc
import ast
import builtins
import contextlib
import dis
import enum
import functools
import io
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any, Generic, Protocol

from algotools.declare.functions import RegisteredFunction
from algotools.federation._file_hashes import hash_texts

LARGEST = 200_000
"""Maximum number of values that are described."""

_DYNAMIC = frozenset(
    {"globals", "locals", "vars", "eval", "exec", "getattr", "__import__", "import_module", "__dict__", "__globals__"}
)
"""Names with which code can use variables that its own names do not show."""

_CONSTANTS = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))

_SKIPPED_ATTRIBUTES = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__doc__",
        "__module__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
    }
    | {"__dataclass_fields__", "__dataclass_params__", "_abc_impl", "__subclasshook__", "__annotations_cache__"}
)
"""Attributes of a class that Python derives from the others, or that change no result."""


class UnknownState(Exception):
    """A part of the algorithm cannot be compared; the text names the part and the reason."""


def hash_functions(called: Iterable[Callable[..., object]]) -> str:
    """Return the hash of functions and of everything of the author that they use.

    Raises:
        UnknownState: a part cannot be described.
    """
    description = _Description()
    try:
        for function in called:
            description.add(function)
    except RecursionError:
        raise UnknownState("a value that the functions use is nested too deeply") from None
    return hash_texts(*description.texts)


class _Description:
    """Describes values as texts that are equal in every process if the values are equal."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[int, tuple[int, object]] = {}
        """Identity of a described object -> its position, and the object, so that its identity stays its own."""

    def add(self, value: Any) -> None:
        """Add the description of a value."""
        if len(self.texts) > LARGEST:
            raise UnknownState("the functions use too many values")
        if type(value) in _CONSTANTS:
            self._write(type(value).__name__, repr(value))
            return
        if id(value) in self._numbers:
            self._write("again", str(self._numbers[id(value)][0]))
            return
        if not isinstance(value, (tuple, frozenset, CodeType)):  # constants, which Python may share or copy
            self._numbers[id(value)] = (len(self._numbers), value)
        self._add_object(value)

    def _write(self, *texts: str) -> None:
        self.texts.extend(texts)

    def _add_object(self, value: Any) -> None:
        kind = type(value)
        if kind is RegisteredFunction or isinstance(value, RegisteredFunction):
            self._write("registered", *(f"{p.method} {p.role} {p.step} {p.minimum_rows}" for p in value.parts))
            self.add(value.__wrapped__)
        elif kind in (list, tuple):
            self._write(kind.__name__, str(len(value)))
            self._add_all(value)
        elif kind in (dict, MappingProxyType):
            self._write("dict", str(len(value)))
            self._add_all(part for item in value.items() for part in item)
        elif kind in (set, frozenset):
            self._write(kind.__name__, *sorted("\0".join(self._describe_alone(item)) for item in value))
        elif kind is CodeType:
            self._add_code(value)
        elif kind is FunctionType:
            self._add_function(value)
        elif kind is BuiltinFunctionType and isinstance(value.__self__, (ModuleType, type(None))):
            self._write("builtin", str(value.__module__), value.__qualname__)
        elif kind in _PARTS:
            self._write(kind.__name__)
            self._add_all(_PARTS[kind](value))
        elif isinstance(value, enum.Enum):
            self._write("member", value.name)
            self._add_all((type(value), value.value))
        elif kind in (GetSetDescriptorType, MemberDescriptorType):
            self._write("slot", value.__qualname__)
        elif kind is ModuleType:
            if not _is_library(value.__name__):
                raise UnknownState(f"the module {value.__name__} is used as a value")
            self._write("module", value.__name__)
        elif isinstance(value, type):
            self._add_class(value)
        elif getattr(value, "__origin__", None) is not None and hasattr(value, "__args__"):
            self._write("alias")  # a generic type of an annotation
            self._add_all((value.__origin__, value.__args__, getattr(value, "__metadata__", ())))
        elif not _is_library(kind.__module__):
            self._add_instance(value)
        else:
            self._add_library_object(value)

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.add(value)

    def _describe_alone(self, value: Any) -> list[str]:
        texts, self.texts = self.texts, []
        try:
            self.add(value)
            return self.texts
        finally:
            self.texts = texts

    def _add_function(self, function: FunctionType) -> None:
        self._write("function", str(function.__module__), function.__qualname__)
        for cell in function.__closure__ or ():
            self._add_cell(cell)
        if _is_library(function.__globals__.get("__name__")):  # not __module__, which ``functools.wraps`` copies
            if function.__closure__:
                self.add(dict(function.__dict__))
            return
        self._add_all((function.__code__, function.__defaults__, function.__kwdefaults__, dict(function.__dict__)))
        for name, annotation in function.__annotations__.items():
            self._write(name)
            self._add_annotation(annotation, function.__globals__)
        self._add_globals(function)

    def _add_cell(self, cell: CellType) -> None:
        try:
            content = cell.cell_contents
        except ValueError:
            self._write("empty cell")
        else:
            self.add(content)

    def _add_annotation(self, annotation: Any, variables: Mapping[str, Any]) -> None:
        self.add(annotation)
        if isinstance(annotation, str):
            with contextlib.suppress(SyntaxError, ValueError):
                nodes = list(ast.walk(ast.parse(annotation, mode="eval")))
                attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
                for name in sorted({node.id for node in nodes if isinstance(node, ast.Name)} & variables.keys()):
                    self._add_variable(variables[name], attributes)

    def _add_code(self, code: CodeType) -> None:
        table = getattr(code, "co_exceptiontable", b"")
        self._write("code", code.co_name, code.co_code.hex(), table.hex(), str(code.co_flags))
        for names in (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars):
            self._write(*names, "")
        self._write(str(len(code.co_consts)))
        self._add_all(code.co_consts)

    def _add_globals(self, function: FunctionType) -> None:
        where = f"{function.__module__}.{function.__qualname__}"
        codes = list(_list_codes(function.__code__))
        attributes = {name for code in codes for name in code.co_names}
        if dynamic := sorted(attributes & _DYNAMIC):
            raise UnknownState(f"{where} uses {dynamic[0]}")
        names: dict[str, None] = {}
        for instruction in (instruction for code in codes for instruction in dis.get_instructions(code)):
            name = str(instruction.argval)
            if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                raise UnknownState(f"{where} changes the global variable {name}")
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                names[name] = None
            elif instruction.opname == "IMPORT_NAME":
                self._add_import(name, attributes, where)
        for name in names:
            if name in function.__globals__:
                self._write(name)
                self._add_variable(function.__globals__[name], attributes)
            elif not hasattr(builtins, name) and not name.startswith("__"):
                self._write("undefined", name)

    def _add_variable(self, value: Any, attributes: Iterable[str]) -> None:
        if isinstance(value, ModuleType):
            self._add_module(value, attributes)
        else:
            self.add(value)

    def _add_import(self, name: str, attributes: Iterable[str], where: str) -> None:
        if _is_library(name.partition(".")[0]):
            return
        if name not in sys.modules or not name:
            raise UnknownState(f"{where} imports {name or 'a neighbouring module'}")
        for position in range(name.count(".") + 1):
            self._add_module(sys.modules[".".join(name.split(".")[: position + 1])], attributes)

    def _add_module(self, module: ModuleType, attributes: Iterable[str]) -> None:
        """Add the attributes of a module that code may use."""
        self._write("module", module.__name__)
        if _is_library(module.__name__):
            return
        for name in sorted({*attributes} & vars(module).keys()):
            value = vars(module)[name]
            self._write(name)
            if isinstance(value, ModuleType):
                if id(value) not in self._numbers:
                    self._numbers[id(value)] = (len(self._numbers), value)
                    self._add_module(value, attributes)
            else:
                self.add(value)

    def _add_class(self, class_: type) -> None:
        self._write("class", class_.__module__, class_.__qualname__)
        if _is_library(class_.__module__):
            return
        self._add_all((type(class_), class_.__bases__))
        for name, value in vars(class_).items():
            if name not in _SKIPPED_ATTRIBUTES:
                self._write(name)
                self.add(value)

    def _add_instance(self, value: Any) -> None:
        """Add an object of a class of the author: its class, and its attributes."""
        self._write("instance")
        self.add(type(value))
        bases = [base for base in type(value).__mro__ if base is not object and _is_library(base.__module__)]
        slots = [
            name
            for base in type(value).__mro__
            for name, item in vars(base).items()
            if isinstance(item, MemberDescriptorType)
        ]
        if bases and not slots and not hasattr(value, "__dict__"):
            raise UnknownState(f"an object of {type(value).__qualname__} cannot be compared")
        self.add(dict(getattr(value, "__dict__", {})))
        for name in slots:
            self._write(name)
            self.add(getattr(value, name, None))
        builtin_types: tuple[Any, ...] = (int, float, str, bytes, list, tuple, dict, set, frozenset)
        for base in builtin_types:
            if isinstance(value, base):
                self.add(base(value))
                return
        if set(bases) - _EMPTY_BASES:
            raise UnknownState(f"an object of {type(value).__qualname__} cannot be compared")

    def _add_library_object(self, value: Any) -> None:
        """Add an object of a class of Python or of an installed package, by its content as pickle writes it."""
        stream = io.BytesIO()
        try:
            _LibraryPickler(stream, 4).dump(value)
        except UnknownState:
            raise
        except Exception as error:  # whatever its class raises
            raise UnknownState(f"an object of {type(value).__qualname__} cannot be compared") from error
        self._write("object", type(value).__module__, type(value).__qualname__, stream.getvalue().hex())


_PARTS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    MethodType: lambda value: (value.__func__, value.__self__),
    staticmethod: lambda value: (value.__func__,),
    classmethod: lambda value: (value.__func__,),
    property: lambda value: (value.fget, value.fset, value.fdel),
    functools.cached_property: lambda value: (value.func,),
    functools.partial: lambda value: (value.func, value.args, value.keywords),
    type(functools.lru_cache(lambda: None)): lambda value: (value.__wrapped__,),
}
"""The parts of objects that contain functions."""

_EMPTY_BASES: frozenset[Any] = frozenset({Generic, Protocol, abc.ABC})


class _LibraryPickler(pickle.Pickler):
    """Refuses objects and functions of the author, of which pickle writes only the name."""

    def persistent_id(self, value: Any) -> None:
        module = getattr(value, "__module__", None) or type(value).__module__
        if not isinstance(module, str) or not _is_library(module):
            raise UnknownState(f"an object contains {getattr(value, '__qualname__', type(value).__qualname__)}")


def _list_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function, and of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_codes(constant)


@functools.cache
def _list_library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(str(Path(paths[name]).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _is_library(name: str | None) -> bool:
    """Whether a module belongs to Python, to an installed package or to algotools."""
    if not name:
        return False
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names or package == "algotools":
        return package != "__main__"
    module = sys.modules.get(name) or sys.modules.get(package)
    file = getattr(module, "__file__", None)
    if not file:
        return False
    path = Path(file).resolve()
    folders = _list_library_folders()
    return bool({"site-packages", "dist-packages"} & {*path.parts}) or any(map(str(path).startswith, folders))
