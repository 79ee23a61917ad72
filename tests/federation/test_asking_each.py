"""``client.run`` with separate arguments for each organization, ``as_completed``, a timeout and failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from algotools import Federation, RunsIncomplete
from algotools.federation import Dead, Slow

from ..conftest import ALGORITHMS

FRAMES = [pd.DataFrame({"x": [1.0] * rows}) for rows in (4, 2, 3, 1)]


@pytest.fixture(scope="module", params=[("inline", "v3"), ("process", "v4"), ("inline", "v5")], ids="-".join)
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """A federation whose first node is slow and whose last node is dead."""
    runner, contract = request.param
    faults = {2: Slow(0.7), 5: Dead()}
    options = {"runner": runner, "contract": contract, "faults": faults}
    with Federation(FRAMES, algorithm=ALGORITHMS / "tally", **options) as federation:
        yield federation


def test_results_arrive_as_completed_and_missing_results_are_reported(federation: Federation) -> None:
    arguments: dict[str, Any] = {"column": "x", "minimums": [1, 3, 3, 1], "timeout": 3.0}
    with pytest.warns(RunsIncomplete, match="incomplete: 2 of 4 organizations"):
        [result] = federation.run("tally_as_completed", at=[3], arguments=arguments)
    assert result["order"] == [[4, 3], [2, 4]]
    assert result["failures"] == {
        "3": "crashed: fewer than 3 rows have a value [exit code 41]",
        "5": "no result within 3 s (status: pending; its node is offline)",
    }
