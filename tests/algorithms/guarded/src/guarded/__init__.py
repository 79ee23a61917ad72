"""An algorithm whose limits the owners of the nodes set with node variables."""

from typing import Annotated

import msgspec
import pandas as pd

from algotools import (
    Aggregator,
    AlgorithmClient,
    Column,
    Database,
    NodeVariable,
    RunInfo,
    UserError,
    federated,
    log,
    master,
    rpc,
)

Allowed = Annotated[list[str] | None, NodeVariable("ALLOWED_COLUMNS")]
Minimum = Annotated[int, msgspec.Meta(ge=1), NodeVariable("MINIMUM_ROWS")]
Partners = Annotated[list[int], NodeVariable("PARTNERS")]


class ColumnNotAllowed(UserError):
    text = "the node's owner does not allow the column {column}"
    column: str


class TooFewRows(UserError):
    text = "the node has fewer rows than its owner requires"


class NotAPartner(UserError):
    text = "the task has an organization that is not a partner of this node"


@rpc
def sum_and_count(data: pd.DataFrame, column: Column, minimum: Minimum, allowed: Allowed = None) -> dict[str, float]:
    """Add up a column.

    Args:
        data: the rows.
        column: the column.
        minimum: The fewest rows.
        allowed: The columns that the node's owner allows.
    """
    if allowed is not None and column not in allowed:
        raise ColumnNotAllowed(column=column)
    values = data[column].dropna()
    if len(values) < minimum:
        raise TooFewRows
    return {"sum": float(values.sum()), "count": float(values.count())}


@master
def mean(client: AlgorithmClient, column: Column, partners: Partners = []) -> float:  # noqa: B006 - a list of the node
    """Return the mean over all organizations."""
    if not set(client.recipients) <= {*partners}:
        raise NotAPartner
    results = list(client.run(sum_and_count, column=column))
    return sum(r["sum"] for r in results) / sum(r["count"] for r in results)


@rpc
def show(info: RunInfo, minimum: Minimum = 10) -> list[str | int | None]:
    """Return the minimum as a number, and as the text that the owner has written."""
    return [minimum, info.variables.get("MINIMUM_ROWS")]


@federated
def pooled_mean(data: pd.DataFrame, total: Aggregator, column: Column, minimum: Minimum = 1) -> float:
    """Return the mean over the rows of the nodes that have enough rows."""
    values = data[column].dropna()
    rows = values if len(values) >= minimum else values.iloc[:0]
    return total.sum(rows) / total.count(rows)


@federated
def pooled_minimum(data: pd.DataFrame, total: Aggregator, column: Column, minimum: Minimum = 1) -> list[float]:
    """Return a value of the node, which differs between nodes."""
    return [total.count(data[column]), minimum]


@rpc(step="data_extraction")
def first_rows(source: Database, rows: Annotated[int, NodeVariable("FIRST_ROWS")]) -> pd.DataFrame:
    """Read the first rows of a file."""
    return pd.read_csv(source.uri, nrows=rows)


@rpc
def count(data: pd.DataFrame) -> int:
    """Count the rows."""
    return len(data)


class SiteClosed(UserError):
    text = "the site {site} is closed"
    site: str


@rpc
def complain(site: Annotated[str, NodeVariable("SITE")]) -> int:
    """Log the variable, and raise an error with it."""
    log(f"this is {site}")
    raise SiteClosed(site=site)
