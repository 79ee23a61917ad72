"""The supervisor's loop at a moment that only a busy machine makes long."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from algotools.errors import CODES
from algotools.runtime.dispatch._worker_errors import rebuild_error
from algotools.runtime.dispatch.messages import RunFailure

from ...conftest import ManualNode
from ...processes import LIMIT, wait_until

# The worker sends its result and exits after the supervisor has polled the channel, and before it polls the process.
EXITS_BETWEEN_TWO_POLLS = """
import os
from algotools.runtime import run
from algotools.runtime.dispatch import supervisor

start, wait_readable, worker = run.ChildWorker, supervisor.wait_readable, []
permit, permitted = supervisor.Gate.permit, []

def record_start(environ):
    worker.append(start(environ))
    return worker[-1]

def record_permission(*arguments):
    permitted.append(permit(*arguments))
    return permitted[-1]

def wait_for_exit(*arguments):
    if len(worker) != 1 or not permitted:  # the worker waits for the permission
        return wait_readable(*arguments)
    process = worker[0]
    worker.append(None)
    try:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:  # on a loaded machine, the worker has exited before the poll that follows the permission
        return wait_readable(*arguments)
    return []  # nothing was readable at the poll; by now the worker has sent its result and exited

run.ChildWorker, supervisor.wait_readable = record_start, wait_for_exit
supervisor.Gate.permit = record_permission
code = run.main(os.environ)
assert len(worker) == 2
os._exit(code)
"""


def test_a_result_sent_just_before_the_exit_is_received(by_hand: ManualNode, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "well", "kwargs": {"number": 3}}')
    outcome = subprocess.run(
        [sys.executable, "-c", EXITS_BETWEEN_TWO_POLLS],
        env=environment, cwd=by_hand.folder, capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert json.loads((by_hand.folder / "output").read_bytes())["number"] == 3


def test_a_worker_exits_when_its_supervisor_is_killed(by_hand: ManualNode, misbehaving: Path) -> None:
    process = by_hand.start(by_hand.environment(misbehaving, b'{"method": "never_returns"}'))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: children.read_text().split())
    (worker,) = children.read_text().split()
    wait_until(lambda: "algotools.runtime.dispatch" in Path(f"/proc/{worker}/cmdline").read_text())
    time.sleep(1)
    process.kill()
    process.communicate(timeout=LIMIT)
    stat = Path(f"/proc/{worker}/stat")
    wait_until(lambda: not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("code", CODES)
def test_each_error_of_the_worker_is_rebuilt(code: int) -> None:
    error = rebuild_error(RunFailure(code, "message", "detail"))
    assert (type(error), error.message, error.detail) == (CODES[code], "message", "detail")
