"""The calls of v5's mock, one function per call."""

import json
import os
import pathlib

import pandas as pd
from vantage6.algorithm.mock import MockNetwork

FRAMES = [pd.DataFrame({"age": [1]}), pd.DataFrame({"age": [5]}), pd.DataFrame({"age": [9]})]
FIRST = [{"type": "dataframe", "dataframe_id": 1}]
BOTH = [{"type": "dataframe", "dataframe_id": 1}, {"type": "dataframe", "dataframe_id": 2}]


def network():
    return MockNetwork("v5_algorithm", [{"default": {"database": frame}} for frame in FRAMES])


def network_with_two_tables():
    return MockNetwork("v5_algorithm", [{"one": {"database": FRAMES[0]}, "two": {"database": FRAMES[1]}}])


def network_with_file():
    folder = pathlib.Path(os.environ["OUTPUT_FILE"]).parent
    FRAMES[0].to_csv(folder / "first.csv", index=False)
    return MockNetwork("v5_algorithm", [{"default": {"database": str(folder / "first.csv"), "db_type": "csv"}}])


def run_method(mock, method, organizations, databases=FIRST, **kwargs):
    task = mock.task.create(method=method, organizations=organizations, arguments=kwargs, databases=databases)
    return mock.wait_for_results(task["id"])


def first_organization():
    return network().user_client.organization.list()[0]["id"]


def order_for_a_container():
    return run_method(network().user_client, "ages", [2, 1, 3])


def two_tables():
    return run_method(network_with_two_tables().user_client, "both", [1], BOTH)[0]


def one_database_too_many():
    try:
        return run_method(network_with_two_tables().user_client, "ages", [1], BOTH)[0]
    except SystemExit:
        return "the caller's process ends"


def argument_with_one_table():
    """Post the databases in the format of the real client."""
    try:
        return run_method(network().user_client, "ages", [1], [FIRST])[0]
    except SystemExit:
        return "the caller's process ends"


def one_run_fails():
    mock = network()
    try:
        return run_method(mock.user_client, "picky", [1, 2, 3])
    except SystemExit:
        return f"the caller's process ends, {len(mock.hq.runs)} run on record"


def one_run_exits():
    try:
        return run_method(network().user_client, "leaves", [1])
    except SystemExit:
        return "the caller's process ends"


def a_set():
    try:
        return run_method(network().user_client, "a_set", [1])
    except TypeError:
        return "TypeError in the caller"


def unknown_method():
    try:
        return run_method(network().user_client, "nowhere", [1])
    except SystemExit:
        return "the caller's process ends"


def own_task():
    mock = network().user_client
    return mock.task.get(mock.task.create(method="ages", organizations=[1], databases=FIRST)["id"])


def collaboration():
    try:
        return network().user_client.collaboration.get(1)["id"]
    except AttributeError:
        return "AttributeError in the caller"


def result_of_a_run():
    mock = network().user_client
    task = mock.task.create(method="ages", organizations=[1], databases=FIRST)
    (run,) = mock.run.from_task(task["id"])
    try:
        return mock.result.get(run["results"]["id"])
    except AttributeError:
        return "AttributeError in the caller"


def organization_of_a_run():
    mock = network().user_client
    task = mock.task.create(method="ages", organizations=[3], databases=FIRST)
    (run,) = mock.run.from_task(task["id"])
    return run["organization"]["id"] == 3


def globals_of_the_module():
    return run_method(network().user_client, "counts", [1, 2, 3])


def keys_of_an_argument():
    return run_method(network().user_client, "keys", [1], value={1: "one"})[0]


def a_folder():
    return run_method(network().user_client, "has_a_folder", [1])[0]


def subtask():
    mock = network().user_client
    task = mock.task.create(
        method="central", organizations=[1], arguments={"organizations": [1, 2]}, databases=FIRST
    )  # fmt: skip
    (result,) = mock.wait_for_results(task["id"])
    return {"id is new": result["task"] != task["id"], "names its parent": result["parent"] is not None}


def table_with_mixed_types():
    mixed = MockNetwork("v5_algorithm", [{"default": {"database": pd.DataFrame({"age": [1, "old"]})}}])
    return run_method(mixed.user_client, "ages", [1])[0]


def type_of_a_column():
    mock = client_with_table()
    return str(mock.dataframe.preprocess(1, "image", "halves", {})["columns"][0]["dtype"])


def client_with_table(name="default"):
    mock = network_with_file().user_client
    mock.dataframe.create(label="default", method="reads", arguments={}, name=name)
    return mock


def organizations_with_the_table():
    return client_with_table().dataframe.list()[0]["organizations_ready"]


def custom_name():
    try:
        return run_method(client_with_table("people"), "ages", [1])[0]
    except SystemExit:
        return "the caller's process ends"


def prepared():
    mock = client_with_table()
    mock.dataframe.preprocess(1, "image", "halves", {})
    return run_method(mock, "ages", [1])[0]


def duplicate_name():
    mock = client_with_table()
    mock.dataframe.create(label="default", method="reads", arguments={}, name="default")
    return len(mock.dataframe.list())


def write_result(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
