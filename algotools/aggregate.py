"""Reductions of the rows of one node, with evidence for the disclosure gate: ``from algotools import aggregate``."""

from algotools.disclosure.reductions.aggregate import count, mean, moments, sum, variance
from algotools.disclosure.reductions.group_tables import by_group, histogram, levels, table
from algotools.disclosure.reductions.models import cross_product, quantile
from algotools.disclosure.reductions.statements import declare, derive, suppress

__all__ = [
    "by_group", "count", "cross_product", "declare", "derive", "histogram", "levels", "mean", "moments", "quantile",
    "sum", "suppress", "table", "variance",
]  # fmt: skip
