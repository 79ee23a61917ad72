"""Sums and counts at the nodes, and masters that accept or refuse failures of nodes."""

import numpy as np
import pandas as pd

from algotools import AlgorithmClient, Column, Organization, RunInfo, UserError, master, rpc


class TallyTooSmall(UserError):
    text = "fewer than {minimum} rows have a value"
    minimum: int


@rpc
def tally(data: pd.DataFrame, column: Column, minimum: int = 0) -> dict[str, object]:
    """Return sum and count, and the squared values as an array, which only a master receives as an array."""
    values = data[column].dropna()
    if values.size < minimum:
        raise TallyTooSmall(minimum=minimum)
    return {"sum": values.sum(), "count": values.size, "squares": np.square(values.to_numpy(dtype=float))}


@rpc
def fails(data: pd.DataFrame, column: Column, at: int, info: RunInfo) -> int:
    if info.organization_id == at:
        raise ValueError(f"cannot bear {data[column].iloc[0]}")
    return info.organization_id


@rpc
def rows(first: pd.DataFrame, second: pd.DataFrame, column: Column) -> list[int]:
    return [len(first), len(second)]


@master
def mean(
    client: AlgorithmClient,
    column: Column,
    organizations: list[Organization] | None = None,
    timeout: float | None = None,
    quorum: int | None = None,
) -> dict[str, object]:
    """Return the mean over all nodes with a result, and the failures of the others."""
    results = client.run(tally, organizations=organizations, timeout=timeout, quorum=quorum, column=column)
    partials = list(results)
    for partial in partials:
        assert isinstance(partial["squares"], np.ndarray)
    total, count = sum(a["sum"] for a in partials), sum(a["count"] for a in partials)
    return {"mean": total / count, "failures": {str(o): failure for o, failure in results.failures.items()}}


@master
def tally_as_completed(
    client: AlgorithmClient, column: str, minimums: list[int], timeout: float | None = None
) -> dict[str, object]:
    """Send each organization its own minimum; return the counts in the order of the results, and the failures."""
    arguments = {
        organization: {"minimum": least} for organization, least in zip(client.organizations, minimums, strict=True)
    }
    results = client.run(tally, arguments=arguments, column=column, quorum=1, timeout=timeout)
    order = [[organization, partial["count"]] for organization, partial in results.as_completed()]
    return {"order": order, "failures": {str(o): failure for o, failure in results.failures.items()}}


@master
def run_failing_rpc(client: AlgorithmClient, column: str, at: int) -> list[int]:
    return list(client.run(fails, column=column, at=at))


@master
def master_organization(client: AlgorithmClient, info: RunInfo) -> int:
    """Return the organization at which the master runs."""
    return info.organization_id
