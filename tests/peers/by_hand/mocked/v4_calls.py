"""The calls of v4's mock, one function per call."""

import json
import os

import pandas as pd
from vantage6.algorithm.tools.mock_client import MockAlgorithmClient

FRAMES = [pd.DataFrame({"age": [1]}), pd.DataFrame({"age": [5]}), pd.DataFrame({"age": [9]})]


def client(**more):
    return MockAlgorithmClient([[{"database": frame}] for frame in FRAMES], "v4_algorithm", **more)


def run_method(mock, method, organizations, **kwargs):
    task = mock.task.create(input_={"method": method, "kwargs": kwargs}, organizations=organizations)
    return mock.wait_for_results(task["id"])


def first_organization():
    return client().organization.list()[0]["id"]


def order_for_a_container():
    return run_method(client(), "ages", [1, 0, 2])


def two_tables():
    databases = [{"database": FRAMES[0]}, {"database": FRAMES[1]}]
    return run_method(MockAlgorithmClient([databases], "v4_algorithm"), "both", [0])[0]


def one_database_too_many():
    databases = [{"database": FRAMES[0]}, {"database": FRAMES[1]}]
    try:
        return run_method(MockAlgorithmClient([databases], "v4_algorithm"), "ages", [0])[0]
    except TypeError:
        return "TypeError in the caller"


def one_run_fails():
    mock = client()
    try:
        return run_method(mock, "picky", [0, 1, 2])
    except ValueError:
        return f"ValueError in the caller, {len(mock.runs)} run on record"


def one_run_exits():
    try:
        return run_method(client(), "leaves", [0])
    except SystemExit:
        return "the caller's process ends"


def own_task():
    mock = client()
    task = mock.task.create(input_={"method": "ages"}, organizations=[0])
    task_again = mock.task.get(task["id"])
    return "another one" if "msg" in task_again else "found"


def globals_of_the_module():
    return run_method(client(), "counts", [0, 1, 2])


def keys_of_an_argument():
    return run_method(client(), "keys", [0], value={1: "one"})[0]


def own_organization():
    try:
        return run_method(client(), "organization_id", [1])[0]
    except KeyError:
        return "KeyError in the caller"


def subtask():
    mock = client()
    task = mock.task.create(input_={"method": "central", "kwargs": {"organizations": [0, 1]}}, organizations=[0])
    (result,) = mock.wait_for_results(task["id"])
    return {"id is new": result["task"] != task["id"], "names its parent": result["parent"] is not None}


def node_of_a_run():
    mock = client(node_ids=[10, 11, 12], organization_ids=[4, 5, 6])
    task = mock.task.create(input_={"method": "ages"}, organizations=[5])
    (run,) = mock.run.from_task(task["id"])
    return run["node"]["id"] == run["organization"]["id"]


def write_result(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
