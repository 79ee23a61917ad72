"""The structure of the package: imports have one direction, and containers load no code for authors' machines."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import grimp
import pytest

from .conftest import ROOT

PACKAGE = ROOT / "algotools"

ORDER = (
    "_fields", "errors", "task", "payload", "data", "disclosure", "declare", "runtime", "image", "federation",
    "project", "cli"
)  # fmt: skip
"""The packages and top-level modules. Each imports only its predecessors."""

PUBLIC = {
    "__main__": "runtime",
    "aggregate": "disclosure",
    "describe": "declare",
    "extraction": "runtime",
    "packaging": "runtime",
    "testing": "project",
}
"""Top-level module -> package whose names the module re-exports."""

LAPTOP = {"image", "federation", "project", "testing", "cli"}
"""The packages and modules that images do not contain."""

GRAPH = grimp.build_graph("algotools")

SOURCES = sorted(PACKAGE.rglob("*.py"))


def get_top(module: str) -> str:
    """Return the package or top-level module of a module; empty for ``algotools`` itself."""
    return ".".join(module.split(".")[1:2])


def list_imports() -> Iterator[tuple[str, str]]:
    """Yield each import between two modules of algotools."""
    for module in GRAPH.modules:
        for imported in GRAPH.find_modules_directly_imported_by(module):
            yield module, imported


def list_arrows() -> set[tuple[str, str]]:
    """Return the imports between packages and top-level modules."""
    pairs = {(get_top(module), get_top(imported)) for module, imported in list_imports()}
    return {(module, imported) for module, imported in pairs if module and imported and module != imported}


def test_each_package_is_in_the_order() -> None:
    names = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert names - {"__init__", "__pycache__", "template"} == {*ORDER, *PUBLIC}


@pytest.mark.parametrize("package", ORDER)
def test_imports_have_one_direction(package: str) -> None:
    predecessors = set(ORDER[: ORDER.index(package)])
    assert {imported for module, imported in list_arrows() if module == package} <= predecessors


@pytest.mark.parametrize("module", PUBLIC)
def test_a_public_module_re_exports_one_package(module: str) -> None:
    assert {imported for importer, imported in list_arrows() if importer == module} == {PUBLIC[module]}
    assert len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines()) < 20


def test_the_number_of_packages_and_arrows_is_limited() -> None:
    assert len(ORDER) <= 16
    assert len(list_arrows()) <= 60


def test_there_is_no_import_cycle() -> None:
    # ``algotools/__init__.py`` imports all public names, but only for type checkers.
    graph = {module: GRAPH.find_modules_directly_imported_by(module) - {"algotools"} for module in GRAPH.modules}
    graph.pop("algotools")
    while leaves := {module for module, imported in graph.items() if not imported & graph.keys()}:
        graph = {module: imported for module, imported in graph.items() if module not in leaves}
    assert not graph


def test_a_private_module_is_imported_only_in_its_folder() -> None:
    violations = [
        (module, imported)
        for module, imported in list_imports()
        for folder, _, name in [imported.rpartition(".")]
        if name.startswith("_") and not name.startswith("__") and not f"{module}.".startswith(f"{folder}.")
    ]
    assert not violations


def test_class_names_are_unique() -> None:
    names = Counter(
        node.name
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(PACKAGE)))
def test_a_module_has_at_most_400_lines(source) -> None:
    assert len(source.read_text(encoding="utf-8").splitlines()) <= 400


def test_an_image_contains_no_code_for_authors_machines() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"algotools/{name}" for name in LAPTOP - {"testing"}} <= set(ignored)
    assert not {(module, imported) for module, imported in list_arrows() if imported in LAPTOP and module not in LAPTOP}


def test_a_container_without_pandas_data_does_not_load_pandas(by_hand, misbehaving) -> None:
    completed = by_hand.run(by_hand.environment(misbehaving, b'{"method": "loaded_modules"}'))
    loaded = set(json.loads(completed.output))
    assert "algotools" in loaded
    assert not loaded & {"pandas", "numpy", "yaml", "typer", "rich", "http", "ssl", "asyncio"}


def list_loaded_modules(module: str) -> list[str]:
    """Return the modules that an import loads."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_no_other_modules() -> None:
    loaded = list_loaded_modules("algotools")
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["algotools"]


def test_importing_the_federation_does_not_load_data_libraries() -> None:
    assert not {"pandas", "pyarrow", "numpy", "docker", "sqlalchemy"} & set(list_loaded_modules("algotools.federation"))
