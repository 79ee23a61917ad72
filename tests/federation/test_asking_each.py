"""``client.run`` at real nodes: each organization's own arguments, answers as they come, limits, failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import Federation
from algotools.federation import Dead, Slow

from ..conftest import ALGORITHMS

FRAMES = [pd.DataFrame({"x": [1.0] * rows}) for rows in (4, 2, 3, 1)]


@pytest.fixture(scope="module", params=[("inline", "v3"), ("process", "v4"), ("inline", "v5")], ids="-".join)
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """The first node is slow, the last is dead."""
    runner, contract = request.param
    faults = {2: Slow(0.7), 5: Dead()}
    options = {"runner": runner, "contract": contract, "faults": faults}
    with Federation(FRAMES, algorithm=ALGORITHMS / "tally", **options) as made:
        yield made


def test_each_by_its_own_arguments_as_they_come_and_whoever_gives_nothing_is_named(federation: Federation) -> None:
    arguments: dict[str, Any] = {"column": "x", "minimums": [1, 3, 3, 1], "timeout": 3.0}
    [found] = federation.run("as_they_come", at=[3], arguments=arguments)
    assert found["order"] == [[4, 3], [2, 4]]
    assert found["failures"] == {
        "3": "crashed: fewer than 3 rows have a value [exit code 41]",
        "5": "no answer within 3 s (status: pending; its node is offline)",
    }
