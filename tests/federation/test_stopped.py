"""Processes that are stopped or killed from outside: nothing hangs, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from algotools import Federation
from algotools.federation.runners import workers as process_workers

from ..conftest import ALGORITHMS, COMMAND, ManualNode, environment
from ..processes import LIMIT, read_pids, wait_until_dead

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a stopped process on behalf of another"),
]

LINGERING = ALGORITHMS / "lingering"
Start = Callable[..., "subprocess.Popen[str]"]

TEMPLATE, WORKER, CHILD = range(3)
"""Positions in the list of processes that `linger` writes."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("x\n1\n", encoding="utf-8")
    return path


@pytest.fixture
def pids_file(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def start(data: Path, pids_file: Path) -> Iterator[Start]:
    """Start the command line with a function that never returns."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        arguments = ["run", "linger", f"file={pids_file}", "--data", str(data), "--algorithm", str(LINGERING)]
        started.append(
            subprocess.Popen(
                [*COMMAND, *arguments, *options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("stopped", "signal_to_command", "code"),
    [
        ((TEMPLATE,), None, 61),
        ((WORKER,), None, 61),
        ((TEMPLATE,), signal.SIGINT, 130),
        ((TEMPLATE, WORKER, CHILD), None, 61),
        ((TEMPLATE, WORKER, CHILD), signal.SIGTERM, 143),
    ],
)
def test_a_stopped_process_delays_neither_the_time_limit_nor_a_signal(
    start, pids_file, stopped, signal_to_command, code
):
    command = start(*(["--timeout", "3"] if signal_to_command is None else []))
    pids = read_pids(pids_file)
    for position in stopped:
        os.kill(pids[position], signal.SIGSTOP)
    if signal_to_command is not None:
        command.send_signal(signal_to_command)
    stdout, stderr = command.communicate(timeout=LIMIT)
    wait_until_dead(pids)
    assert command.returncode == code, stdout + stderr
    assert "Traceback" not in stderr
    if signal_to_command is None:
        assert "the run did not end within its limit of 3 s" in stdout + stderr


@pytest.mark.parametrize("stopped", [(), (TEMPLATE,), (TEMPLATE, WORKER, CHILD)])
def test_a_killed_command_leaves_no_process(start, pids_file, stopped):
    command = start()
    pids = read_pids(pids_file)
    for position in stopped:
        os.kill(pids[position], signal.SIGSTOP)
    command.kill()
    wait_until_dead(pids)


def test_a_killed_template_takes_its_worker_with_it(start, pids_file):
    command = start()
    pids = read_pids(pids_file)
    os.kill(pids[TEMPLATE], signal.SIGKILL)
    stdout, stderr = command.communicate(timeout=LIMIT)
    wait_until_dead(pids[:CHILD])
    wait_until_dead(pids[CHILD:])
    assert command.returncode == 61
    assert "ended by signal 9 (SIGKILL)" in stdout + stderr


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_dies_with_its_supervisor(by_hand: ManualNode, pids_file: Path, stopped: bool) -> None:
    posted = f'{{"method": "linger", "kwargs": {{"file": "{pids_file}"}}}}'.encode()
    supervisor = by_hand.start(by_hand.environment(LINGERING, posted))
    pids = read_pids(pids_file)
    assert pids[0] == supervisor.pid
    if stopped:
        os.kill(pids[WORKER], signal.SIGSTOP)
    supervisor.kill()
    supervisor.communicate()
    try:
        wait_until_dead(pids[:CHILD])
    finally:
        os.kill(pids[CHILD], signal.SIGKILL)  # outside a container, nothing connects this process to the supervisor


def test_a_template_that_does_not_respond_is_replaced(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_workers, "_RESPONSE_TIMEOUT", 0.5)
    with Federation([data], algorithm=LINGERING, runner="process") as federation:
        (template,) = federation.run("identify_parent")
        assert template != os.getppid()
        os.kill(template, signal.SIGSTOP)
        assert federation.run("identify_parent") != [template]
        wait_until_dead([template])


def test_a_task_can_be_cancelled_while_its_template_is_stopped(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_workers, "_RESPONSE_TIMEOUT", 2 * LIMIT)
    with Federation([data], algorithm=LINGERING, runner="process") as federation:
        (template,) = federation.run("identify_parent")
        assert template != os.getppid()
        os.kill(template, signal.SIGSTOP)
        client = federation.client()
        task = client.task.create(1, [2], input={"method": "identify_parent", "kwargs": {}, "master": False})
        federation.kill(task["id"])
        assert federation.wait(task["id"], LIMIT)
        assert federation.task(task["id"]).runs[0].status == "killed by user"
    wait_until_dead([template])
