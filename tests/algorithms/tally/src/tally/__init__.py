"""Counts and adds up: what the nodes of a federation are asked for, and masters that bear more or less."""

import numpy as np
import pandas as pd

from algotools import AlgorithmClient, Column, Organization, RunInfo, UserError, master, rpc


class TooFewRows(UserError):
    text = "fewer than {minimum} rows have a value"
    minimum: int


@rpc
def tally(data: pd.DataFrame, column: Column, minimum: int = 0) -> dict[str, object]:
    """Sum and count, and the values squared, which only another of our functions gets as an array."""
    values = data[column].dropna()
    if values.size < minimum:
        raise TooFewRows(minimum=minimum)
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
    """The mean over all that answer, and who did not."""
    found = client.run(tally, organizations=organizations, timeout=timeout, quorum=quorum, column=column)
    answers = list(found)
    for answer in answers:
        assert isinstance(answer["squares"], np.ndarray)
    total, count = sum(a["sum"] for a in answers), sum(a["count"] for a in answers)
    return {"mean": total / count, "failures": {str(o): why for o, why in found.failures.items()}}


@master
def as_they_come(
    client: AlgorithmClient, column: str, minimums: list[int], timeout: float | None = None
) -> dict[str, object]:
    """Each organization with a minimum of its own: who answers, in the order of the answers, and who does not."""
    own = {organization: {"minimum": least} for organization, least in zip(client.organizations, minimums, strict=True)}
    found = client.run(tally, arguments=own, column=column, quorum=1, timeout=timeout)
    order = [[organization, answer["count"]] for organization, answer in found.as_completed()]
    return {"order": order, "failures": {str(o): why for o, why in found.failures.items()}}


@master
def asks_for_a_failure(client: AlgorithmClient, column: str, at: int) -> list[int]:
    return list(client.run(fails, column=column, at=at))


@master
def who(client: AlgorithmClient, info: RunInfo) -> int:
    """Where the master itself runs."""
    return info.organization_id
