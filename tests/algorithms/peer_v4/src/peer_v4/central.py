from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import algorithm_client
from vantage6.algorithm.tools.util import info


@algorithm_client
def central(client: AlgorithmClient, column: str):
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(
        input_={"method": "partial", "kwargs": {"column": column}}, organizations=ids, name="partials"
    )
    results = client.wait_for_results(task_id=task["id"], interval=0.1)
    info(f"{len(results)} results")
    return {
        "average": sum(result["sum"] for result in results) / sum(result["count"] for result in results),
        "count": sum(result["count"] for result in results),
        "organizations": ids,
        "order": [result["count"] for result in results],
    }


@algorithm_client
def use_every_call(client: AlgorithmClient):
    """Use all other calls of the client."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(input_={"method": "partial", "args": ["age"]}, organizations=ids)
    client.wait_for_results(task["id"], interval=0.1)
    runs = client.run.from_task(task["id"])
    return {
        "collaboration": client.collaboration.get()["name"],
        "organization": client.organization.get(client.organization_id)["name"],
        "parent": client.task.get(task["id"])["parent"]["id"],
        "runs": [[run["organization"]["id"], run["status"]] for run in runs],
        "run": client.run.get(runs[0]["id"])["organization"]["id"],
        "databases": client.databases,
        "addresses": client.vpn.get_addresses(),
    }


@algorithm_client
def run_failing_subtask(client: AlgorithmClient):
    """Return the information that a master gets about a failed subtask."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(input_={"method": "fails"}, organizations=ids)
    results = client.wait_for_results(task["id"], interval=0.1)
    return {"status": client.task.get(task["id"])["status"], "results": results}
