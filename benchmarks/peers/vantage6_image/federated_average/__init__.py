"""``examples/average``, written with the tools of vantage6. A task names a function of this package."""

from federated_average.central import average
from federated_average.partial import average_partial

__all__ = ["average", "average_partial"]
