import math
from typing import Any

from algotools import AlgorithmClient, log, master


@master
def central(client: AlgorithmClient, column: str, organizations_to_include: list[int] | None = None) -> dict[str, Any]:
    if not organizations_to_include:
        organizations = client.organization.list()
        organizations_to_include = [organization.get("id") for organization in organizations]

    log("Defining input parameters")
    input_ = {"method": "partial", "kwargs": {"column": column}}

    log("Creating subtask for all organizations")
    task = client.task.create(
        input_=input_,
        organizations=organizations_to_include,
        name="My subtask",
        description="This is a very important subtask",
    )

    log("Waiting for results")
    results = client.wait_for_results(task_id=task.get("id"), interval=0.1)

    total = sum(result["sum"] for result in results)
    count = sum(result["count"] for result in results)
    mean = total / count

    second = client.task.create({"method": "moments", "args": [column, mean]}, organizations_to_include)
    squares = [sum(result["squares"]) for result in client.wait_for_results(second["id"], interval=0.1)]
    return {
        "mean": mean,
        "spread": math.sqrt(sum(squares) / (count - 1)),
        "counts": [result["count"] for result in results],
        "collaboration": client.collaboration.get()["name"],
    }


@master
def use_every_call(client: AlgorithmClient, column: str, organizations: list[int]) -> dict[str, Any]:
    """Use all other calls of the client."""
    task = client.task.create(input_={"method": "partial", "kwargs": {"column": column}}, organizations=organizations)
    client.wait_for_results(task["id"])
    runs = client.run.from_task(task["id"])
    run = client.run.get(runs[0]["id"])
    return {
        "task": client.task.get(task["id"]),
        "created": task,
        "runs": runs,
        "run": run,
        "organizations": client.organization.list(),
        "organization": client.organization.get(client.organization_id),
        "collaboration": client.collaboration.get(),
        "client": {
            "image": client.image,
            "databases": client.databases,
            "node_id": client.node_id,
            "organization_id": client.organization_id,
            "collaboration_id": client.collaboration_id,
            "study_id": client.study_id,
            "store_id": client.store_id,
        },
    }


@master
def two_at_once(client: AlgorithmClient, column: str, organizations: list[int]) -> list[Any]:
    """Return the types of an rpc's results; wait for the second task before the first."""
    first = client.task.create({"method": "moments", "kwargs": {"column": column, "mean": 0}}, organizations)
    second = client.task.create({"method": "partial", "args": [column]}, organizations)
    counts = [result["count"] for result in client.result.from_task(second["id"])]
    squares = [result["squares"] for result in client.result.from_task(first["id"])]
    return [counts, [[type(array).__name__, len(array)] for array in squares]]


@master
def v5_style_call(client: AlgorithmClient, column: str, organizations: list[int]) -> list[Any]:
    task = client.task.create(method="partial", arguments={"column": column}, organizations=organizations)
    return client.wait_for_results(task_id=task["id"], quorum=1)


@master
def ignore_results(client: AlgorithmClient, column: str) -> str:
    client.task.create(input_={"method": "partial", "kwargs": {"column": column}})
    return "done"
