"""Signals at random moments: no process and no temporary file stays, nothing hangs, and all codes are documented."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from algotools.federation import folders

from ..conftest import ALGORITHMS, COMMAND, ManualNode, environment, write_patients
from .scoreboard import AttackGroup

ATTEMPTS = 156
PARTS = 4
LIMIT = 300.0
"""Seconds in which a process must have stopped after its last signal."""
GRACE = 100.0
"""Seconds in which the descendants of a stopped process must have stopped."""
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGSTOP)

ENDLESS = '''\
"""An algorithm whose functions never return."""
import subprocess
import time

import pandas as pd

from algotools import Column, rpc


@rpc
def spin(data: pd.DataFrame, column: Column) -> int:
    while True:
        pass


@rpc
def wait(data: pd.DataFrame) -> int:
    subprocess.run(["sleep", "600"])
    time.sleep(600)
    return 1
'''
PROGRAM = """\
import sys
from algotools import Federation
with Federation(sys.argv[2:], algorithm=sys.argv[1], runner="process", timeout=3) as federation:
    for number in range(3):
        try:
            federation.run("step", number=number, seconds=1.0)
        except Exception as error:
            print(getattr(error, "exit_code", repr(error)))
"""


class Scenario(NamedTuple):
    """A process to disturb, and whether the signal goes to one of its descendants instead."""

    title: str
    command: list[str]
    folder: Path
    variables: dict[str, str]
    hits_descendant: bool = False
    is_container: bool = False


def attack(group: AttackGroup, seed: int, share: float = 1.0) -> None:
    """Start processes, and send each a signal at a random moment; a complete attack uses several processes."""
    total, parts = round(ATTEMPTS * share), PARTS if share == 1 else 1
    numbers = [range(part, total, parts) for part in range(parts)]
    if parts == 1:
        _attack_part(group, seed, numbers[0])
        return
    with ProcessPoolExecutor(parts, multiprocessing.get_context("fork")) as executor:
        futures = [
            executor.submit(_attack_part, AttackGroup(group.title), seed + part, numbers[part]) for part in range(parts)
        ]
        for future in futures:
            group.add(future.result())


def _attack_part(group: AttackGroup, seed: int, numbers: range) -> AttackGroup:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans become children of this process, so none is missed
    chance = random.Random(seed)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            make = list_scenarios(Path(scratch))
            for number in numbers:
                scenario = make[number % len(make)]()
                number_of_signal = SIGNALS[number // len(make) % len(SIGNALS)]
                _disturb(group, scenario, number_of_signal, chance, Path(scratch, f"tmp-{number}"))
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    return group


def list_scenarios(scratch: Path) -> list[Callable[[], Scenario]]:
    """Return functions that prepare a scenario."""
    slowly = ALGORITHMS / "slowly"
    patients = str(write_patients(scratch))
    arguments = [
        "run",
        "step",
        "number:=1",
        "seconds:=5",
        "--algorithm",
        str(slowly),
        "--data",
        patients,
        "--data",
        patients,
    ]
    project = scratch / "endless"
    project.mkdir()
    (project / "endless.py").write_text(ENDLESS, encoding="utf-8")
    (project / "pyproject.toml").write_text('[project]\nname = "endless"\nversion = "1"\n', encoding="utf-8")
    organization = f"- name: a\n  databases: {{default: {patients}}}\n"
    (project / "federation.yaml").write_text(f"organizations:\n{organization}", encoding="utf-8")
    node = ManualNode(scratch / "task-000000001", {"default": Path(patients)})
    node.folder.mkdir()

    def make_container() -> Scenario:
        posted = b'{"method": "never_returns"}'
        variables = node.environment(ALGORITHMS / "misbehaving", posted, variables={"ALGOTOOLS_TIMEOUT": "20"})
        return Scenario("entry point", [sys.executable, "-m", "algotools"], node.folder, variables, is_container=True)

    variables = environment()
    program = [sys.executable, "-c", PROGRAM, str(slowly), patients, patients]
    return [
        lambda: Scenario("run", [*COMMAND, *arguments], scratch, variables),
        lambda: Scenario("run --timeout", [*COMMAND, *arguments, "--timeout", "3"], scratch, variables, True),
        lambda: Scenario("check", [*COMMAND, "check", str(project)], scratch, variables),
        lambda: Scenario("preloaded", program, scratch, variables, True),
        lambda: Scenario("federation", program, scratch, variables),
        make_container,
    ]


def _disturb(
    group: AttackGroup, scenario: Scenario, number: signal.Signals, chance: random.Random, folder: Path
) -> None:
    folder.mkdir()
    # While Python starts, it has its own handlers of signals, and its own tracebacks.
    is_early = chance.random() < 0.15
    delay = chance.uniform(0.0, 0.4 if is_early else 2.0)
    name = f"{scenario.title}, {number.name} {delay:.2f} s after the {'start' if is_early else 'imports'}"
    group.attempts += 1
    earlier = frozenset(_list_descendants(os.getpid()))
    with open(folder.with_suffix(".log"), "w+b") as log:
        process = subprocess.Popen(
            scenario.command,
            cwd=scenario.folder,
            env={**scenario.variables, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        if not is_early:
            _wait_until_ready(process)
        time.sleep(delay)
        target = process.pid
        if scenario.hits_descendant and (descendants := list(_list_descendants(process.pid))):
            target = chance.choice(descendants)
            name = f"{name} to a descendant"
        group.notes["running" if process.poll() is None else "finished before"] += 1
        with contextlib.suppress(ProcessLookupError):
            os.kill(target, number)
        if number == signal.SIGSTOP and target == process.pid:
            time.sleep(1.0)
            # A stopped process can only be continued or killed.
            for last in chance.choice([(signal.SIGKILL,), (signal.SIGCONT, signal.SIGTERM)]):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(last)
                name = f"{name}, {last.name}"
        code = _wait(process, LIMIT)
        log.seek(0)
        text = log.read().decode("utf-8", "backslashreplace")
    if code is None:
        group.report("hang", name, f"still running after {LIMIT:g} s: {text[-300:]}")
        process.kill()
        process.wait()
    else:
        # A signal without a handler gives no exit code: SIGKILL, and SIGHUP in a container.
        group.check_code(code, f"{name}: {text[-200:]}", allowed=_list_allowed_codes(scenario, is_early=is_early))
        if not is_early and scenario.command[2] != PROGRAM:
            # The error of a time limit has the stack of the author's function.
            group.check_text(re.sub(r'^ +File ".*/slowly/__init__\.py", line .*$', "", text, flags=re.MULTILINE), name)
    _check_remains(group, name, scenario, folder, process.pid, earlier, was_killed=code is None or code < 0)


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process handles SIGTERM, has a child, or has exited."""
    deadline = time.monotonic() + LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text("utf-8")
            caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
            if caught >> (signal.SIGTERM - 1) & 1 or any(_list_descendants(process.pid)):
                return
        time.sleep(0.02)


