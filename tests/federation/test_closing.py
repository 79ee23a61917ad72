"""Closing one of several federations whose workers are forks of the same process."""

from __future__ import annotations

import pandas as pd
import pytest

from algotools import Federation, rpc

FRAMES = [pd.DataFrame({"x": [1, 2]})]


@rpc
def count_of_rows(data: pd.DataFrame) -> int:
    return len(data)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the older federation first", "the newer federation first"])
def test_two_federations_of_functions_are_closed_in_either_order(order):
    federations = [Federation(FRAMES, algorithm=[count_of_rows], runner="process") for _ in range(2)]
    assert [federation.run(count_of_rows) for federation in federations] == [[2], [2]]

    for position in order:
        federations[position].close()
