"""The calls of v3's mocks, one function per call; ``protocol`` in a name means ``ClientMockProtocol``."""

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


def run_method(mock, method, organizations, **kwargs):
    input_ = {"method": method, "kwargs": kwargs, "output_format": "json"}
    task = mock.task.create(input_=input_, organization_ids=organizations)
    return mock.result.get(task["id"])


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


def one_run_fails():
    mock = client()
    try:
        return run_method(mock, "picky", [0, 1, 2])
    except ValueError:
        return f"ValueError in the caller, {len(mock.tasks)} tasks on record"


def a_set():
    return type(run_method(client(), "a_set", [0])[0]).__name__


def a_tuple():
    return type(run_method(client(), "a_tuple", [0])[0]).__name__


def globals_of_the_module():
    return run_method(client(), "counts", [0, 1, 2])


def data_of_the_next_task():
    mock = client()
    run_method(mock, "spoils", [0])
    return run_method(mock, "ages", [0])[0]


def keys_of_an_argument():
    return run_method(client(), "keys", [0], value={1: "one"})[0]


def subtask():
    mock = client()
    input_ = {"method": "central", "master": True, "kwargs": {"organizations": [0, 1]}}
    task = mock.task.create(input_=input_, organization_ids=[0])
    (result,) = mock.result.get(task["id"])
    return {"id is new": result["task"] != task["id"], "names its parent": result["parent"] is not None}


def write_result(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
