"""Each test starts with an empty registry, because tests decorate local functions with short names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from algotools.declare import functions


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Hide the functions of other test modules, and forget those of this test."""
    functions_of_others = dict(functions._registry)
    functions._registry.clear()
    yield
    functions._registry.clear()
    functions._registry.update(functions_of_others)
