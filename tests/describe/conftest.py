"""Every test starts with an empty registry."""

import pytest


@pytest.fixture(autouse=True)
def clean(nothing_registered: None) -> None:
    """What is registered, imported and on the path is afterwards as it was before."""
