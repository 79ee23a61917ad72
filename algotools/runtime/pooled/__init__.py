"""Pooled functions: the totals of ``@federated``, computed in rounds over all nodes.

``aggregator`` has the author's side, and ``rounds`` performs the derived master and rpc. ``_replay`` runs the function
with known and unknown totals. ``disclosure.reductions`` reduces the rows of a node, and ``_combine`` combines what the
nodes contribute.
"""

from algotools.runtime.pooled.aggregator import Aggregator, Pooled

__all__ = ["Aggregator", "Pooled"]
