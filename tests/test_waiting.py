"""Every call that waits for another program has a time limit, or a reason for having none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT

WITH_TIMEOUT = {"run", "check_output", "check_call", "communicate", "urlopen", "create_connection", "request", "build"}
"""Functions and methods of subprocess, urllib, socket, requests and docker-py that can wait for another program."""

OWNERS = {"subprocess", "process", "socket", "session", "_session", "requests", "urllib", "api"}
"""Names of the values in front of the dot. Other objects have methods of these names, too."""

NO_LIMIT = {
    "runtime/packaging.py": "pip has limits of its own, and the build of an image has another",
}


def list_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((ROOT / "algotools").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WITH_TIMEOUT:
                owner = node.func.value
                name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if name in OWNERS:
                    yield str(path.relative_to(ROOT / "algotools")), node


CALLS = [pytest.param(path, node, id=f"{path}:{node.lineno}") for path, node in list_calls()]


@pytest.mark.parametrize(("path", "node"), CALLS)
def test_a_call_that_waits_has_a_time_limit(path: str, node: ast.Call) -> None:
    assert "timeout" in {keyword.arg for keyword in node.keywords} or path in NO_LIMIT


def test_the_calls_are_found() -> None:
    modules = {Path(path).name for path, _ in list_calls()}
    assert {
        "build.py",
        "_build_stream.py",
        "_registry.py",
        "_credentials.py",
        "_generation.py",
        "packaging.py",
    } <= modules


def test_each_exception_is_needed() -> None:
    unlimited = {path for path, node in list_calls() if "timeout" not in {keyword.arg for keyword in node.keywords}}
    assert unlimited == set(NO_LIMIT)
