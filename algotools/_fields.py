"""An author's error: the fields that its class declares, the module that declares the class, and the traceback."""

from __future__ import annotations

import enum
import inspect
import numbers
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def find_fields(cls: type, base: type) -> dict[str, Any]:
    """Return the annotated fields of a class and its bases, with their annotations."""
    bases = [b for b in reversed(cls.__mro__) if issubclass(b, base) and b is not base]
    names = [name for base in bases for name in inspect.get_annotations(base) if name != "text"]
    try:
        annotations = get_type_hints(cls)
    except NameError:  # the class is local to a function, and so are its annotations
        annotations = {}
    return {name: annotations.get(name) for name in names}


def convert_field(cls: type, name: str, annotation: Any, value: object) -> bool | float | str | enum.Enum | None:
    """Return a field's value as a plain number, boolean, string or enum member; None as an annotation accepts all."""
    for choice in _list_choices(annotation):
        if _is_constant(choice, value) or (choice is type(None) and value is None):
            return cast("bool | float | str | enum.Enum", value)
        if choice in (None, bool) and (isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")):
            return bool(value)  # also numpy's
        if isinstance(value, bool):
            continue
        if choice in (None, int) and isinstance(value, numbers.Integral):
            return int(value)
        if choice in (None, float) and isinstance(value, numbers.Real):
            return int(value) if isinstance(value, numbers.Integral) else float(value)
        if choice in (None, str) and isinstance(value, str):
            return str.__str__(value)
    # The value itself may be data, so the message does not name it.
    expected = (
        "a string, a number, a boolean or an enum" if annotation is None else inspect.formatannotation(annotation)
    )
    raise TypeError(f"field {name} of {cls.__name__} must be {expected}, not {type(value).__name__}")


def format_fields(instance: object, base: type) -> str:
    """Return the values of an object's fields as one text, without those that a ``Literal`` or an enum declares."""
    cls = type(instance)
    fields = find_fields(cls, base)
    values = {name: convert_field(cls, name, kind, getattr(instance, name, None)) for name, kind in fields.items()}
    return ", ".join(str(value) for name, value in values.items() if not is_constant_of(fields[name], value))


def is_constant_of(annotation: Any, value: object) -> bool:
    """Return whether a ``Literal`` or an enum in the annotation declares the value."""
    return any(_is_constant(choice, value) for choice in _list_choices(annotation))


def _list_choices(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the annotation itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_constant(annotation: Any, value: object) -> bool:
    if get_origin(annotation) is Literal:
        return any(type(value) is type(constant) and value == constant for constant in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum) and isinstance(value, annotation)


def find_named_class(kind: type) -> type:
    """Return the class, or its nearest base, that a module contains under its name."""
    # A name in the source is constant, but code can make a class with any name, such as a value from the data.
    return next(base for base in kind.__mro__ if base is object or is_in_module(base))


def is_in_module(kind: type) -> bool:
    """Return whether a module contains the class under its name."""
    match: object = sys.modules.get(kind.__module__)
    for part in kind.__qualname__.split("."):
        match = getattr(match, part, None)
    return match is kind


def is_global(kind: type, error: BaseException) -> bool:
    """Return whether a function that raised the error has the class as a global name, as in the cells of a doctest."""
    return any(frame.f_globals.get(kind.__qualname__) is kind for frame, _ in traceback.walk_tb(error.__traceback__))


def list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception, and the exceptions from which or during which it was raised, the last one first."""
    visited = set[int]()  # the author's code can make a circle of causes
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def format_traceback(error: BaseException) -> str:
    """Return the traceback of an exception, as Python prints it."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as failure:  # an exception of the author's code has a class or attributes that raise
        return f"the traceback cannot be shown ({type(failure).__name__})\n"


def format_author_traceback(error: BaseException) -> str:
    """Return the traceback of an exception and of its causes; each begins in the author's code.

    A cause that was raised and caught in a library is left out, because its frames do not show the author's code.
    """
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        packages = [_find_package(frame.filename) for frame in select_author_frames(report.stack)[:1]]
        for part in _list_parts(report):
            _leave_out_library_causes(part, packages)
            frames = select_author_frames(part.stack)
            first = next((i for i, frame in enumerate(frames) if _is_author_frame(frame, packages)), 0)
            part.stack = traceback.StackSummary.from_list(frames[first:])
        return "".join(report.format())
    except Exception as failure:  # see `format_traceback`
        return f"the traceback cannot be shown ({type(failure).__name__})\n"


def _leave_out_library_causes(part: traceback.TracebackException, packages: Iterable[Path | None]) -> None:
    """Replace the cause or context of a part by the next one that has a frame of the author, or of algotools."""

    def select(cause: traceback.TracebackException | None) -> traceback.TracebackException | None:
        while cause is not None and cause.stack and all(_is_library_frame(frame, packages) for frame in cause.stack):
            cause = cause.__cause__ or cause.__context__
        return cause

    part.__cause__, part.__context__ = select(part.__cause__), select(part.__context__)


def _is_library_frame(frame: traceback.FrameSummary, packages: Iterable[Path | None]) -> bool:
    return not _is_machinery(frame.filename) and not _is_author_frame(frame, packages)


def _is_author_frame(frame: traceback.FrameSummary, packages: Iterable[Path | None]) -> bool:
    """Return whether a frame is outside of all libraries, or in one of the packages.

    In an image, the author's code may be installed like a library. So its packages are passed.
    """
    if _is_machinery(frame.filename) or frame.filename.endswith((".pyx", ".pxi")):  # compiled with Cython
        return False
    package = _find_package(frame.filename)
    return package is None or package in packages


def _find_package(file: str) -> Path | None:
    """Return the package or module of a library, installed or of Python itself; None for any other file."""
    path = Path(file)
    for folder in path.parents:
        if folder.name in ("site-packages", "dist-packages"):
            return folder / path.relative_to(folder).parts[0]
    return path if path.is_relative_to(_STANDARD_LIBRARY) else None


def select_author_frames(frames: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Return the frames from the author's code on; all of them if there are only frames of algotools.

    Frames of algotools and of libraries that the author's code calls remain.
    """
    frames = list(frames)
    first = next((i for i, frame in enumerate(frames) if not _is_machinery(frame.filename)), 0)
    return frames[first:]


def _list_parts(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    """Yield the report of an exception, of its causes, and of the members of groups."""
    waiting = [report]
    while waiting:  # Python has limited a circle of causes, so this ends
        part = waiting.pop()
        yield part
        linked = (part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ()))
        waiting += [linked_error for linked_error in linked if linked_error is not None]


def _is_machinery(file: str) -> bool:
    """Return whether a file belongs to algotools, or to a module with which algotools calls the author's code."""
    modules = [sys.modules.get(name) for name in _MACHINERY]
    files = [Path(module.__file__) for module in modules if module is not None and module.__file__]
    folders = [_PACKAGE, *(path.parent if path.stem == "__init__" else path for path in files)]
    return file.startswith("<frozen ") or any(Path(file).is_relative_to(folder) for folder in folders)


_PACKAGE = Path(__file__).parent
_STANDARD_LIBRARY = Path(traceback.__file__).parent
_MACHINERY = ("contextlib", "importlib", "msgspec", "runpy", "threading", "wrapt")
