"""The algorithm that the mock of v5 runs."""

import sys

import pandas as pd
from vantage6.algorithm.decorator import (
    algorithm_client,
    data_extraction,
    dataframe,
    federated,
    metadata,
    preprocessing,
)
from vantage6.algorithm.decorator import (
    central as a_central,
)

calls = 0


@federated
@dataframe(1)
def ages(frame):
    return frame["age"].tolist()


@federated
@dataframe(1)
def picky(frame):
    if 5 in frame["age"].tolist():
        raise ValueError("on purpose")
    return "well"


@federated
@dataframe(1)
def leaves(frame):
    sys.exit(3)


@federated
@dataframe(1)
def counts(frame):
    global calls  # noqa: PLW0603 - the test is about globals
    calls += 1
    return calls


@federated
@dataframe(2)
def both(first, second):
    return [first["age"].tolist(), second["age"].tolist()]


@federated
def keys(value):
    return [type(key).__name__ for key in value]


@federated
def a_set():
    return {1, 2}


@federated
@metadata
def has_a_folder(run):
    return run.temporary_directory.is_dir()


@a_central
@algorithm_client
def central(client, organizations):
    task = client.task.create(method="ages", organizations=organizations)
    return {"task": task["id"], "parent": task["parent"], "results": client.wait_for_results(task["id"])}


@data_extraction
def reads(details):
    return pd.read_csv(details["uri"])


@preprocessing
def halves(frame):
    return frame / 2
