"""Algorithms made with the peers' tools, and where those run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from .environments import PEERS, python_of


@pytest.fixture(scope="session")
def peer_python() -> Callable[[str], Path]:
    """Gives the interpreter with the packages of ``v3``, ``v4`` or ``v5``."""
    known = cache(python_of)

    def of(generation: str) -> Path:
        found = known(generation)
        if found is None:
            pytest.skip(
                f"no Python {' or '.join(PEERS[generation].pythons)} here for {PEERS[generation].requirements[0]}"
            )
        return found

    return of
