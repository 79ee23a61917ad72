"""The analysis of ``pooled`` written with vantage6-algorithm-tools 5."""

import os
import sys
import time

import pandas as pd

from vantage6.algorithm.client import AlgorithmClient
from vantage6.algorithm.data_extraction import read_csv, read_excel, read_sql_database
from vantage6.algorithm.decorator import (
    algorithm_client,
    central as a_central,
    data_extraction,
    dataframe,
    dataframes,
    federated,
    metadata,
    preprocessing,
)
from vantage6.algorithm.decorator.metadata import RunMetaData
from vantage6.algorithm.tools.util import info, warn

__all__ = ["read_csv", "read_excel", "read_sql_database"]


@a_central
@algorithm_client
def central(client: AlgorithmClient, column: str):
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(method="partial", arguments={"column": column}, organizations=ids, name="partials")
    results = client.wait_for_results(task_id=task["id"], interval=0.1)
    info(f"{len(results)} results")
    return {
        "average": sum(result["sum"] for result in results) / sum(result["count"] for result in results),
        "count": sum(result["count"] for result in results),
        "organizations": ids,
        "order": [result["count"] for result in results],
    }


@a_central
@algorithm_client
def use_every_call(client: AlgorithmClient):
    """Use all other calls of the client."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(method="partial", arguments={"column": "age"}, organizations=ids)
    client.wait_for_results(task["id"], interval=0.1)
    runs = client.run.from_task(task["id"])
    return {
        "collaboration": client.collaboration.get()["name"],
        "organization": client.organization.get(client.organization_id)["name"],
        "parent": client.task.get(task["id"])["parent"]["id"],
        "runs": [[run["organization"]["id"], run["status"], run["action"]] for run in runs],
        "run": client.run.get(runs[0]["id"])["organization"]["id"],
        "databases": client.databases,
    }


@a_central
@algorithm_client
def run_failing_subtask(client: AlgorithmClient):
    """Return the information that a master gets about a failed subtask."""
    ids = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(method="fails", organizations=ids)
    results = client.wait_for_results(task["id"], interval=0.1)
    return {"status": client.task.get(task["id"])["status"], "results": results}


@federated
@dataframe(1)
def partial(df: pd.DataFrame, column: str):
    values = df[column].dropna()
    return {"sum": float(values.sum()), "count": int(values.count())}


@federated
@dataframe(2)
def two(first: pd.DataFrame, other: pd.DataFrame):
    return [list(first.columns), list(other.columns)]


@federated
@dataframes
def grouped(tables: dict):
    """Return the columns of several dataframes, which are one argument."""
    return {name: list(table.columns) for name, table in tables.items()}


@federated
@metadata
def variables(metadata: RunMetaData):
    return {
        "greeting": os.environ.get("GREETING"),
        "action": metadata.action,
        "session": metadata.temporary_directory.is_dir(),
        "files": [path.exists() for path in (metadata.input_file, metadata.output_file)],
    }


@federated
@dataframe(1)
def fails(df: pd.DataFrame):
    raise ValueError("it is broken")


@federated
def exits():
    sys.exit(3)


@federated
def waits(seconds: float):
    print("waiting", os.getpid(), flush=True)
    time.sleep(seconds)


@federated
def prints():
    print("printed")
    print("to standard error", file=sys.stderr)
    warn("warned")


@data_extraction
def read_upper(connection_details: dict):
    """A custom extraction, which gets the details of the database."""
    table = pd.read_csv(connection_details["uri"])
    return table.rename(columns=str.upper)


@preprocessing
@dataframe(1)
def older_than(df: pd.DataFrame, years: float):
    return df[df["age"] > years]
