"""Functions whose results may leave a node or not, depending on the policy of the node's owner."""

import os

import pandas as pd

from algotools import AlgorithmClient, Column, RunInfo, master, rpc


@rpc
def total(data: pd.DataFrame, column: Column) -> dict[str, float]:
    """Return the sum and the count of a column."""
    return {"sum": data[column].sum(), "count": len(data)}


@rpc
def values(data: pd.DataFrame, column: Column) -> list[float]:
    """Return each value of a column, so one number for each row."""
    return data[column].tolist()


@rpc
def missing_above(data: pd.DataFrame, column: Column, limit: int) -> list[float]:
    """Return a value for each row, which is missing if the row is above the limit."""
    return data[column].where(data[column] <= limit, float("nan")).tolist()


@rpc
def missing_mean(data: pd.DataFrame, column: Column) -> dict[str, float]:
    """Return the mean of no rows."""
    return {"mean": data[column].head(0).mean()}


@rpc
def visible_settings(info: RunInfo) -> list[str]:
    """Return the names of the policy's variables that the function can see."""
    return [name for name in (*info.variables, *os.environ) if name.startswith("ALGOTOOLS_POLICY")]


@master
def run_at_all(client: AlgorithmClient, method: str, column: Column) -> list[object]:
    """Return the results of an rpc at all nodes."""
    return list(client.run(method, column=column))
