"""The algorithm of all ``twice_*`` folders, written with algotools."""

import os
import sys
from os import getcwd  # a name in the module that is not a method, for a test
from typing import Any

import pandas as pd
from rows import make_unusual_value, describe_frame, make_table_result, to_rows

from algotools import AlgorithmClient, Column, Database, RunInfo, master, rpc

__all__ = ["getcwd"]


@rpc
def echo(value: Any = "nothing") -> Any:
    return value


@rpc
def arguments(first: Any, second: Any = 2, third: Any = 3) -> list[Any]:
    return [first, second, third]


@rpc
def twofold(number: int) -> int:
    return number * 2


@rpc
def odd(kind: str) -> Any:
    return make_unusual_value(kind)


@rpc
def table(data: pd.DataFrame) -> Any:
    return to_rows(data)


@rpc
def two_tables(first: pd.DataFrame, second: pd.DataFrame) -> Any:
    return [to_rows(first), to_rows(second)]


@rpc
def three_tables(first: pd.DataFrame, second: pd.DataFrame, third: pd.DataFrame) -> Any:
    return [to_rows(first), to_rows(second), to_rows(third)]


@rpc
def grouped(tables: dict[str, pd.DataFrame]) -> Any:
    return {name: to_rows(frame) for name, frame in tables.items()}


@rpc
def total(data: pd.DataFrame, column: Column) -> float:
    return float(data[column].sum())


@rpc
def length(data: pd.DataFrame) -> int:
    return len(data)


@rpc
def two_described(first: pd.DataFrame, second: pd.DataFrame) -> Any:
    return [describe_frame(first), describe_frame(second)]


@rpc
def variable(info: RunInfo, name: str) -> Any:
    return info.variables.get(name)


@rpc
def raw_variable(name: str) -> Any:
    return os.environ.get(name)


@rpc
def run_metadata(info: RunInfo) -> Any:
    return {
        "task": info.task_id,
        "node": info.node_id,
        "organization": info.organization_id,
        "collaboration": info.collaboration_id,
        "temporary": str(info.temporary_folder),
    }


@rpc
def ids(info: RunInfo) -> Any:
    return {
        "task": info.task_id,
        "node": info.node_id,
        "organization": info.organization_id,
        "collaboration": info.collaboration_id,
    }


@rpc
def sees_tables(info: RunInfo) -> Any:
    return "first.parquet" in os.listdir(str(info.temporary_folder))


@rpc
def prints() -> str:
    print("half way")
    print("half way, too", file=sys.stderr)
    return "printed"


@rpc
def raises() -> None:
    raise ValueError("on purpose")


@rpc
def exits(code: Any) -> None:
    sys.exit(code)


@rpc
def ends_the_process(code: int) -> None:
    os._exit(code)


@master
def central(client: AlgorithmClient, number: Any = 1) -> Any:
    return {"number": number, "master": True}


def helper() -> str:
    return "not meant to be called"


@rpc(step="data_extraction")
def connection(source: Database) -> pd.DataFrame:
    details = {"uri": source.uri, "type": source.type, **source.options}
    return pd.DataFrame({"key": list(details), "value": list(details.values())})


@rpc(step="data_extraction")
def semicolons(source: Database, skip: int = 0) -> pd.DataFrame:
    return pd.read_csv(source.uri, sep=";", skiprows=skip)


@rpc(step="data_extraction")
def extracts(source: Database, kind: str) -> Any:
    return make_table_result(kind)


@rpc(step="preprocessing")
def unchanged(data: pd.DataFrame) -> pd.DataFrame:
    return data


@rpc(step="preprocessing")
def over(data: pd.DataFrame, column: Column, least: Any = 18) -> pd.DataFrame:
    return data[data[column] >= least]


@rpc(step="preprocessing")
def prepares(data: pd.DataFrame, kind: str) -> Any:
    return make_table_result(kind)
