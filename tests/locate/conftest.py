"""Every test starts with an empty registry."""

from pathlib import Path

import pytest

from ..conftest import ALGORITHMS


@pytest.fixture(autouse=True)
def clean(nothing_registered: None) -> None:
    """What is registered, imported and on the path is afterwards as it was before."""


@pytest.fixture
def algorithms() -> Path:
    return ALGORITHMS
