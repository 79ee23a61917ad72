"""The supervisor's listening, at the moments that a busy machine makes longer."""

from __future__ import annotations

import json
import subprocess
import sys

from ..conftest import ByHand

ENDS_BETWEEN_TWO_LOOKS = """
import os
from algotools import container
from algotools.dispatch import supervisor

fork, look, worker = os.fork, supervisor._readable, []

def forked():
    worker.append(fork())
    return worker[-1]

def looked(*arguments):
    if len(worker) != 1:
        return look(*arguments)
    os.waitid(os.P_PID, worker[0], os.WEXITED | os.WNOWAIT)
    worker.append(None)
    return []  # nothing had come when we looked; by now the worker has answered, and has ended

os.fork, supervisor._readable = forked, looked
code = container.main(os.environ)
assert len(worker) == 2
os._exit(code)
"""


def test_a_worker_that_answers_and_ends_between_two_looks_is_heard(by_hand: ByHand, misbehaving) -> None:
    environment = by_hand.environment(misbehaving, b'{"method": "well", "kwargs": {"number": 3}}')
    ended = subprocess.run(
        [sys.executable, "-c", ENDS_BETWEEN_TWO_LOOKS],
        env=environment, cwd=by_hand.folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((by_hand.folder / "output").read_bytes())["number"] == 3
