"""Functions that must not pass the gate: an author could write them by mistake, or a researcher misuse them.

The comments say only what a function does. ``tests/disclosure/cheats`` has its arguments, and what it reveals.
"""

from cheats import channels, differencing, encoded, extremes, models, rows, small_groups, survival, tables, texts

__all__ = [
    "channels",
    "differencing",
    "encoded",
    "extremes",
    "models",
    "rows",
    "small_groups",
    "survival",
    "tables",
    "texts",
]
