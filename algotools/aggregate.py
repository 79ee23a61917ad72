"""Reductions of the rows of one node, with evidence for the disclosure gate: ``from algotools import aggregate``."""

from algotools.disclosure.reductions.aggregate import count, mean, sum

__all__ = ["count", "mean", "sum"]
