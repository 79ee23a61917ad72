"""One function for each behaviour that all generations and all runners have in common."""

import dataclasses
import datetime
import enum
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd

import algotools
from algotools import AlgorithmClient, Column, Database, NodeVariable, Organization, RunInfo, UserError, master, rpc


class FewerThanTen(UserError):
    text = "fewer than {minimum} rows have a value"
    minimum: int


class CountedUnit(enum.Enum):
    PERSONS = "persons"
    VISITS = "visits"


@dataclasses.dataclass
class ColumnGroup:
    column: Column
    values: list[str]


# Data


@rpc
def sum_and_count(data: pd.DataFrame, column: Column) -> dict[str, float]:
    values = data[column].dropna()
    return {"sum": values.sum(), "count": values.size}


@rpc
def columns(data: pd.DataFrame, column: Column) -> list[str]:
    return list(data.columns)


@rpc
def rows(first: pd.DataFrame, second: pd.DataFrame) -> list[int]:
    return [len(first), len(second)]


@rpc
def rows_of_one(data: pd.DataFrame) -> int:
    return len(data)


@rpc(step="preprocessing")
def without_missing(data: pd.DataFrame, column: str) -> pd.DataFrame:
    return data.dropna(subset=[column])


@rpc
def first_value(data: Database) -> str:
    """Reads the database without help; a table of a v5 session is a Parquet file."""
    path = Path(data.uri)
    table = pd.read_parquet(path) if data.type == "parquet" else pd.read_csv(path)
    return str(table.iloc[0, 0])


# Arguments


@rpc
def echo(
    number: int,
    share: float,
    text: str,
    flag: bool,
    items: list[int],
    counts: dict[str, int],
    unit: CountedUnit,
    choice: Literal["a", "b"],
    group: ColumnGroup,
    day: datetime.date,
    organization: Organization,
    anything: Any,
    *,
    optional: int | None = None,
) -> dict[str, str]:
    """Return each argument as Python code."""
    return {name: repr(value) for name, value in locals().items()}


# Runs


@rpc
def describe_run(
    info: RunInfo,
    levels: Annotated[list[int], NodeVariable("LEVELS")],
    variables: list[str],
    is_open: Annotated[bool, NodeVariable("IS_OPEN")] = True,
    *,
    player: Annotated[str, NodeVariable("PLAYER")],
) -> list[Any]:
    ids = [info.organization_id, info.node_id, info.collaboration_id]
    return [*ids, *(info.variables.get(v) for v in variables), levels, is_open, player]


@rpc
def keep(info: RunInfo, text: str) -> str:
    """Append a text to a file of the job; return the texts before it."""
    file = info.temporary_folder / "texts"
    before = file.read_text() if file.exists() else ""
    file.write_text(before + text)
    return before


@master
def keep_twice(client: AlgorithmClient, info: RunInfo) -> list[str]:
    organizations = [info.organization_id]
    return [client.run(keep, organizations=organizations, text=text)[0] for text in ("a", "b")]


@rpc
def report() -> str:
    algotools.log("half\nway")
    algotools.progress(0.5, "of the rows")
    print("for the owner")
    return "reported"


@rpc
def sleep(seconds: float) -> None:
    algotools.log("asleep")
    time.sleep(seconds)


@master
def wait_for_sleepers(client: AlgorithmClient, seconds: float) -> None:
    list(client.run(sleep, seconds=seconds))


@rpc
def take_memory(megabytes: int) -> float:
    return float(np.ones(megabytes << 17).sum())


# Results that cannot be sent, and failures


@rpc
def raise_an_error(data: pd.DataFrame) -> None:
    raise ValueError(f"cannot deal with {data.iloc[0, 0]}")


@rpc
def refuse(data: pd.DataFrame) -> None:
    raise FewerThanTen(minimum=10)


@rpc
def exit_at_once(data: pd.DataFrame) -> None:
    sys.exit(f"goodbye {data.iloc[0, 0]}")


