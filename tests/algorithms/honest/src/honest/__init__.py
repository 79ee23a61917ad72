"""Functions that must pass the gate, as careful authors write them: sums over many rows, with a minimum for groups."""

from honest import models, statistics, summaries

__all__ = ["models", "statistics", "summaries"]
