"""The analysis of ``pooled`` as it is written with vantage6-algorithm-tools 4."""

from peer_v4.central import asks_the_failing, central, what_it_reaches
from peer_v4.partial import exits, fails, partial, prints, queries, sheet, two, variables, waits

__all__ = [
    "asks_the_failing",
    "central",
    "exits",
    "fails",
    "partial",
    "prints",
    "queries",
    "sheet",
    "two",
    "variables",
    "waits",
    "what_it_reaches",
]
