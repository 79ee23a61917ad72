"""The analysis of ``pooled`` written with vantage6-algorithm-tools 4."""

from peer_v4.central import run_failing_subtask, central, use_every_call
from peer_v4.partial import exits, fails, partial, prints, queries, sheet, two, variables, waits

__all__ = [
    "run_failing_subtask",
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
    "use_every_call",
]
