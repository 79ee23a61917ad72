"""Each function alone, and the whole over a local federation against the answer from all rows together."""

from pathlib import Path

import pandas as pd
import pytest
from average import average_partial

from algotools import Federation, UserError

PROJECT = Path(__file__).parents[1]


def test_a_partial_counts_what_has_a_value() -> None:
    frame = pd.DataFrame({"age": [50, 60, None]})
    assert average_partial(frame, column_name="age") == {"sum": 110, "count": 2}


def test_texts_do_not_leave_a_node_as_their_sum() -> None:
    with pytest.raises(UserError, match="does not hold numbers"):
        average_partial(pd.DataFrame({"name": ["Jane", "John"]}), column_name="name")


@pytest.mark.parametrize("database", ["default", "my_other_database"])
@pytest.mark.parametrize("organizations", [[2, 3], [2, 3, 4]])
def test_the_federated_answer_is_the_pooled_answer(organizations: list[int], database: str) -> None:
    suffix = "" if database == "default" else "_other"
    files = [PROJECT / "data" / f"org{organization - 1}{suffix}.csv" for organization in organizations]
    pooled = pd.concat([pd.read_csv(file) for file in files])["age"].mean()
    with Federation.from_file(PROJECT / "federation.yaml", algorithm=PROJECT) as federation:
        client = federation.client()
        input_ = {"method": "master", "kwargs": {"column_name": "age"}, "master": True}
        task = client.task.create(collaboration=1, organizations=organizations, input=input_, database=database)
        assert federation.wait(task["id"], 30)
        for item in client.result.list(task=task["id"])["data"]:
            assert item["result"] == {"average": pytest.approx(pooled, rel=1e-12)}


def test_nothing_to_average_is_said() -> None:
    with Federation([pd.DataFrame({"age": [None]})], algorithm=PROJECT) as federation:
        input_ = {"method": "master", "kwargs": {"column_name": "age"}, "master": True}
        task = federation.client().task.create(collaboration=1, organizations=[2], input=input_)
        assert federation.wait(task["id"], 30)
        failure = federation.failure(federation.task(task["id"]).runs[0])
    assert failure is not None
    assert failure.message == "none of the organizations has a value in the column"
