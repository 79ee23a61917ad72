"""The analysis of ``pooled`` as it is written for v3: a master takes a client and data, an rpc's name begins with RPC_."""

import os
import sys
import time
from pathlib import Path

from vantage6.tools.util import info, warn


def central(client, data, column):
    ids = [organization["id"] for organization in client.get_organizations_in_my_collaboration()]
    task = client.create_new_task(input_={"method": "partial", "kwargs": {"column": column}}, organization_ids=ids)
    while not client.get_task(task["id"])["complete"]:
        time.sleep(0.1)
    results = client.get_results(task["id"])
    info(f"{len(results)} answers")
    return {
        "average": sum(result["sum"] for result in results) / sum(result["count"] for result in results),
        "count": sum(result["count"] for result in results),
        "organizations": ids,
        "order": [result["count"] for result in results],
    }


def with_the_new_client(client, data, column):
    """For ``use_new_client=True``."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(
        input_={"method": "partial", "args": [column]}, organization_ids=ids, name="new", description="its client"
    )
    while not client.task.get(task["id"])["complete"]:
        time.sleep(0.1)
    return {
        "order": [result["count"] for result in client.result.get(task["id"])],
        "collaboration": client.collaboration.get()["name"],
        "organization": client.organization.get(client.organization_id)["name"],
        "addresses": client.vpn.get_addresses(),
    }


def asks_the_failing(client, data):
    """What a master hears of a subtask that fails."""
    task = client.create_new_task(
        input_={"method": "fails"}, organization_ids=[o["id"] for o in client.get_organizations_in_my_collaboration()]
    )
    while not client.get_task(task["id"])["complete"]:
        time.sleep(0.1)
    return {"status": client.get_task(task["id"])["status"], "results": client.get_results(task["id"])}


def RPC_partial(data, column):
    values = data[column].dropna()
    return {"sum": float(values.sum()), "count": int(values.count())}


def RPC_table(data):
    """What only a pickle can hold."""
    return data


def RPC_variables(data, name="kept"):
    temporary = Path(os.environ["TEMPORARY_FOLDER"])
    (temporary / name).write_text("kept")
    return {
        "greeting": os.environ.get("GREETING"),
        "kept": sorted(path.name for path in temporary.iterdir()),
        "labels": os.environ["DB_LABELS"],
        "type": os.environ["DEFAULT_DATABASE_TYPE"],
    }


def RPC_fails(data):
    raise ValueError("it is broken")


def RPC_exits(data):
    sys.exit(3)


def RPC_waits(data, seconds):
    print("waiting", os.getpid(), flush=True)
    time.sleep(seconds)


def RPC_prints(data):
    print("printed")
    print("to standard error", file=sys.stderr)
    warn("warned")
    return None
