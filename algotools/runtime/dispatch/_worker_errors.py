"""The errors of a worker: those that it reports, and those that its exit or its messages reveal."""

from __future__ import annotations

import re
import signal

from algotools.errors import CODES, AlgotoolsError, FunctionExited, OutOfMemory, UnknownLabel, WorkerKilled
from algotools.runtime.dispatch.messages import RunFailure

_OUT_OF_MEMORY_CODES = (127, -signal.SIGABRT)
_OUT_OF_MEMORY = re.compile(
    rb"cannot allocate memory|bad_alloc|memory allocation of [0-9]+ bytes failed", re.IGNORECASE
)
"""Matches what such a library prints last."""

_SIGNALS: dict[int, str] = {
    signal.SIGKILL: "it was killed from outside, most often because memory ran out",
    signal.SIGSEGV: "the interpreter crashed in compiled code",
    signal.SIGABRT: "compiled code gave up",
}


def describe_exit_code(code: int, last_prints: bytes) -> AlgotoolsError:
    """Return the error for a worker that exited without a last message; *code* is negative for a signal."""
    if code in _OUT_OF_MEMORY_CODES and _OUT_OF_MEMORY.search(last_prints):
        return OutOfMemory("the function needs more memory than is available; a library then ended its process")
    if code < 0:
        reason = _SIGNALS.get(-code, "it was killed, or its interpreter crashed")
        return WorkerKilled(f"the function's process ended by signal {-code} ({signal.Signals(-code).name}): {reason}")
    return FunctionExited(f"the function ended its process with exit status {code} instead of returning")


def make_misuse_error() -> FunctionExited:
    """Return the error for bytes in the channel that our worker did not send."""
    return FunctionExited("the function wrote into the channel to its supervisor; leave this file descriptor alone")


def make_label_error() -> UnknownLabel:
    """Return the error for a database that the worker may not read."""
    return UnknownLabel("neither the task nor the function's signature names this database of the node")


def rebuild_error(failure: RunFailure) -> AlgotoolsError:
    """Return the worker's error as the worker raised it."""
    if failure.exit_code not in CODES:
        return make_misuse_error()
    # Some classes take other arguments than a message. So call the base class's __init__ directly.
    rebuilt = AlgotoolsError.__new__(CODES[failure.exit_code])
    AlgotoolsError.__init__(rebuilt, failure.message, detail=failure.detail)
    return rebuilt
