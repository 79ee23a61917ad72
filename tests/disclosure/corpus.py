"""The corpus: cheats by group, and honest functions.

A third of the cases is kept back. Tune the rules of the gate only with ``TUNING``; judge them with all cases.
"""

from __future__ import annotations

from .cases import Cheat, Honest
from .cheats import channels, differencing, encoded, extremes, models, rows, small_groups, survival, tables, texts
from .honest import models as honest_models
from .honest import statistics, summaries

MODULES = {
    "rows": rows,
    "texts": texts,
    "encoded": encoded,
    "small groups": small_groups,
    "extremes": extremes,
    "tables": tables,
    "survival": survival,
    "models": models,
    "differencing": differencing,
    "channels": channels,
}

for group, module in MODULES.items():
    for case in module.CHEATS:
        case.group = group

CHEATS: list[Cheat] = [case for module in MODULES.values() for case in module.CHEATS]

HONEST: list[Honest] = [*summaries.HONEST, *honest_models.HONEST, *statistics.HONEST]

CASES = [*CHEATS, *HONEST]
TUNING = [case for case in CASES if not case.kept_back]
KEPT_BACK = [case for case in CASES if case.kept_back]
