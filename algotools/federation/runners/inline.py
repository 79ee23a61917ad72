"""The inline runner: functions run in threads of this process, so breakpoints work.

Nothing isolates the author's code: a function that crashes or exits stops this process, too.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import traceback

from algotools.data.time_limit import call_within
from algotools.errors import TimedOut
from algotools.federation.runners import Cancellation, Job
from algotools.runtime import logs
from algotools.runtime.dispatch.checking import CheckedCall, CheckReply, check
from algotools.runtime.dispatch.gated import GatedAccess
from algotools.runtime.dispatch.perform import Load
from algotools.runtime.dispatch.stack import describe_position, make_late_error
from algotools.runtime.dispatch.supervisor import Run
from algotools.runtime.logs import Console
from algotools.runtime.run import read_task, run_task


class InlineRunner:
    """Calls functions in threads of this process."""

    sees_frames = True
    has_gate = True

    def __init__(self, load: Load) -> None:
        self._load = load
        self.slots = 4 + 2 * (os.cpu_count() or 1)

    def run(self, job: Job, console: Console, timeout: float | None) -> int:
        """See ``Runner``.

        A thread cannot be stopped from outside. A function that exceeds its time limit continues, and its result is
        dropped.
        """
        del timeout  # `run_task` reads the time limit from the environment
        return run_task(lambda: read_task(job.environment), lambda run: self._call(run, job.cancellation), console)

    def _call(self, run: Run, cancellation: Cancellation) -> bytes:
        """Call the function and return its encoded result.

        Raises:
            AlgotoolsError: the function failed, or exceeded its time limit.
        """
        node = GatedAccess(run)
        threads: list[int] = []

        def work() -> bytes:
            threads.append(threading.get_ident())
            with (
                logs.use_console(node.write_line),
                cancellation.offer_position(lambda: describe_position(extract_frames(), node.source)),
            ):
                return node.perform(self._load)

        def extract_frames() -> list[traceback.FrameSummary]:
            frame = sys._current_frames().get(threads[0]) if threads else None  # noqa: SLF001 - the only way to read it
            return list(traceback.extract_stack(frame)) if frame else []

        if run.timeout is None:
            return work()
        late_error = make_late_error(run.timeout, (), None)
        context = contextvars.copy_context()  # the prints of a run that probes are muted in its context
        try:
            return call_within(run.timeout, lambda: context.run(work), late_error)
        except TimedOut as error:
            if error is not late_error:
                raise
            raise make_late_error(run.timeout, extract_frames(), node.source) from None

    def check(self, call: CheckedCall | None, timeout: float) -> CheckReply | None:
        """See ``Runner``."""
        late = TimedOut("the check of the call did not end in time")
        try:
            return call_within(timeout, lambda: check(self._load, call), late)
        except TimedOut as error:
            if error is not late:
                raise
            return None

    def start(self) -> None:
        """See ``Runner``. Nothing to prepare."""

    def stop(self) -> None:
        """See ``Runner``. A thread exits when its function returns."""

    def close(self) -> None:
        """See ``Runner``. A thread cannot be stopped from outside; it exits when its function returns."""
