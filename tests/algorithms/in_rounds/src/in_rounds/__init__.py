"""A pooled function of three rounds, with and without a quorum, and one that some nodes refuse in the second round."""

import os

import pandas as pd

from algotools import Aggregator, Column, UserError, federated

from .arithmetic import trim

if os.environ.get("ALGOTOOLS_ALGORITHM") == "/app":
    # In a container of the tests. A test cannot wait until a master gives up on a node that is offline.
    from algotools.runtime.client import _results, _runs

    _results.OFFLINE_LIMIT = 1.0
    _results.FIRST_FULL_CHECK = 0.5
    _runs.LOSS_TIME, _runs.LOSS_FACTOR = 1.0, 2.0


class TooFewValues(UserError):
    text = "fewer than {fewest} values are above the mean"
    fewest: int


@federated
def trimmed_mean(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """The mean of the values within a standard deviation of the mean."""
    return trim(data[column].dropna(), total)


@federated(quorum=2)
def trimmed_mean_of_most(data: pd.DataFrame, total: Aggregator, column: Column) -> dict[str, float]:
    """The same without the nodes that fail."""
    return trim(data[column].dropna(), total)


@federated(quorum=2)
def mean_above(data: pd.DataFrame, total: Aggregator, column: Column, fewest: int) -> float:
    """The mean of the values above the mean. A node with too few of them refuses, which is known in the second round."""
    values = data[column].dropna()
    above = values[values > total.mean(values)]
    if len(above) < fewest:
        raise TooFewValues(fewest=fewest)
    return total.mean(above)
