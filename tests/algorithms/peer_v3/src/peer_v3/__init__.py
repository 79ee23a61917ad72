"""The analysis of ``pooled``, written for v3: a master gets a client and data, and an rpc's name begins with RPC_."""

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
    info(f"{len(results)} results")
    return {
        "average": sum(result["sum"] for result in results) / sum(result["count"] for result in results),
        "count": sum(result["count"] for result in results),
        "organizations": ids,
        "order": [result["count"] for result in results],
    }


def use_new_client(client, data, column):
    """Use the calls of the client that ``use_new_client=True`` selects."""
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


def run_failing_subtask(client, data):
    """Return the information that a master gets about a failed subtask."""
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
    """Return a value that only a pickle can contain."""
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
