"""The peer's mock, for ``federation.py``: the average of a column, by ``vantage6_image/federated_average``."""

from typing import Any

from answering import ASKED, ask, frames
from vantage6.algorithm.tools.mock_client import MockAlgorithmClient


def main() -> None:
    """Make the mock of files or of frames, and ask its central function, which is sent to one organization."""
    if "frames" in ASKED:
        databases: list[dict[str, Any]] = [{"database": frame} for frame in frames()]
    else:
        databases = [{"database": path, "db_type": "csv"} for path in ASKED["databases"]]
    client = MockAlgorithmClient([[database] for database in databases], module="federated_average")
    everyone = [organization["id"] for organization in client.organization.list()]

    def average() -> float:
        call = {"method": "average", "kwargs": {"column_name": ASKED["column"]}}
        task = client.task.create(input_=call, organizations=everyone[:1])
        return float(client.wait_for_results(task_id=task["id"])[0]["average"])

    ask(average)


main()
