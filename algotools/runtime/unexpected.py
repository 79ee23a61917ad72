"""Exceptions that no other code handles: a used-up resource of the machine, or a bug in algotools."""

from __future__ import annotations

import errno
import os

from algotools.errors import AlgotoolsError, InternalError, MachineError

_RESOURCES = {
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
    errno.EAGAIN: "processes or threads",
    errno.ENOMEM: "memory",
    errno.ENOSPC: "disk space",
    errno.EDQUOT: "disk space",
}
"""Error of the operating system -> the resource that is used up."""


def convert_unexpected(error: BaseException) -> AlgotoolsError:
    """Return the error for an exception that no other code has handled: a used-up resource, or a bug in algotools."""
    resource = _find_resource(error)
    if resource is None:
        return InternalError.from_exception(error)
    message = f"this machine has no {resource} left for this process; stop other programs, or raise the limit"
    return MachineError(message, detail=str(error))


def _find_resource(error: BaseException) -> str | None:
    """Return the resource whose lack is the cause of an exception; None for another cause."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, FileNotFoundError) and "No usable temporary directory" in str(error):
        return "usable temporary folder"  # the module tempfile hides the reason
    if isinstance(error, OSError):
        return _RESOURCES.get(error.errno or 0)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return "threads"
    if isinstance(error, ImportError):  # the message is that of the system's loader of libraries
        texts = {os.strerror(number): resource for number, resource in _RESOURCES.items()}
        texts |= {"failed to map segment": "memory", "cannot allocate": "memory"}
        return next((resource for text, resource in texts.items() if text in str(error)), None)
    return None
