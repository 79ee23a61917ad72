"""The honest functions with the reductions of ``aggregate`` for all their numbers.

A function has the name, the parameters and the shape of the result of the honest function that it ports. The
reductions hide small cells, so most functions have no minimum of their own.
"""

from honest_with_evidence import models, statistics, summaries

__all__ = ["models", "statistics", "summaries"]
