"""Report, as JSON, the tools that an interpreter has, and a module's imports and functions, without importing it.

``_generation`` runs the source of this file in the interpreter of an image or of another environment. The argument, or
the variable ``PKG_NAME``, is the name of the module. So this file uses only the standard library, and runs on Python
3.6 and later.
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


def read_versions() -> "dict[str, str]":
    """Return the versions of the installed distributions."""
    metadata = _import_metadata()
    installed = {}
    for name in DISTRIBUTIONS:
        with contextlib.suppress(Exception):  # the distribution is not installed
            version = metadata.version(name) if metadata else _import_pkg_resources().get_distribution(name).version
            installed[name] = str(version)
    return installed


def list_algotools_modules() -> "list[str]":
    """Return the modules that entry points name as algorithms made with algotools."""
    metadata = _import_metadata()
    try:
        if metadata is None:
            points = list(_import_pkg_resources().iter_entry_points(GROUP))
            return [str(point.module_name) for point in points]
        points = metadata.entry_points()
        points = points.select(group=GROUP) if hasattr(points, "select") else points.get(GROUP, [])
        return [str(point.value).partition(":")[0].strip() for point in points]
    except Exception:
        return []


def _import_metadata() -> "Any":
    try:
        return importlib.import_module("importlib.metadata")
    except ImportError:  # Python 3.7 and earlier do not have it
        return None


def _import_pkg_resources() -> "Any":
    return importlib.import_module("pkg_resources")


def list_files(module: str) -> "list[Path]":
    """Return the source files of a module or package; empty if the module does not exist."""
    package, _, submodule = module.partition(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return []
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    if not folders:
        return [Path(str(spec.origin))] if not submodule and str(spec.origin).endswith(".py") else []
    inner = [folder.joinpath(*submodule.split(".")) if submodule else folder for folder in folders]
    files = [file for folder in inner for file in sorted(folder.rglob("*.py"))]
    return files + [file for file in (folder.with_suffix(".py") for folder in inner if submodule) if file.is_file()]


def read_files(files: "list[Path]") -> "dict[str, Any]":
    """Return the modules of the tools that source files import, and their top-level functions."""
    imports = set()  # type: set[str]
    functions = {}  # type: dict[str, dict[str, Any]]
    words = set()  # type: set[str]
    for file in files:
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            words.add("*")
            continue
        for node in ast.walk(tree):
            words.update(_find_words(node))
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
                decorators = [renamed.get(name, name) for name in map(_find_name, node.decorator_list) if name]
                first = node.args.args[0].arg if node.args.args else None
                functions[node.name] = {"decorators": decorators, "first": first}
                method = _find_method(node)
                if method:
                    functions[node.name]["method"] = method
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in TOOLS and not node.level:
                for alias in node.names:  # a function of the tools that the package may offer to tasks
                    functions.setdefault(alias.asname or alias.name, {"from": node.module, "name": alias.name})
    return {"imports": sorted(imports), "functions": functions, "words": sorted(words)}


def _find_words(node: "ast.AST") -> "set[str]":
    """Return the words in a part of a source that may name a function; ``*`` if any other name is possible."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {"*" if node.name == "__getattr__" else node.name}
    if isinstance(node, ast.alias):
        return {node.asname or node.name.rpartition(".")[2]}
    if isinstance(node, ast.Name):
        return {"*"} if node.id in ("globals", "setattr", "exec", "eval") else {node.id}
    # Before Python 3.8 a text is in the field `s`, which newer versions warn of.
    text = node.value if hasattr(node, "value") else getattr(node, "s", None)
    return {text} if isinstance(text, str) and text.isidentifier() else set()


def _find_method(function: "Any") -> str:
    """Return the method's name in a decorator's argument ``name=``; empty without one."""
    calls = [node for node in function.decorator_list if isinstance(node, ast.Call)]
    names = [getattr(k.value, "value", getattr(k.value, "s", "")) for c in calls for k in c.keywords if k.arg == "name"]
    return str(names[0]) if names and isinstance(names[0], str) else ""


def _find_name(decorator: "ast.AST") -> "str | None":
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(target, ast.Attribute):
        return target.attr
    return target.id if isinstance(target, ast.Name) else None


def main() -> None:
    """Print the report as one line of JSON."""
    module = (sys.argv[1] if len(sys.argv) > 1 else "") or os.environ.get("PKG_NAME", "")
    files = list_files(module) if module else []
    report: dict[str, Any] = {"python": list(sys.version_info[:3]), "versions": read_versions(), "module": module}
    report.update(read_files(files), module_exists=bool(files), algotools_modules=list_algotools_modules())
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