def _list_allowed_codes(scenario: Scenario, *, is_early: bool) -> set[int]:
    codes = {-signal.SIGKILL, -signal.SIGHUP} if scenario.is_container else {-signal.SIGKILL}
    if scenario.command[2] == PROGRAM:  # a program of the author, whose signals Python handles
        codes |= {-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT}
    return codes | ({-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT} if is_early else set())


def _check_remains(
    group: AttackGroup,
    name: str,
    scenario: Scenario,
    folder: Path,
    pid: int,
    earlier: frozenset[int],
    *,
    was_killed: bool,
) -> None:
    """Count processes and folders that are left; end these processes, which are descendants of our own.

    The processes in *earlier* existed before, such as those that other tests of the session use.
    """
    deadline = time.monotonic() + GRACE

    def list_orphans() -> list[int]:
        return [number for number in _list_descendants(os.getpid()) if number not in earlier]

    while (orphans := list_orphans()) and time.monotonic() < deadline:
        _reap(orphans)
        time.sleep(0.05)
    for orphan in orphans:
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{orphan}/cmdline").read_bytes().replace(b"\0", b" ")[:200]
            group.report("orphan", name, command.decode("utf-8", "backslashreplace"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
    while orphans := list_orphans():
        _reap(orphans)
        time.sleep(0.01)
    if scenario.is_container:
        return  # its temporary files vanish with the container
    if was_killed:  # the next federation removes the folders of killed processes
        for parent in (folder, Path("/dev/shm")):
            folders.make_folder(parent).rmdir()
    for path in (*folder.iterdir(), *Path("/dev/shm").glob(f"{folders.PREFIX}*-{pid}-*")):
        group.report("left", name, f"{path.name}: {[p.name for p in path.rglob('*')][:5]}")


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _list_descendants(ancestor: int) -> Iterator[int]:
    """Yield the ids of all descendants of a process, including those that have exited but are not reaped."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                stat = Path(f"/proc/{entry}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                parents[int(entry)] = int(stat[1])
    for pid in parents:
        current = pid
        while current in parents and current != ancestor:
            current = parents[current]
        if current == ancestor and pid != ancestor:
            yield pid


def _reap(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