@rpc
def return_nan(data: pd.DataFrame) -> dict[str, float]:
    return {"mean": float("nan"), data.iloc[0, 0]: float("inf")}


@rpc
def return_a_cross_table() -> pd.Series:
    levels = pd.MultiIndex.from_tuples([("f", True), ("m", None)], names=["sex", "smoker"])
    return pd.Series([1, 2], levels, name="count")


@rpc
def return_a_set(data: pd.DataFrame) -> object:
    return {"names": {data.iloc[0, 0]}}


# Masters


@master
def mean_of_all(
    client: AlgorithmClient, column: Column, organizations: list[Organization] | None = None, quorum: int | None = None
) -> float:
    partials = client.run(sum_and_count, organizations=organizations, quorum=quorum, column=column)
    return sum(partial["sum"] for partial in partials) / sum(partial["count"] for partial in partials)


@master
def mean_in_v4_style(client: AlgorithmClient, column: str) -> float:
    organizations = [organization["id"] for organization in client.organization.list()]
    task = client.task.create(
        input_={"method": "sum_and_count", "kwargs": {"column": column}}, organizations=organizations, name="partials"
    )
    partials = client.wait_for_results(task_id=task["id"], interval=0.05)
    return sum(partial["sum"] for partial in partials) / sum(partial["count"] for partial in partials)


@rpc
def fail_at(data: pd.DataFrame, organization: int, info: RunInfo) -> int:
    if info.organization_id == organization:
        raise ValueError(f"cannot deal with {data.iloc[0, 0]}")
    return info.organization_id


@master
def gather(
    client: AlgorithmClient, fails: int, organizations: list[Organization] | None = None, quorum: int | None = None
) -> dict[str, Any]:
    """Run a function that fails at one organization."""
    results = client.run(fail_at, organizations=organizations, quorum=quorum, organization=fails)
    return {"results": list(results), "failures": sorted(results.failures)}


@master
def run_and_forget(client: AlgorithmClient) -> str:
    client.run(refuse)
    return "done"


@master
def run_an_unknown_method(client: AlgorithmClient, organizations: list[Organization]) -> list[Any]:
    return list(client.run("no_such_method", organizations=organizations, wait_for_all=True))


@rpc
def values_of_many_types() -> dict[str, Any]:
    """Values that JSON cannot hold; between rpc and master they travel exactly."""
    levels = pd.MultiIndex.from_tuples([("f", True), ("m", False)], names=["sex", "smoker"])
    return {
        "keys": {float("nan"): 1, datetime.date(2024, 2, 29): 2, ("f", 1): 3, pd.Interval(0, 15): 4},
        "masked": np.ma.masked_array([1, 2], [False, True]),
        "levels": pd.Series([1, 2], levels, name="count"),
        "complex": 1j,
        "array": np.array([1.5, np.nan, np.inf]),
        "integers": np.array([[1, 2], [3, 4]], dtype=np.int16),
        "frame": pd.DataFrame({"day": pd.to_datetime(["2024-02-29"]), "name": ["Ada"]}, index=[7]),
        "series": pd.Series([True, False], name="flags"),
        "nan": float("nan"),
        "tuple": (1, "a"),
        "bytes": b"\x00\xff",
        "date": datetime.date(2024, 2, 29),
    }


@master
def compare_values(client: AlgorithmClient) -> list[list[str]]:
    """Name the values of each organization that did not arrive exactly as the function returns them."""
    expected = values_of_many_types()
    return [
        [name for name, value in expected.items() if not _is_same(result.get(name), value)]
        for result in client.run(values_of_many_types)
    ]


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(other, np.ndarray) and not isinstance(other, np.ma.MaskedArray):
        return one.dtype == other.dtype and bool(np.array_equal(one, other, equal_nan=other.dtype.kind == "f"))
    if isinstance(other, (pd.DataFrame, pd.Series)):
        return bool(one.equals(other)) and one.index.names == other.index.names and list(one.index) == list(other.index)
    return repr(one) == repr(other)
