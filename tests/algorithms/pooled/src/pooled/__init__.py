"""The analysis of ``peer_v3``, ``peer_v4`` and ``peer_v5``, written with algotools."""

import sys

import pandas as pd

from algotools import AlgorithmClient, Column, RunInfo, master, rpc


@master
def central(client: AlgorithmClient, column: str) -> dict[str, object]:
    results = client.run(partial, organizations=list(client.organizations), column=column)
    return {
        "average": sum(result["sum"] for result in results) / sum(result["count"] for result in results),
        "count": sum(result["count"] for result in results),
        "organizations": list(client.organizations),
        "order": [result["count"] for result in results],
    }


@rpc
def partial(data: pd.DataFrame, column: Column) -> dict[str, float]:
    values = data[column].dropna()
    return {"sum": float(values.sum()), "count": int(values.count())}


@rpc
def two(first: pd.DataFrame, other: pd.DataFrame) -> list[list[str]]:
    return [list(first.columns), list(other.columns)]


@rpc
def variables(info: RunInfo, name: str = "kept") -> dict[str, object]:
    assert info.temporary_folder is not None
    (info.temporary_folder / name).write_text("kept")
    return {
        "greeting": info.variables.get("GREETING"),
        "kept": sorted(path.name for path in info.temporary_folder.iterdir()),
    }


@rpc
def fails(data: pd.DataFrame) -> None:
    raise ValueError("it is broken")


@rpc
def exits(data: pd.DataFrame) -> None:
    sys.exit(3)
