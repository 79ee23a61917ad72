"""The functions that a task can call."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import Annotated

import pandas as pd

from algotools import AlgorithmClient, Column, Database, Organization, master, rpc
from survey.helpers import tidy


class Unit(enum.Enum):
    """How to count."""

    PERSONS = "persons"
    VISITS = "visits"


@dataclasses.dataclass
class Group:
    """Rows with some values in a column."""

    column: Column
    values: list[str]


@rpc
def count(
    data: pd.DataFrame,
    visits: Annotated[pd.DataFrame, Database("visits")],
    groups: list[Group],
    unit: Unit = Unit.PERSONS,
    *,
    at_most: float = math.inf,
) -> dict[str, int]:
    """Count rows by group.

    Rows without a value are in no group.

    Args:
        groups: the groups, in the order
            of the answer.
        unit: the unit to count.

    Returns:
        A count for each group.
    """
    table = data if unit is Unit.PERSONS else visits
    return {
        "/".join(tidy(group.values)): int(min(at_most, table[group.column].isin(group.values).sum()))
        for group in groups
    }


@master(name="summary_of_all")
def summary(client: AlgorithmClient, column: Column, organizations: list[Organization] | None = None) -> int:
    """Rows of all organizations together."""
    return sum(client.run(count, organizations=organizations, groups=[{"column": column, "values": []}]))
