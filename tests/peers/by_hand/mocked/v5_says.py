"""What v5's mock says, a question a function."""

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


def of_two_tables():
    return MockNetwork("v5_algorithm", [{"one": {"database": FRAMES[0]}, "two": {"database": FRAMES[1]}}])


def of_files():
    folder = pathlib.Path(os.environ["OUTPUT_FILE"]).parent
    FRAMES[0].to_csv(folder / "first.csv", index=False)
    return MockNetwork("v5_algorithm", [{"default": {"database": str(folder / "first.csv"), "db_type": "csv"}}])


def ask(at, method, organizations, databases=FIRST, **kwargs):
    task = at.task.create(method=method, organizations=organizations, arguments=kwargs, databases=databases)
    return at.wait_for_results(task["id"])


def first_organization():
    return network().user_client.organization.list()[0]["id"]


def order_for_a_container():
    return ask(network().user_client, "ages", [2, 1, 3])


def two_tables():
    return ask(of_two_tables().user_client, "both", [1], BOTH)[0]


def a_database_too_many():
    try:
        return ask(of_two_tables().user_client, "ages", [1], BOTH)[0]
    except SystemExit:
        return "the caller's process ends"


def an_argument_of_one_table():
    """As the real client posts it."""
    try:
        return ask(network().user_client, "ages", [1], [FIRST])[0]
    except SystemExit:
        return "the caller's process ends"


def one_fails():
    at = network()
    try:
        return ask(at.user_client, "picky", [1, 2, 3])
    except SystemExit:
        return f"the caller's process ends, {len(at.hq.runs)} run on record"


def one_exits():
    try:
        return ask(network().user_client, "leaves", [1])
    except SystemExit:
        return "the caller's process ends"


def a_set():
    try:
        return ask(network().user_client, "a_set", [1])
    except TypeError:
        return "TypeError in the caller"


def unknown_method():
    try:
        return ask(network().user_client, "nowhere", [1])
    except SystemExit:
        return "the caller's process ends"


def own_task():
    at = network().user_client
    return at.task.get(at.task.create(method="ages", organizations=[1], databases=FIRST)["id"])


def collaboration():
    try:
        return network().user_client.collaboration.get(1)["id"]
    except AttributeError:
        return "AttributeError in the caller"


def result_of_a_run():
    at = network().user_client
    task = at.task.create(method="ages", organizations=[1], databases=FIRST)
    (run,) = at.run.from_task(task["id"])
    try:
        return at.result.get(run["results"]["id"])
    except AttributeError:
        return "AttributeError in the caller"


def organization_of_a_run():
    at = network().user_client
    task = at.task.create(method="ages", organizations=[3], databases=FIRST)
    (run,) = at.run.from_task(task["id"])
    return run["organization"]["id"] == 3


def globals_of_the_module():
    return ask(network().user_client, "counts", [1, 2, 3])


def keys_of_an_argument():
    return ask(network().user_client, "keys", [1], value={1: "one"})[0]


def a_folder():
    return ask(network().user_client, "has_a_folder", [1])[0]


def subtask():
    at = network().user_client
    task = at.task.create(
        method="central", organizations=[1], arguments={"organizations": [1, 2]}, databases=FIRST
    )  # fmt: skip
    (told,) = at.wait_for_results(task["id"])
    return {"id is new": told["task"] != task["id"], "names its parent": told["parent"] is not None}


def a_table_that_no_node_can_keep():
    mixed = MockNetwork("v5_algorithm", [{"default": {"database": pd.DataFrame({"age": [1, "old"]})}}])
    return ask(mixed.user_client, "ages", [1])[0]


def type_of_a_column():
    at = of_extracted()
    return str(at.dataframe.preprocess(1, "image", "halves", {})["columns"][0]["dtype"])


def of_extracted(name="default"):
    at = of_files().user_client
    at.dataframe.create(label="default", method="reads", arguments={}, name=name)
    return at


def organizations_that_have_it():
    return of_extracted().dataframe.list()[0]["organizations_ready"]


def a_name_of_its_own():
    try:
        return ask(of_extracted("people"), "ages", [1])[0]
    except SystemExit:
        return "the caller's process ends"


def prepared():
    at = of_extracted()
    at.dataframe.preprocess(1, "image", "halves", {})
    return ask(at, "ages", [1])[0]


def two_of_one_name():
    at = of_extracted()
    at.dataframe.create(label="default", method="reads", arguments={}, name="default")
    return len(at.dataframe.list())


def tell(name):
    with open(os.environ["OUTPUT_FILE"], "w", encoding="utf-8") as file:
        json.dump(globals()[name](), file)
