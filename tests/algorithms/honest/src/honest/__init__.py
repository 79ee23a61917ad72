"""Functions that must pass the gate, as careful authors write them: sums over many rows, with a minimum for groups."""

from honest import messages, models, statistics, summaries

__all__ = ["messages", "models", "statistics", "summaries"]
