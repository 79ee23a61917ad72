"""What would fail at a node, found on the laptop: without git, and without an engine.

The rules are in ``rules.RULES``, one a class of faults. Most read the project's files; those about functions import
the author's module, in a child process.
"""

from __future__ import annotations

from pathlib import Path

from algotools.check.finding import Finding, Report, in_order
from algotools.check.rules import RULES

__all__ = ["RULES", "Finding", "Report", "check"]

LIMIT = 60.0
"""Seconds that the import and the trial may take together."""


def check(what: str | Path = ".", *, limit: float = LIMIT) -> Report:
    """Look for faults in an algorithm: in all of a project, or in the functions of an installed algorithm or module.

    One fault hides others only where nothing can be told without it: when the module cannot be imported, its functions
    are not looked at; everything else is.

    Raises:
        AlgorithmNotFound: WHAT is neither a folder nor anything else that goes by that name.
    """
    # Here, because the child process needs none of it, and the docker package takes long to import.
    from algotools.check.child import Child
    from algotools.check.whole import check_project

    if Path(what).is_dir():
        return check_project(Path(what), limit)
    outcome = Child(str(what), limit).outcome(str(what))
    return Report(
        algorithm=outcome.algorithm,
        findings=in_order(outcome.findings),
        functions=outcome.functions,
        files=outcome.files,
    )
