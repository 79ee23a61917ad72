"""The source files of an algorithm and their imports, read without running any of the code.

``algotools check`` compares the imports with the project's dependencies. The template process imports them before the
first run, because every worker is a copy of it.
"""

from __future__ import annotations

import ast
import importlib.util
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple


class SourceFile:
    """One Python file, and the name by which the algorithm imports it."""

    def __init__(self, path: Path, module: str) -> None:
        self.path = path
        self.module = module

    @cached_property
    def parsed(self) -> ast.Module | SyntaxError:
        """The syntax tree, or the reason why the file does not parse."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes are not reported here
                return ast.parse(self.path.read_bytes(), str(self.path))
        except SyntaxError as error:
            return error
        except (OSError, ValueError, RecursionError) as error:  # for instance, the file contains a null byte
            return SyntaxError(str(error))

    @property
    def tree(self) -> ast.Module:
        """The syntax tree; empty if the file does not parse."""
        return self.parsed if isinstance(self.parsed, ast.Module) else ast.Module(body=[], type_ignores=[])


class Import(NamedTuple):
    """One imported module, by its absolute name."""

    module: str
    line: int
    is_optional: bool
    """Whether the algorithm runs without the module: it is imported under a condition, or its absence is caught."""
    may_be_attribute: bool = False
    """Whether this may be another object than a module: ``a.b`` for ``from a import b``."""


def find_origin(module: str) -> Path | None:
    """Return the folder of a package, or the file of a module, that this process would import; None if there is none.

    Raises:
        ImportError, ValueError: a package above the module cannot be imported, or the module has no specification.
    """
    spec = importlib.util.find_spec(module)
    origins = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin]
    return next((Path(origin) for origin in origins if origin and Path(origin).exists()), None)


def list_files(root: Path, package: str) -> list[SourceFile]:
    """Return the files of a top-level package or module that is imported from the folder *root*."""
    folder = root / package
    if not folder.is_dir():
        single = root / f"{package}.py"
        return [SourceFile(single, package)] if single.is_file() else []
    paths = sorted(path for path in folder.rglob("*.py") if path.is_file() and "__pycache__" not in path.parts)
    return [SourceFile(path, _make_module_name(path.relative_to(root))) for path in paths]


def read_imports(file: SourceFile) -> Iterator[Import]:
    """Yield the imports of a file at any depth, except those for type checkers alone."""
    yield from _read_imports(file, file.tree, is_optional=False)


def _read_imports(file: SourceFile, node: ast.AST, *, is_optional: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno, is_optional) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _resolve_module(file, node)
        yield Import(base, node.lineno, is_optional)
        yield from (Import(f"{base}.{alias.name}", node.lineno, is_optional, True) for alias in node.names)
    elif isinstance(node, ast.If):
        is_optional = is_optional or _is_environment_condition(node.test)
        body = [] if "TYPE_CHECKING" in _collect_names(node.test) else node.body
        for statement in body + node.orelse:
            yield from _read_imports(file, statement, is_optional=is_optional)
    else:
        is_caught = isinstance(node, ast.Try) and any(_catches_absence(handler.type) for handler in node.handlers)
        is_caught |= isinstance(node, ast.With) and any(_suppresses_absence(item.context_expr) for item in node.items)
        for child in ast.iter_child_nodes(node):
            yield from _read_imports(file, child, is_optional=is_optional or is_caught)


def _make_module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _resolve_module(file: SourceFile, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = file.module.split(".")
    depth = len(parts) - node.level + (file.path.name == "__init__.py")
    return ".".join([*parts[:depth], *filter(None, [node.module])])


def _is_environment_condition(test: ast.expr) -> bool:
    """Whether a condition is about the environment: version, platform, installed modules, ``__main__``."""
    names = _collect_names(test)
    return bool(names & {"sys", "os", "platform", "version_info", "find_spec", "__name__"}) or any(
        "TYPE_CHECKING" in name or name.startswith("HAS_") for name in names
    )


def _catches_absence(kind: ast.expr | None) -> bool:
    return kind is None or bool(
        _collect_names(kind) & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    )


def _suppresses_absence(context: ast.expr) -> bool:
    names = _collect_names(context)
    return "suppress" in names and bool(names & {"ImportError", "ModuleNotFoundError", "Exception"})


def _collect_names(node: ast.AST) -> set[str]:
    """Return the names and attributes in an expression."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }
