"""What an interpreter knows of an algorithm, told as JSON, without importing any of it.

The source of this file is handed to the interpreter of an image or of a peer's environment, with the name of a module
as its argument (or in ``PKG_NAME``). So it needs the standard library alone, of any Python from 3.6 on.
"""

import ast
import contextlib
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

DISTRIBUTIONS = ("federated-algotools", "vantage6-algorithm-tools", "vantage6-client", "vantage6")
TOOLS = ("algotools", "vantage6")
GROUP = "algotools.algorithms"


def versions() -> "dict[str, str]":
    """The versions of those distributions that are installed."""
    metadata = _metadata()
    found = {}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(Exception):  # it is not installed
            found[name] = str(metadata.version(name) if metadata else _old().get_distribution(name).version)
    return found


def named() -> "list[str]":
    """The modules that entry points name as algorithms made with algotools."""
    metadata = _metadata()
    try:
        if metadata is None:
            points = list(_old().iter_entry_points(GROUP))
            return [str(point.module_name) for point in points]
        points = metadata.entry_points()
        points = points.select(group=GROUP) if hasattr(points, "select") else points.get(GROUP, [])
        return [str(point.value).partition(":")[0].strip() for point in points]
    except Exception:
        return []


def _metadata() -> "Any":
    try:
        return importlib.import_module("importlib.metadata")
    except ImportError:  # before 3.8
        return None


def _old() -> "Any":
    return importlib.import_module("pkg_resources")


def sources(module: str) -> "list[Path]":
    """The files of a module or package; none if it cannot be found."""
    package, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    if not folders:
        return [Path(str(spec.origin))] if not rest and str(spec.origin).endswith(".py") else []
    inner = [folder.joinpath(*rest.split(".")) if rest else folder for folder in folders]
    files = [file for folder in inner for file in sorted(folder.rglob("*.py"))]
    return files + [file for file in (folder.with_suffix(".py") for folder in inner if rest) if file.is_file()]


def read(files: "list[Path]") -> "dict[str, Any]":
    """What sources import of the tools, and their top-level functions."""
    imports = set()  # type: set[str]
    functions = {}  # type: dict[str, dict[str, Any]]
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            imports.update(name for name in names if name.partition(".")[0] in TOOLS)
        renamed = {
            alias.asname: alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname
        }
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                decorators = [renamed.get(name, name) for name in map(_last_name, node.decorator_list) if name]
                first = node.args.args[0].arg if node.args.args else None
                functions[node.name] = {"decorators": decorators, "first": first}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in TOOLS and not node.level:
                for alias in node.names:  # functions that the tools have ready, and that a package offers as its own
                    functions.setdefault(alias.asname or alias.name, {"from": node.module, "name": alias.name})
    return {"imports": sorted(imports), "functions": functions}


def _last_name(decorator: "ast.AST") -> "str | None":
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else None


def main() -> None:
    """Print it."""
    module = (sys.argv[1] if len(sys.argv) > 1 else "") or os.environ.get("PKG_NAME", "")
    files = sources(module) if module else []
    told = {"python": list(sys.version_info[:3]), "versions": versions(), "module": module, "found": bool(files)}
    told.update(read(files), ours=named())
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
