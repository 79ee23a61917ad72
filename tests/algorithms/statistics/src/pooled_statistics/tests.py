"""Tests of differences between groups."""

import pandas as pd
from scipy import stats

from algotools import Aggregator, Column, federated


@federated
def welch(data: pd.DataFrame, total: Aggregator, column: Column, group: Column, pair: list[str]) -> dict[str, float]:
    """Welch's t test of two groups."""
    values, by = data[column], data[group]
    n, s, ss = total.count(values, by, pair), total.sum(values, by, pair), total.sum(values**2, by, pair)
    mean = s / n
    error = (ss - n * mean**2) / (n - 1) / n
    t = (mean.iloc[0] - mean.iloc[1]) / error.sum() ** 0.5
    freedom = error.sum() ** 2 / (error**2 / (n - 1)).sum()
    return {"t": t, "df": freedom, "p": 2 * stats.t.sf(abs(t), freedom)}


@federated
def anova(data: pd.DataFrame, total: Aggregator, column: Column, group: Column) -> dict[str, float]:
    """Analysis of variance with one factor."""
    values = data[column]
    n, s, ss = total.count(values, data[group]), total.sum(values, data[group]), total.sum(values**2)
    explained = (s**2 / n).sum()
    between, within = explained - s.sum() ** 2 / n.sum(), ss - explained
    degrees = len(n) - 1, n.sum() - len(n)
    f = between / degrees[0] / (within / degrees[1])
    return {"F": f, "p": stats.f.sf(f, *degrees)}
