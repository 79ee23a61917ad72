"""Every test starts with an empty registry; the validators of the stores are installed once per session."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ...conftest import AVERAGE
from .stores import Store, install


@pytest.fixture(autouse=True)
def clean(nothing_registered: None) -> None:
    """Restore the registry, the imported modules and the search path after each test."""


@pytest.fixture
def average(tmp_path: Path) -> Path:
    """A copy of the example, whose modules ``clean`` removes."""
    return Path(shutil.copytree(AVERAGE, tmp_path / "average"))


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Store]]:
    """Generation -> the validator of a released store."""
    folders = install(tmp_path_factory.mktemp("stores"))
    with closing(Store(folders[4])) as v4, closing(Store(folders[5])) as v5:
        yield {4: v4, 5: v5}
