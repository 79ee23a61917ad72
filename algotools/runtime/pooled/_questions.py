"""Find code that gets an answer about a placeholder without an operation of the placeholder, such as ``type(total)``.

Python calls no method of the object for these questions, so a placeholder cannot stop them. A function whose code
contains one gets no attempt at the master: the nodes compute its result, with numbers in the place of all totals.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from algotools.runtime.pooled._source import parse, read_source

_QUESTIONS = frozenset({"type", "callable", "id", "dir", "vars"})
"""Functions that give an answer for a placeholder that would be another one for rows or a number."""


def is_uncertain(frame: FrameType) -> bool:
    """Return whether a frame's file can get an answer about a placeholder without an operation of the placeholder."""
    return _is_uncertain(frame.f_code, frame.f_code.co_filename)


@functools.lru_cache(maxsize=1024)
def _is_uncertain(code: CodeType, file: str) -> bool:
    return not _QUESTIONS.isdisjoint(code.co_names) or _has_questions(file)


def asks_questions(function: Callable[..., Any]) -> bool:
    """Return whether a function's module, or a module of the author that it imports, contains a question.

    A helper of another module has returned before the next request for a total, so no frame of it is left.
    """
    inner = inspect.unwrap(function)
    code: CodeType | None = getattr(inner, "__code__", None)
    if code is None:
        return True
    imported = {name: sys.modules[name] for name in code.co_names if name in sys.modules}  # in the function's body
    files = {code.co_filename}
    pending: list[Mapping[str, Any]] = [inner.__globals__, getattr(function, "__globals__", {}), imported]
    while pending:
        for file, module in _list_files(pending.pop()):
            if file not in files and _is_of_author(file, module, inner):
                files.add(file)
                pending.append(vars(module))
    source = read_source(code.co_filename)
    return _compares_by_identity(source, code.co_firstlineno) or any(map(_has_questions, files))


def _list_files(namespace: Mapping[str, Any]) -> Iterator[tuple[str, ModuleType]]:
    """Yield the files of the modules, functions and classes in a namespace, each with its module."""
    for value in list(namespace.values()):
        kind = type(value)  # not `isinstance`, which uses a placeholder
        is_function = issubclass(kind, FunctionType)
        if not (is_function or issubclass(kind, (ModuleType, type))):
            continue
        module = value if issubclass(kind, ModuleType) else sys.modules.get(str(value.__module__))
        file = value.__code__.co_filename if is_function else getattr(module, "__file__", None)
        if module is not None and file:
            yield file, module


def _is_of_author(file: str, module: ModuleType, function: Any) -> bool:
    """Return whether a module belongs to the author of a function, and not to a library."""
    root = module.__name__.partition(".")[0]
    if root in sys.stdlib_module_names or root == "algotools":
        return False
    is_near = root == str(function.__module__).partition(".")[0]
    is_beside = Path(file).parent == Path(function.__code__.co_filename).parent
    return is_near or is_beside or "site-packages" not in Path(file).parts


def _has_questions(file: str) -> bool:
    return _find_questions(read_source(file))


@functools.lru_cache(maxsize=64)
def _find_questions(source: str) -> bool:
    return any(map(_is_question, ast.walk(parse(source))))


def _is_question(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _QUESTIONS
    # A placeholder is not a sequence or a mapping for `match`, which finds this in a flag of the type.
    return isinstance(node, (ast.MatchSequence, ast.MatchMapping))


@functools.lru_cache(maxsize=64)
def _compares_by_identity(source: str, first_line: int) -> bool:
    """Return whether a function contains ``data.index.name is None``; in a whole file, ``is`` is too frequent."""
    for function in ast.walk(parse(source)):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and first_line == min(
            node.lineno for node in (function, *function.decorator_list)
        ):
            nodes = list(ast.walk(function))
            computed = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            return any(isinstance(node, ast.Compare) and _is_identity(node, computed) for node in nodes)
    return False


def _is_identity(node: ast.Compare, computed: Container[str]) -> bool:
    """Return whether a comparison by ``is`` has a computed operand; a parameter in ``weights is None`` has none."""
    if not any(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
        return False
    operands = (node.left, *node.comparators)
    return any(o.id in computed if isinstance(o, ast.Name) else not isinstance(o, ast.Constant) for o in operands)
