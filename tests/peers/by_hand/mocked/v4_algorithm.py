"""The algorithm that the mock of v4 runs."""

import sys

from vantage6.algorithm.tools.decorators import algorithm_client, data, metadata

calls = 0


@data(1)
def ages(frame):
    return frame["age"].tolist()


@data(1)
def picky(frame):
    if 5 in frame["age"].tolist():
        raise ValueError("on purpose")
    return "well"


@data(1)
def leaves(frame):
    sys.exit(3)


@data(1)
def counts(frame):
    global calls  # noqa: PLW0603 - the test is about globals
    calls += 1
    return calls


@data(2)
def both(first, second):
    return [first["age"].tolist(), second["age"].tolist()]


def keys(value):
    return [type(key).__name__ for key in value]


@metadata
def organization_id(run):
    return run.organization_id


@algorithm_client
def central(client, organizations):
    task = client.task.create(input_={"method": "ages"}, organizations=organizations)
    return {"task": task["id"], "parent": task["parent"], "results": client.wait_for_results(task["id"])}
