"""What v3's mocks say, a question a function: ``ClientMockProtocol`` where its name says so."""

import json
import os
import pathlib

import pandas as pd
from vantage6.tools.mock_client import ClientMockProtocol, MockAlgorithmClient

FRAMES = [pd.DataFrame({"age": [1]}), pd.DataFrame({"age": [5]}), pd.DataFrame({"age": [9]})]


def client():
    return MockAlgorithmClient([{"database": frame} for frame in FRAMES], "v3_algorithm")


def protocol():
    folder = pathlib.Path(os.environ["OUTPUT_FILE"]).parent
    paths = [folder / f"{number}.csv" for number in range(len(FRAMES))]
    for frame, path in zip(FRAMES, paths):  # noqa: B905 - runs on Python 3.9 too
        frame.to_csv(path, index=False)
    return ClientMockProtocol([str(path) for path in paths], "v3_algorithm")


def ask(at, method, organizations, **kwargs):
    input_ = {"method": method, "kwargs": kwargs, "output_format": "json"}
    task = at.task.create(input_=input_, organization_ids=organizations)
    return at.result.get(task["id"])


def first_organization():
    return client().organization.list()[0]["id"]


def protocol_first_organization():
    return protocol().get_organizations_in_my_collaboration()[0]["id"]


def complete():
    return client().task.create(input_={"method": "ages"}, organization_ids=[0])["complete"]


def protocol_complete():
    return protocol().create_new_task(input_={"method": "ages"}, organization_ids=[0])["complete"]


def id_of_the_first_task_is_true():
    return bool(client().task.create(input_={"method": "ages"}, organization_ids=[0])["id"])


def ids_of_results_differ():
    task = client().task.create(input_={"method": "ages"}, organization_ids=[0, 1])
    return len({result["id"] for result in task["results"]}) == 2


def one_fails():
    at = client()
    try:
        return ask(at, "picky", [0, 1, 2])
    except ValueError:
        return f"ValueError in the caller, {len(at.tasks)} tasks on record"


def a_set():
    return type(ask(client(), "a_set", [0])[0]).__name__


def a_tuple():
    return type(ask(client(), "a_tuple", [0])[0]).__name__


def globals_of_the_module():
    return ask(client(), "counts", [0, 1, 2])


def data_of_the_next_task():
    at = client()
    ask(at, "spoils", [0])
    return ask(at, "ages", [0])[0]


def keys_of_an_argument():
    return ask(client(), "keys", [0], value={1: "one"})[0]


def subtask():
    at = client()
    input_ = {"method": "central", "master": True, "kwargs": {"organizations": [0, 1]}}
    task = at.task.create(input_=input_, organization_ids=[0])
    (told,) = at.result.get(task["id"])
    return {"id is new": told["task"] != task["id"], "names its parent": told["parent"] is not None}


def tell(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
