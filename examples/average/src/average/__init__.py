"""The average of a column over several organizations, without any of them sharing a row."""

from average.algorithm import average, average_partial

__all__ = ["average", "average_partial"]
