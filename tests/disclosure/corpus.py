"""The corpus: cheats by group, and honest functions.

A third of the cases is kept back. Tune the rules of the gate only with ``TUNING``; judge them with all cases, and count
a cheat only on the tables for which ``Cheat.leaks_on`` is true. ``Case.run`` returns the values that a gate judges.

The functions are in two algorithms, ``tests/algorithms/cheats`` and ``tests/algorithms/honest``, because the gate knows
the texts in the source of an algorithm. The cases are here: arguments, nodes, and the claims of a reader. To add a
case, add the function to a module of the algorithm, and a case to the module with the same name here.
"""

from __future__ import annotations

import dataclasses

from .cases import Cheat, Honest, load
from .cheats import channels, differencing, encoded, extremes, models, rows, small_groups, survival, tables, texts
from .honest import messages, statistics, summaries
from .honest import models as honest_models

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
"""The functions whose results must pass."""

MESSAGES: list[Honest] = messages.HONEST
"""The functions whose messages must pass."""

CASES = [*CHEATS, *HONEST, *MESSAGES]
TUNING = [case for case in CASES if not case.kept_back]
KEPT_BACK = [case for case in CASES if case.kept_back]


def port(case: Cheat | Honest) -> Cheat | Honest | None:
    """Return the case with the reductions of ``aggregate``; None if its function has no such form."""
    algorithm = f"{case.algorithm}_with_evidence"
    if (case.method or case.name) not in load(algorithm).functions:
        return None
    return dataclasses.replace(case, algorithm=algorithm)
