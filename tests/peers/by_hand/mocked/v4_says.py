"""What v4's mock says, a question a function."""

import json
import os

import pandas as pd
from vantage6.algorithm.tools.mock_client import MockAlgorithmClient

FRAMES = [pd.DataFrame({"age": [1]}), pd.DataFrame({"age": [5]}), pd.DataFrame({"age": [9]})]


def client(**more):
    return MockAlgorithmClient([[{"database": frame}] for frame in FRAMES], "v4_algorithm", **more)


def ask(at, method, organizations, **kwargs):
    task = at.task.create(input_={"method": method, "kwargs": kwargs}, organizations=organizations)
    return at.wait_for_results(task["id"])


def first_organization():
    return client().organization.list()[0]["id"]


def order_for_a_container():
    return ask(client(), "ages", [1, 0, 2])


def two_tables():
    both = [{"database": FRAMES[0]}, {"database": FRAMES[1]}]
    return ask(MockAlgorithmClient([both], "v4_algorithm"), "both", [0])[0]


def a_database_too_many():
    both = [{"database": FRAMES[0]}, {"database": FRAMES[1]}]
    try:
        return ask(MockAlgorithmClient([both], "v4_algorithm"), "ages", [0])[0]
    except TypeError:
        return "TypeError in the caller"


def one_fails():
    at = client()
    try:
        return ask(at, "picky", [0, 1, 2])
    except ValueError:
        return f"ValueError in the caller, {len(at.runs)} run on record"


def one_exits():
    try:
        return ask(client(), "leaves", [0])
    except SystemExit:
        return "the caller's process ends"


def own_task():
    at = client()
    task = at.task.create(input_={"method": "ages"}, organizations=[0])
    found = at.task.get(task["id"])
    return "another one" if "msg" in found else "found"


def globals_of_the_module():
    return ask(client(), "counts", [0, 1, 2])


def keys_of_an_argument():
    return ask(client(), "keys", [0], value={1: "one"})[0]


def own_organization():
    try:
        return ask(client(), "who", [1])[0]
    except KeyError:
        return "KeyError in the caller"


def subtask():
    at = client()
    task = at.task.create(input_={"method": "central", "kwargs": {"organizations": [0, 1]}}, organizations=[0])
    (told,) = at.wait_for_results(task["id"])
    return {"id is new": told["task"] != task["id"], "names its parent": told["parent"] is not None}


def node_of_a_run():
    at = client(node_ids=[10, 11, 12], organization_ids=[4, 5, 6])
    task = at.task.create(input_={"method": "ages"}, organizations=[5])
    (run,) = at.run.from_task(task["id"])
    return run["node"]["id"] == run["organization"]["id"]


def tell(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
