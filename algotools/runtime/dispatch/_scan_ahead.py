"""The process that scans a large CSV file while the worker imports the algorithm; see ``algotools.data.ahead``.

The process is a copy of the worker before the author's code is imported. So the worker's confinement applies to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable
from typing import NoReturn

from algotools.data import ahead
from algotools.runtime.lifetime import die_with_parent
from algotools.task import Database


def start_scan(databases: Iterable[Database]) -> None:
    """Start the scan of the first large CSV file, if this process may use a second processor, which has no other work.

    Otherwise, the scan would only delay the imports, and might not be needed at all.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or not _has_free_processor():
        return
    if (database := ahead.select_file(databases)) is None:
        return
    read_end, write_end = os.pipe()
    worker = os.getpid()
    try:
        process = os.fork()
    except OSError:  # the limit of processes or memory; the reader scans the file
        os.close(read_end)
        os.close(write_end)
        return
    if process == 0:
        _scan(database, write_end, worker)
    os.close(write_end)
    ahead.add(database, read_end, lambda: _stop(process))


def _has_free_processor() -> bool:
    processors = len(os.sched_getaffinity(0))
    try:
        return os.getloadavg()[0] <= processors > 1
    except OSError:
        return processors > 1


def _scan(database: Database, write_end: int, worker: int) -> NoReturn:
    """Write the report and exit. Errors are not reported, because the reader finds them again."""
    try:
        die_with_parent(worker)
        # The channel must not stay open here if the worker exits.
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        os.closerange(3, write_end)
        os.closerange(write_end + 1, os.sysconf("SC_OPEN_MAX"))
        # NumPy's import would start a thread for each processor, which takes longer than the rest of the import.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        report = memoryview(ahead.make_report(database))
        while report:
            report = report[os.write(write_end, report) :]
    finally:
        os._exit(0)


def _stop(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):  # the author's code has waited for all processes
        os.waitpid(process, 0)
