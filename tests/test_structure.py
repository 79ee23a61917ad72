"""The shape of the package: imports go one way, and a container loads nothing that only a laptop needs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest

from .conftest import ROOT

PACKAGE = ROOT / "algotools"

LAYERS = [
    {"errors"},
    {"task", "report"},
    {"payload"},
    {"data", "client"},
    {"arguments"},
    {"functions"},
    {"extraction"},
    {"locate"},
    {"contract", "guard", "debug", "output", "confine"},
    {"dispatch"},
    {"container", "packaging"},
    {"describe", "image", "__main__"},
    {"federation"},
    {"check", "scaffold", "store", "testing"},
    {"cli"},
]
"""Rooms, from the bottom up: each imports from its own layer and those below."""

LAPTOP = {"federation", "describe", "image", "check", "scaffold", "store", "testing", "cli"}


def rooms() -> dict[str, set[str]]:
    """Room -> the rooms that it imports, anywhere in its files."""
    found: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        relative = file.relative_to(PACKAGE)
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = (
                    [f"{node.module}.{alias.name}" for alias in node.names]
                    if node.module == "algotools"
                    else [node.module]
                )
            for module in modules:
                parts = module.split(".")
                if parts[0] == "algotools" and len(parts) > 1 and parts[1] != "__version__":
                    found.setdefault(room, set()).add(parts[1])
    return {room: imported - {room} for room, imported in found.items()}


def test_every_room_has_its_layer() -> None:
    there = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert there - {"__init__", "__pycache__"} == set().union(*LAYERS)


@pytest.mark.parametrize("room", sorted(set().union(*LAYERS)))
def test_imports_go_one_way(room: str) -> None:
    height = next(position for position, layer in enumerate(LAYERS) if room in layer)
    allowed = set().union(*LAYERS[: height + 1])
    assert rooms().get(room, set()) <= allowed


@pytest.mark.parametrize("room", sorted(set().union(*LAYERS) - LAPTOP))
def test_what_runs_in_a_container_imports_nothing_of_the_laptop(room: str) -> None:
    assert not rooms().get(room, set()) & LAPTOP


def test_a_container_that_needs_no_pandas_loads_none(by_hand, misbehaving) -> None:
    ended = by_hand.run(by_hand.environment(misbehaving, b'{"method": "loaded_modules"}'))
    loaded = set(json.loads(ended.output))
    assert "algotools" in loaded
    assert not loaded & {"pandas", "numpy", "yaml", "typer", "rich", "http", "ssl", "asyncio"}


def loaded_by(module: str) -> list[str]:
    """The modules that an import loads."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = loaded_by("algotools")
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["algotools"]


def test_a_federation_loads_what_reads_data_only_for_those_who_need_it() -> None:
    assert not {"pandas", "pyarrow", "numpy", "docker", "sqlalchemy"} & set(loaded_by("algotools.federation"))
