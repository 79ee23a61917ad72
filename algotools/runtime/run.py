"""Run one task: environment and files -> Task -> function -> result -> output file.

A node's container and every runner of the local federation use ``run_task``. They differ in how they call the function
(``call``) and where they write the log (``console``).
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn

from algotools.disclosure import LEDGER
from algotools.disclosure.gate import Gate
from algotools.disclosure.parent import OriginCheck
from algotools.disclosure.policy import Policy, read_file, read_policy
from algotools.errors import AlgotoolsError, ContractError, Failure, OutputError, Stopped, TokenError
from algotools.payload import check_size
from algotools.runtime import logs
from algotools.runtime._output import OutputFile
from algotools.runtime.contract import Contract, detect
from algotools.runtime.contract.environment import read_identity
from algotools.runtime.contract.origin import NodeOrigin
from algotools.runtime.dispatch.child import STOPPING_SIGNALS, ChildWorker
from algotools.runtime.dispatch.supervisor import Run, supervise
from algotools.runtime.logs import Console
from algotools.runtime.unexpected import convert_unexpected
from algotools.task import Task

if TYPE_CHECKING:
    from algotools.disclosure.ledger import Ledger

TIMEOUT = "ALGOTOOLS_TIMEOUT"
"""A node's variable with the limit for every run, in seconds."""

WORKER_USER = "ALGOTOOLS_WORKER_USER"
"""An image's variable with the user for the author's code; see ``algotools.runtime.sandbox``."""

Read = Callable[[], tuple[Contract, Task]]
"""Returns the contract of the node's generation, and the task that the node prepared."""


def main(environ: Mapping[str, str], worker: ChildWorker | None = None) -> int:
    """Run the container's task and return the exit code; the entry point of an image.

    Args:
        environ: the variables of the node and the image.
        worker: the process for the function, if it is started already.
    """

    def stop(number: int, _frame: object) -> NoReturn:
        for name in STOPPING_SIGNALS:  # a second signal must not disturb the cleanup
            signal.signal(name, signal.SIG_IGN)
        raise Stopped(f"the run was stopped by {signal.Signals(number).name}")

    for name in STOPPING_SIGNALS:
        signal.signal(name, stop)

    def read() -> tuple[Contract, Task]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING_SIGNALS)  # an earlier signal stops the run now
        return read_task(environ)

    def call(run: Run) -> bytes:
        confinement = None
        if user := environ.get(WORKER_USER, ""):
            from algotools.runtime import sandbox  # here, because only images need it

            confinement = sandbox.create_confinement(
                user, environ.get("ALGOTOOLS_ALGORITHM") or environ.get("PKG_NAME")
            )
        return supervise(run, environ, confinement, lambda: unused.pop() if unused else ChildWorker(environ))

    unused = [worker] if worker else []
    try:
        return run_task(read, call, logs.write_to_stderr)
    finally:
        for unused_worker in unused:  # the run has failed before the call
            unused_worker.discard()


def read_task(environ: Mapping[str, str]) -> tuple[Contract, Task]:
    """Return the contract of the generation that prepared an environment, and the task in the environment.

    Raises:
        ContractError: the variables are not those of a node, or one of them is malformed.
        InputError: the input file does not have the generation's format.
        PickleRefused: the input file is a pickle.
    """
    contract = detect(environ)
    return contract, contract.read(environ)


def run_task(read: Read, call: Callable[[Run], bytes], console: Console) -> int:
    """Read a task, call its function, write the output file, and return the exit code.

    Args:
        read: returns the contract and the task.
        call: calls the function and returns the encoded result; ``supervise`` does so in a separate process.
        console: called with each line of the run's log.

    Nothing is raised: a failure becomes the last line of the log, and the exit code.
    """
    owner = logs.OwnersLog(None)
    output_file: OutputFile | None = None
    failure: Failure | None = None
    try:
        contract, task = read()
        output_file = OutputFile(task.output_file)
        owner = logs.OwnersLog(logs.owner_log_path(task.variables), task.output_file)
        for name in task.ignored_policy_variables:
            text = f"{ascii(name)[1:-1]} is set by the image, not by the node's owner; it is ignored"
            console(logs.format_line("info", text))
        policy = _read_policy(task)
        ledger = _open_ledger(policy, task, console)
        gate = Gate(policy, task, ledger.key if ledger else b"", OriginCheck(task, NodeOrigin(task, contract, console)))
        if text := gate.describe():
            console(logs.format_line("info", text))
        if task.temporary_folder is not None:
            with contextlib.suppress(OSError, ValueError):  # v5's nodes do not create the job's folder
                task.temporary_folder.mkdir(exist_ok=True)
        run = Run(task, contract, logs.RunLog(console).write, owner.write, _read_time_limit(task.variables), gate)
        try:
            output = contract.wrap_result(gate.review(call(run)))
            if task.step == "compute":  # the other steps return a table, which stays at the node
                check_size(len(output))
            if ledger is not None:
                ledger.record_result(gate, output)
        except Exception as error:
            if ledger is not None:
                known_error = error if isinstance(error, AlgotoolsError) else convert_unexpected(error)
                ledger.record_failure(gate, known_error.failure())
            raise
        for text in gate.notes:
            run.console(logs.format_line("info", text))
        output_file.write(output)
    except AlgotoolsError as error:
        failure = error.failure()
    except Exception as error:  # a fault of ours: `call` converts every error of the author's code
        failure = convert_unexpected(error).failure()
    if failure is not None and output_file is not None:
        try:
            output_file.clear()  # the author's code may have written into it
        except OutputError as error:
            console(logs.format_line("info", error.message))
            owner.note(error.detail)
    owner.note(failure.detail if failure else "")
    if message := owner.close():
        console(logs.format_line("info", message))
    if failure is None:
        return 0
    console(logs.format_failure(failure))
    return failure.exit_code


def _read_policy(task: Task) -> Policy:
    """Return the policy of the node's owner.

    Raises:
        PolicyError: a setting is unknown or has a wrong value, or the policy file cannot be read.
    """
    return read_policy(task.policy_variables, read_file(task.policy_file) if task.policy_file else None)


def _open_ledger(policy: Policy, task: Task, console: Console) -> Ledger | None:
    """Return the ledger that records the run; None if the policy and the local federation name none.

    Raises:
        PolicyError: the policy names a ledger that cannot be used.
    """
    if policy.is_off or not (policy.ledger or task.variables.get(LEDGER)):
        return None
    from algotools.disclosure.ledger import open_ledger  # here, because most nodes have no ledger

    identity = None
    with contextlib.suppress(TokenError):
        identity = read_identity(task)
    return open_ledger(policy, task, identity, lambda text: console(logs.format_line("info", text)))


def _read_time_limit(variables: Mapping[str, str]) -> float | None:
    """Return the node's limit for a run, in seconds.

    Raises:
        ContractError: the variable is not a number of seconds.
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
    return min(seconds, threading.TIMEOUT_MAX)
