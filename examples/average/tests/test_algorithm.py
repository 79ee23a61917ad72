"""Tests of each function, and of the federated result, which must equal the result from the pooled data."""

from pathlib import Path

import pandas as pd
import pytest
from algotools import RunsFailed, UserError
from algotools.testing import FederationFactory

from average import average, average_partial

DATA = sorted((Path(__file__).parents[1] / "data").glob("org?.csv"))


def test_a_partial_ignores_empty_cells() -> None:
    frame = pd.DataFrame({"age": [50, 60, None]})
    assert average_partial(frame, column_name="age") == {"sum": 110, "count": 2}


def test_a_column_of_texts_is_refused() -> None:
    with pytest.raises(UserError, match="does not hold numbers"):
        average_partial(pd.DataFrame({"name": ["Jane", "John"]}), column_name="name")


def test_the_federated_result_equals_the_pooled_result(federation: FederationFactory) -> None:
    pooled = pd.concat([pd.read_csv(file) for file in DATA])["age"].mean()
    result = federation(DATA).ask(average, column_name="age")
    assert result == {"average": pytest.approx(pooled, rel=1e-12)}


def test_some_nodes_of_the_federation_file_can_be_selected(federation: FederationFactory) -> None:
    nodes = federation("federation.yaml")
    pooled = pd.concat([pd.read_csv(file) for file in DATA[:2]])["age"].mean()
    result = nodes.ask(average, at=2, column_name="age", organizations=[2, 3])
    assert result == {"average": pytest.approx(pooled, rel=1e-12)}


def test_a_column_without_values_is_reported(federation: FederationFactory) -> None:
    # The policy `strict` would withhold the count of 0.
    nodes = federation([pd.DataFrame({"age": [None] * 4})], policy="standard")
    with pytest.raises(RunsFailed, match="none of the organizations has a value in the column"):
        nodes.ask(average, column_name="age")


def test_a_node_without_the_column_is_reported_by_name(federation: FederationFactory) -> None:
    frame = pd.DataFrame({"age": [50, 60, 70, 80] * 3})
    frames = {"north": frame, "south": frame.rename(columns={"age": "years"})}
    with pytest.raises(RunsFailed, match="1 of 2 organizations failed: south"):
        federation(frames).ask(average, column_name="age")
