"""The splits of ``prove``: every row is at exactly one node of each split, also rows with missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from algotools import Aggregator, Federation, federated
from algotools.errors import FederationError
from algotools.federation._prove import make_splits

FRAME = pd.DataFrame(
    {"id": [1.0, None, 2.0, None, 1.0, 3.0] * 3, "sex": pd.Categorical([*"fm", None] * 6), "row": range(18)}
)


@pytest.mark.parametrize("person", [None, "id", "sex"])
def test_every_row_is_at_exactly_one_node(person: str | None) -> None:
    splits = list(make_splits({"data": FRAME}, person))
    assert len(splits) >= 6
    for split in splits:
        rows = np.concatenate([tables["data"]["row"].to_numpy() for tables in split.nodes])
        assert sorted(rows) == list(FRAME["row"]), split.description


def test_the_rows_of_a_person_stay_at_one_node() -> None:
    for split in make_splits({"data": FRAME}, "id"):
        nodes = [set(tables["data"]["id"].dropna()) for tables in split.nodes]
        assert sum(map(len, nodes)) == 3, split.description


def test_the_rows_of_a_person_stay_at_one_node_in_all_tables() -> None:
    visits = pd.DataFrame({"id": ["b", "c", "c", "d"]})
    for split in make_splits({"people": pd.DataFrame({"id": [*"dcba"]}), "visits": visits}, "id"):
        for tables in split.nodes:
            assert set(tables["visits"]["id"]) == set(tables["people"]["id"]) - {"a"}, split.description


def test_a_function_that_reads_its_file_itself_has_no_rows_to_split(nothing_registered: None) -> None:
    @federated
    def count_lines(file: Path, total: Aggregator) -> int:
        return total.add(len(file.read_text().splitlines()))

    with pytest.raises(FederationError, match="count_lines reads its database itself"):
        Federation.prove(count_lines, FRAME)
