"""The central function, which combines the results of the nodes."""

from typing import Any

from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.tools.decorators import algorithm_client


@algorithm_client
def average(client: AlgorithmClient, column_name: str, organizations: list[int] | None = None) -> dict[str, float]:
    """Return the average of a column over organizations (default: all organizations of the collaboration)."""
    members: list[dict[str, Any]] = client.organization.list()
    task = client.task.create(
        input_={"method": "average_partial", "kwargs": {"column_name": column_name}},
        organizations=organizations or [organization["id"] for organization in members],
        name="average_partial",
    )
    partials = client.wait_for_results(task_id=task["id"])
    return {"average": sum(partial["sum"] for partial in partials) / sum(partial["count"] for partial in partials)}
