"""Functions for all steps of a session: extraction, preprocessing and computation."""

import os
import time
from pathlib import Path

import pandas as pd

from algotools import AlgorithmClient, Column, Database, RunInfo, master, rpc


@rpc(step="data_extraction")
def grown_ups(source: Database, at_least: int = 18) -> pd.DataFrame:
    """Extract from a database that the function reads itself."""
    table = pd.read_csv(source.uri)
    return table[table["age"] >= at_least]


@rpc(step="data_extraction")
def born(data: pd.DataFrame, year: int, info: RunInfo) -> pd.DataFrame:
    """Extract from a table that algotools has read from any kind of database."""
    return data.assign(born=year - data["age"], organization=info.organization_id)


@rpc(step="data_extraction")
def waits_for(data: pd.DataFrame, file: str, info: RunInfo) -> pd.DataFrame:
    """Extract; organization 3 waits until a file exists."""
    while info.organization_id == 3 and not Path(file).exists():
        time.sleep(0.02)
    return data


@rpc(step="data_extraction")
def fails_at(data: pd.DataFrame, organization: int, info: RunInfo) -> pd.DataFrame:
    if info.organization_id == organization:
        raise ValueError(f"cannot bear {data['name'].iloc[0]}")
    return data


@rpc(step="data_extraction")
def no_table(data: pd.DataFrame) -> dict[str, list[str]]:
    return {"names": list(data["name"])}


@rpc(step="preprocessing")
def younger(data: pd.DataFrame, column: Column, by: int = 1) -> pd.DataFrame:
    data = data.copy()
    data[column] -= by
    return data


@rpc(step="preprocessing")
def shortened(data: pd.DataFrame, rows: int) -> pd.DataFrame:
    return data.head(rows)


@rpc(step="preprocessing")
def as_arrow(data: pd.DataFrame) -> object:
    """Return an Arrow table, which requires pyarrow in the image."""
    import pyarrow as pa

    return pa.Table.from_pandas(data.assign(half=data["age"] / 2))


@rpc(step="preprocessing")
def only_names(data: pd.DataFrame) -> list[str]:
    return list(data["name"])


@rpc
def total(data: pd.DataFrame, column: Column) -> int:
    return int(data[column].sum())


@rpc
def ages(first: pd.DataFrame, second: pd.DataFrame) -> list[list[int]]:
    """Return the ages of two tables in the order of the tables."""
    return [first["age"].tolist(), second["age"].tolist()]


@rpc
def file_of(table: Database) -> dict[str, object]:
    return {"label": table.label, "type": table.type, "path": table.uri}


@rpc
def surroundings(info: RunInfo) -> dict[str, object]:
    """Return the metadata of the run, and the names of its environment variables."""
    return {
        "task": info.task_id,
        "node": info.node_id,
        "organization": info.organization_id,
        "collaboration": info.collaboration_id,
        "temporary": str(info.temporary_folder),
        "environment": sorted(os.environ),
    }


@rpc
def keeps(info: RunInfo, text: str) -> str:
    """Append a text to a file in the temporary folder; return the texts before it."""
    file = Path(str(info.temporary_folder)) / "kept"
    before = file.read_text() if file.exists() else ""
    file.write_text(before + text)
    return before


@master
def master_environment(client: AlgorithmClient) -> dict[str, object]:
    """Return the environment of a master, which reaches other nodes without the variables of its node."""
    return {"organizations": list(client.organizations), "environment": sorted(os.environ)}


@master
def totals(client: AlgorithmClient, column: str) -> list[int]:
    return list(client.run(total, column=column))
