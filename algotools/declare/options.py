"""The options of ``@rpc``, and their faults."""

from __future__ import annotations

from typing import NamedTuple

from algotools.task import Step

STEPS: dict[Step, str] = {
    "compute": "computes a result",
    "data_extraction": "extracts a table from a database (data_extraction)",
    "preprocessing": "prepares a table (preprocessing)",
}
"""Step -> what a function of the step does, for messages."""


class Options(NamedTuple):
    """The options of an rpc; see ``rpc``."""

    step: Step = "compute"
    minimum_rows: int | None = None
    standalone: bool = True


DEFAULTS = Options()


def explain_options(options: Options) -> str:
    """Return the fault of the options of an rpc; empty if they have none."""
    if fault := explain_minimum_rows(options.minimum_rows):
        return fault
    if not isinstance(options.standalone, bool):
        return "standalone must be True or False"
    if options.step == "compute":
        return ""
    if options.minimum_rows is not None:
        return f"minimum_rows has no effect with step={options.step!r}, because the table stays at the node; remove it"
    if not options.standalone:
        return f"standalone=False and step={options.step!r} exclude each other, because no master runs a step"
    return ""


def explain_minimum_rows(minimum_rows: object) -> str:
    """Return the fault of a ``minimum_rows``; empty if it has none. The annotation does not check the value."""
    if minimum_rows is None or (
        isinstance(minimum_rows, int) and not isinstance(minimum_rows, bool) and minimum_rows >= 1
    ):
        return ""
    return f"minimum_rows must be a whole number of at least 1, not {minimum_rows!r}"
