"""``examples/average`` as an author writes it with the peer's tools; a task names functions of this package."""

from federated_average.central import average
from federated_average.partial import average_partial

__all__ = ["average", "average_partial"]
