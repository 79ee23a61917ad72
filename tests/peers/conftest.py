"""Tests with algorithms that are written with the peers' tools."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from .environments import PEERS, install_peer


@pytest.fixture(scope="session")
def peer_python() -> Callable[[str], Path]:
    """Return a function that returns the interpreter with the packages of ``v3``, ``v4`` or ``v5``."""
    cached_install = cache(install_peer)

    def get_python(generation: str) -> Path:
        python = cached_install(generation)
        if python is None:
            pytest.skip(
                f"no Python {' or '.join(PEERS[generation].pythons)} here for {PEERS[generation].requirements[0]}"
            )
        return python

    return get_python
