"""The one road: environment and files -> Task -> function -> result -> output file.

Every way of running a function takes it: a node's container, the local federation's processes, and its
inline runner. They differ in how the function is called (``how``) and where lines go (``console``).
"""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Mapping
from typing import NoReturn

from algotools import debug, guard, locate, report
from algotools.contract import Contract, detect
from algotools.dispatch.perform import Load
from algotools.dispatch.supervisor import Sink, supervise
from algotools.errors import AlgotoolsError, ContractError, Failure, InternalError, Stopped
from algotools.functions import Algorithm
from algotools.output import write_output
from algotools.payload import check_size
from algotools.report import Console
from algotools.task import Task

TIMEOUT = "ALGOTOOLS_TIMEOUT"
"""A node's own limit for every run, in seconds."""

WORKER_USER = "ALGOTOOLS_WORKER_USER"
"""An image's user for the author's code, which is then confined: see ``algotools.confine``."""

How = Callable[[Task, Load, Contract, Console, Sink, "float | None"], bytes]
"""A way to call the function: ``supervise`` does it in a process of its own."""


def main(environ: Mapping[str, str], load: Load | None = None) -> int:
    """What the container's entry point does; gives the exit code. ``load`` is for functions that no name finds."""

    def stop(number: int, _frame: object) -> NoReturn:
        raise Stopped(f"the run was asked to stop ({signal.Signals(number).name})")

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)

    def find() -> Algorithm:
        return locate.load(locate.locate_in_container(environ))

    def confined(
        task: Task, load: Load, contract: Contract, console: Console, sink: Sink, timeout: float | None
    ) -> bytes:
        from algotools import confine  # here, because only images ask for it

        asked = confine.asked(user, environ.get("ALGOTOOLS_ALGORITHM") or environ.get("PKG_NAME"))
        return supervise(task, load, contract, console, sink, timeout, asked)

    user = environ.get(WORKER_USER, "")
    return run(environ, load or find, confined if user else supervise, report.to_standard_error)


def run(environ: Mapping[str, str], load: Load, how: How, console: Console) -> int:
    """Run the task that an environment tells of; gives the exit code.

    Every failure is told in the log's last line; nothing is raised.
    """
    owner = debug.OwnersLog(None)
    try:
        contract = detect(environ)
        task = contract.read(environ)
        owner = debug.OwnersLog(debug.place(task.variables), task.output_file)
        _make_room(task)
        data = how(task, load, contract, console, owner.write, _timeout(task.variables))
        output = contract.output(guard.review(task, data))
        if task.step == "compute":  # a table stays at the node
            check_size(len(output))
        write_output(task.output_file, output)
    except AlgotoolsError as error:
        return _failed(error.failure(), owner, console)
    except Exception as error:  # ours: the author's own are named where the function is called
        return _failed(InternalError.of(error).failure(), owner, console)
    _close(owner, console)
    return 0


def _make_room(task: Task) -> None:
    """The job's folder, where a node has only a place for it (v5)."""
    if task.temporary_folder is not None:
        with contextlib.suppress(OSError, ValueError):
            task.temporary_folder.mkdir(exist_ok=True)


def _failed(failure: Failure, owner: debug.OwnersLog, console: Console) -> int:
    owner.note(failure.detail)
    _close(owner, console)
    console(report.failure_line(failure))
    return failure.exit_code


def _close(owner: debug.OwnersLog, console: Console) -> None:
    if told := owner.close():
        console(report.line("info", told))


def _timeout(variables: Mapping[str, str]) -> float | None:
    """The node's limit for a run.

    Raises:
        ContractError: the variable holds something else than a number of seconds.
    """
    text = variables.get(TIMEOUT)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ContractError(f"the variable {TIMEOUT} must be a number of seconds")
    return seconds
