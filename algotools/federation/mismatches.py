"""Warnings about results that do not fit the annotation of their function, as the logs of runs report them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from algotools.declare.results import find_mismatches
from algotools.federation._results import find_stacklevel
from algotools.federation.contract.rest import TaskRecord


class ResultMismatch(UserWarning):
    """A result does not fit the annotation of its function, for instance because a ``return`` is missing."""


def list_mismatches(tasks: Iterable[TaskRecord]) -> list[str]:
    """Return the different reports in the logs of tasks. The nodes of a task write the same one."""
    return list(dict.fromkeys(line for task in tasks for run in task.runs for line in find_mismatches(run.log)))


def warn_about_mismatches(tasks: Iterable[TaskRecord]) -> None:
    """Warn once about each function whose results do not fit its annotation."""
    for line in list_mismatches(tasks):
        warnings.warn(line, ResultMismatch, stacklevel=find_stacklevel())
