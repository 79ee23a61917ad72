"""The cheats whose numbers are reductions of rows, with the reductions of ``aggregate``.

A function has the name, the parameters and the shape of the result of the cheat that it ports. A cheat without such a
function returns rows, texts or extremes, and ``aggregate`` has no verb for it.
"""

from cheats_with_evidence import differencing, extremes, models, small_groups, survival, tables

__all__ = ["differencing", "extremes", "models", "small_groups", "survival", "tables"]
