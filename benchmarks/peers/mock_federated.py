"""The mock of vantage6 for ``federation.py``: the average of a column with ``vantage6_image/federated_average``."""

from typing import Any

from timing import PARAMETERS, make_frames, measure_task
from vantage6.algorithm.tools.mock_client import MockAlgorithmClient


def main() -> None:
    """Create the mock from files or frames, and run the central function at one organization."""
    if "frames" in PARAMETERS:
        databases: list[dict[str, Any]] = [{"database": frame} for frame in make_frames()]
    else:
        databases = [{"database": path, "db_type": "csv"} for path in PARAMETERS["databases"]]
    client = MockAlgorithmClient([[database] for database in databases], module="federated_average")
    organizations = [organization["id"] for organization in client.organization.list()]

    def average() -> float:
        call = {"method": "average", "kwargs": {"column_name": PARAMETERS["column"]}}
        task = client.task.create(input_=call, organizations=organizations[:1])
        return float(client.wait_for_results(task_id=task["id"])[0]["average"])

    measure_task(average)


main()
