"""Eighteen statistics, each written once, as if the rows of all nodes were in one table."""

from pooled_statistics.descriptive import (
    correlations,
    crosstab,
    group_means,
    histogram,
    quantiles,
    summary,
    summary_in_two_passes,
)
from pooled_statistics.iterative import clusters, location, logistic_by_bfgs
from pooled_statistics.models import binomial, linear, poisson, principal_components, ridge
from pooled_statistics.survival import cox, kaplan_meier
from pooled_statistics.tests import anova, welch

__all__ = [
    "anova",
    "binomial",
    "clusters",
    "correlations",
    "cox",
    "crosstab",
    "group_means",
    "histogram",
    "kaplan_meier",
    "linear",
    "location",
    "logistic_by_bfgs",
    "poisson",
    "principal_components",
    "quantiles",
    "ridge",
    "summary",
    "summary_in_two_passes",
    "welch",
]
