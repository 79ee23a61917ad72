"""The algorithm's source files, read without running them."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Union

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


class File:
    """One source file."""

    def __init__(self, path: Path, module: str) -> None:
        self.path = path
        self.module = module
        """By which name the algorithm imports it."""

    @cached_property
    def parsed(self) -> ast.Module | SyntaxError:
        """Its syntax tree, or why there is none."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an escape that is none is the author's own affair
                return ast.parse(self.path.read_bytes(), str(self.path))
        except SyntaxError as error:
            return error
        except (OSError, ValueError, RecursionError) as error:  # a null byte, for instance
            return SyntaxError(str(error))

    @property
    def tree(self) -> ast.Module:
        """Its syntax tree, empty if it does not parse."""
        return self.parsed if isinstance(self.parsed, ast.Module) else ast.Module(body=[], type_ignores=[])

    @property
    def is_test(self) -> bool:
        """Whether it is for the laptop alone: no task ever gets there."""
        names = [*self.path.parent.parts[-self.module.count(".") :], self.path.stem] if "." in self.module else []
        return any(name in {"tests", "test", "conftest", "__main__"} or name.startswith("test_") for name in names)


def in_words(error: SyntaxError) -> str:
    """Why a file does not parse, in Python's words."""
    return f"it does not parse: {error.msg}"


def files(root: Path, package: str) -> list[File]:
    """The files of a top-level package, or the one file of a module, below the folder that it is imported from."""
    folder = root / package
    if not folder.is_dir():
        single = root / f"{package}.py"
        return [File(single, package)] if single.is_file() else []
    paths = sorted(path for path in folder.rglob("*.py") if path.is_file() and "__pycache__" not in path.parts)
    return [File(path, _module(path.relative_to(root))) for path in paths]


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Import(NamedTuple):
    """One imported module, by its absolute name."""

    module: str
    line: int
    optional: bool
    """Whether the algorithm can do without: under a condition, or where its absence is caught."""


def imports(file: File) -> Iterator[Import]:
    """What a file imports, wherever in it; nothing that is imported for type checkers alone."""
    yield from _imports(file, file.tree, optional=False)


def _imports(file: File, node: ast.AST, *, optional: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, node.lineno, optional) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute(file, node)
        yield Import(base, node.lineno, optional)
        yield from (Import(f"{base}.{alias.name}", node.lineno, optional) for alias in node.names)
    elif isinstance(node, ast.If):
        if not _names(node.test) & {"TYPE_CHECKING"}:
            for then in node.body:
                yield from _imports(file, then, optional=optional or _is_condition(node.test))
        for other in node.orelse:
            yield from _imports(file, other, optional=optional or _is_condition(node.test))
    else:
        caught = isinstance(node, ast.Try) and any(_catches(handler.type) for handler in node.handlers)
        caught = caught or (isinstance(node, ast.With) and any(_suppresses(item.context_expr) for item in node.items))
        for child in ast.iter_child_nodes(node):
            yield from _imports(file, child, optional=optional or caught)


def _absolute(file: File, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = file.module.split(".")
    kept = len(parts) - node.level + (file.path.name == "__init__.py")
    return ".".join([*parts[:kept], *filter(None, [node.module])])


def _is_condition(test: ast.expr) -> bool:
    """Whether a test asks about the surroundings: version, platform, what is installed, who runs the file."""
    return bool(_names(test) & {"sys", "os", "platform", "version_info", "find_spec", "__name__"}) or any(
        "TYPE_CHECKING" in name or name.startswith("HAS_") for name in _names(test)
    )


def _catches(kind: ast.expr | None) -> bool:
    return kind is None or bool(_names(kind) & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _suppresses(context: ast.expr) -> bool:
    return "suppress" in _names(context) and bool(_names(context) & {"ImportError", "ModuleNotFoundError", "Exception"})


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
        n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
    }


def loaded(root: Path, module: str) -> list[File]:
    """The files that importing a module runs, or may run when its functions are called: it and what it imports.

    Only those below the folder that it is imported from; a package's ``__init__`` comes before its modules.
    """
    known: dict[str, dict[str, File]] = {}
    found: dict[str, File] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        top = name.partition(".")[0]
        if top not in known:
            known[top] = {file.module: file for file in files(root, top)} if top else {}
        for above in [name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)]:
            if above in known[top] and above not in found:
                found[above] = known[top][above]
                waiting += [imported.module for imported in imports(found[above])]
    return sorted(found.values(), key=lambda file: file.path)


class Decorated(NamedTuple):
    """A function that stands decorated with ``@rpc`` or ``@master`` in the source."""

    name: str
    role: str
    line: int


def decorated(file: File) -> list[Decorated]:
    """The decorated functions at the top of a file."""
    names: dict[str, str] = {}
    modules = set()
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("algotools", "algotools.functions"):
            names |= {a.asname or a.name: a.name for a in node.names if a.name in ("rpc", "master")}
        elif isinstance(node, ast.Import):
            modules |= {a.asname or a.name for a in node.names if a.name == "algotools"}
    found = []
    for node in file.tree.body:
        for decorator in getattr(node, "decorator_list", ()):
            bare = decorator.func if isinstance(decorator, ast.Call) else decorator
            role = ""
            if isinstance(bare, ast.Name):
                role = names.get(bare.id, "")
            elif isinstance(bare, ast.Attribute) and isinstance(bare.value, ast.Name) and bare.value.id in modules:
                role = bare.attr if bare.attr in ("rpc", "master") else ""
            if role and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append(Decorated(node.name, role, node.lineno))
    return found


def functions(tree: ast.Module) -> Iterator[Function]:
    """All functions of a file, also those within others and within classes."""
    yield from (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function's body, without those of functions and classes within it."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def parameters(function: Function | ast.Lambda) -> list[ast.arg]:
    """All parameters of a function."""
    a = function.args
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, [a.vararg, a.kwarg])]


_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
"""Nodes that bind the name that they have."""


def bindings(function: Function) -> dict[str, list[ast.expr | None]]:
    """Name -> what is bound to it anywhere in a function: an assigned expression, or None for all other ways.

    A name with one binding, which is an expression, is that expression wherever it is used afterwards.
    """
    bound: dict[str, list[ast.expr | None]] = {parameter.arg: [None] for parameter in parameters(function)}
    plain: dict[int, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            plain[id(node.targets[0])] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            plain[id(node.target)] = node.value
        elif isinstance(node, ast.arg):
            bound.setdefault(node.arg, [])
            if node not in parameters(function):
                bound[node.arg].append(None)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.setdefault(node.id, []).append(plain.get(id(node)))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                bound.setdefault(name, []).extend([None, None])
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bound.setdefault((alias.asname or alias.name).partition(".")[0], []).append(None)
        elif isinstance(node, _NAMED) and node is not function and node.name:
            bound.setdefault(node.name, []).append(None)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.setdefault(node.rest, []).append(None)
    return bound


def clients(function: Function, bound: Mapping[str, list[ast.expr | None]]) -> set[str]:
    """The names of a function's client; none if one of them is anything else at times."""
    names = {p.arg for p in parameters(function) if _is_client(p.annotation) and bound[p.arg] == [None]}
    return names | {
        name
        for name, values in bound.items()
        if len(values) == 1 and isinstance(value := values[0], ast.Name) and value.id in names
    }


def _is_client(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value.rpartition(".")[2] == "AlgorithmClient"
    if isinstance(annotation, ast.BinOp):
        return _is_client(annotation.left) or _is_client(annotation.right)
    name = annotation.attr if isinstance(annotation, ast.Attribute) else getattr(annotation, "id", "")
    return name == "AlgorithmClient"
