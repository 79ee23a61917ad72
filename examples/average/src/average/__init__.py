"""The average of a column over several organizations."""

from average.algorithm import average, average_partial

__all__ = ["average", "average_partial"]
