"""Each function alone, and the whole over a local federation against the answer from all rows together."""

from pathlib import Path

import pandas as pd
import pytest
from algotools import RunsFailed, UserError
from algotools.testing import FederationFactory

from average import average, average_partial

DATA = sorted((Path(__file__).parents[1] / "data").glob("org?.csv"))


def test_a_partial_counts_what_has_a_value() -> None:
    frame = pd.DataFrame({"age": [50, 60, None]})
    assert average_partial(frame, column_name="age") == {"sum": 110, "count": 2}


def test_texts_do_not_leave_a_node_as_their_sum() -> None:
    with pytest.raises(UserError, match="does not hold numbers"):
        average_partial(pd.DataFrame({"name": ["Jane", "John"]}), column_name="name")


def test_the_federated_answer_is_the_pooled_answer(federation: FederationFactory) -> None:
    pooled = pd.concat([pd.read_csv(file) for file in DATA])["age"].mean()
    answer = federation(DATA).ask(average, column_name="age")
    assert answer == {"average": pytest.approx(pooled, rel=1e-12)}


def test_the_nodes_of_the_file_can_be_asked_in_part(federation: FederationFactory) -> None:
    nodes = federation("federation.yaml")
    pooled = pd.concat([pd.read_csv(file) for file in DATA[:2]])["age"].mean()
    answer = nodes.ask(average, at=2, column_name="age", organizations=[2, 3])
    assert answer == {"average": pytest.approx(pooled, rel=1e-12)}


def test_nothing_to_average_is_said(federation: FederationFactory) -> None:
    with pytest.raises(RunsFailed, match="none of the organizations has a value in the column"):
        federation([pd.DataFrame({"age": [None]})]).ask(average, column_name="age")


def test_a_node_without_the_column_is_named(federation: FederationFactory) -> None:
    frames = {"north": pd.DataFrame({"age": [50]}), "south": pd.DataFrame({"years": [60]})}
    with pytest.raises(RunsFailed, match="1 of 2 organizations failed: south"):
        federation(frames).ask(average, column_name="age")
