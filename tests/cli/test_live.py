"""The progress of a running task: a table on a terminal, otherwise lines. A signal leaves nothing running."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path

import docker
import pytest

from algotools.federation.progress import format_counts, format_duration, is_terminal
from algotools.federation.runners.containers import OWNER

from ..conftest import ALGORITHMS, COMMAND, algotools
from ..processes import LIMIT
from .terminal import Screen, TerminalProcess, run_on_terminal

SLOWLY = ("--algorithm", str(ALGORITHMS / "slowly"))


def make_nodes(folder: Path, number: int) -> tuple[str, ...]:
    """Create a federation of nodes, of which ``hospital_1`` is organization 2, and return its option."""
    (folder / "data.csv").write_text("age\n1\n")
    members = "".join(f"  - {{name: hospital_{i}, databases: {{default: data.csv}}}}\n" for i in range(1, number + 1))
    (folder / "federation.yaml").write_text(f"collaboration: demo\norganizations:\n{members}")
    return ("--federation", str(folder / "federation.yaml"))


def select_organizations(number: int) -> str:
    """Return the argument for a master that runs a subtask at the first organizations."""
    return f"organizations:={list(range(2, number + 2))}"


def test_the_table_shows_the_state_of_each_run(tmp_path: Path) -> None:
    at_once = (os.cpu_count() or 1) + 1  # runs of runner process at a time; one more node has to wait
    number = at_once + 1
    gate = f"gate={tmp_path / 'gate'}"
    command = ("run", "rounds", gate, "number:=2", select_organizations(number), *SLOWLY, *make_nodes(tmp_path, number))
    with run_on_terminal(*command, "--organizations", "2", columns=100, rows=30 + number) as process:
        screen = process.wait_until(lambda screen: screen.text.count("50% part 5 of 10") == at_once)
        assert not screen.cursor
        header, master, *steps, first, second = screen.table
        assert header.split() == ["task", "organization", "state", "time"]
        assert re.fullmatch(r"rounds +hospital_1 \(2\) +active +\d+ s  ─{16}   0% round 1 of 2", master)
        for step, row in enumerate(steps[:-1], start=1):
            line = rf"  step +hospital_{step} \({step + 1}\) +active +\d+ s  ━{{8}}─{{8}}  50% part 5 of 10"
            assert re.fullmatch(line, row)
        assert re.fullmatch(rf"  step +hospital_{number} \({number + 1}\) +pending", steps[-1].rstrip())
        assert re.fullmatch(r"rounds: 0 of 1 completed, 1 active; \d+ s", first)
        assert second == f"step: 0 of {number} completed, {at_once} active, 1 pending"

        (tmp_path / "gate-1").touch()
        screen = process.wait_until(f"step, round 2: 0 of {number} completed, {at_once} active, 1 pending")
        assert screen.text.count("step  ") == number  # the runs of the first round are not shown
        assert f"earlier rounds: {number} completed" in screen.text

        (tmp_path / "gate-2").touch()
        code, screen, _ = process.wait()
    assert code == 0
    assert screen.cursor
    lines = screen.text.splitlines()
    assert not [line for line in lines if "active" in line or "50%" in line]  # no part of a frame remains
    assert [line for line in lines if "step 2 has begun" in line]
    summary = next(i for i, line in enumerate(lines) if line.startswith("rounds: 1 of 1 completed; "))
    rounds = [f"step, round 2: {number} of {number} completed", f"earlier rounds: {number} completed"]
    assert lines[summary + 1 : summary + 3] == rounds
    assert f"│ hospital_1 (2) │ completed │ [{number}, {number}] │" in lines


def test_the_subtask_runs_of_a_master_are_below_the_master(tmp_path: Path) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    command = ("run", "rounds", gate, "number:=1", "--runner", "inline", *SLOWLY, *make_nodes(tmp_path, 2))
    with run_on_terminal(*command) as process:
        screen = process.wait_until(lambda screen: screen.text.count("50% part 5 of 10") == 4)
        names = [line[: line.index(")") + 1].split("  ") for line in screen.table if ")" in line]
        assert [[part for part in name if part] for name in names] == [
            *(["rounds", "hospital_1 (2)"], ["step", "hospital_1 (2)"], ["step", "hospital_2 (3)"]),
            *(["rounds", "hospital_2 (3)"], ["step", "hospital_1 (2)"], ["step", "hospital_2 (3)"]),
        ]
        (tmp_path / "gate-1").touch()
        assert process.wait()[0] == 0


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 6)])
def test_the_table_of_a_hundred_nodes_fits_any_terminal(tmp_path: Path, columns: int, rows: int) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    command = ("run", "rounds", gate, "number:=1", "fails_at:=50", select_organizations(100), "--runner", "inline")
    with run_on_terminal(
        *command, *SLOWLY, *make_nodes(tmp_path, 100), "--organizations", "2", columns=columns, rows=rows
    ) as process:
        (tmp_path / "gate-1").touch()
        code, screen, _ = process.wait()
        written = process.written
    assert code == 61
    assert " more" in written
    assert screen.cursor


def test_failures_and_active_runs_come_first(tmp_path: Path) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    command = ("run", "rounds", gate, "number:=1", "fails_at:=3", select_organizations(100), "--runner", "process")
    with run_on_terminal(*command, *SLOWLY, *make_nodes(tmp_path, 100), "--organizations", "2", rows=12) as process:
        screen = process.wait_until(lambda screen: "crashed" in screen.text and "50% part" in screen.text)
        table = screen.table
        assert table[1].startswith("rounds")
        assert re.search(r"hospital_2 \(3\) +crashed .*\[41\] organization 3 does not take part today", table[2])
        assert re.search(r"step +hospital_\d+ \(\d+\) +active ", table[3])
        assert re.search(r"… \d\d more", screen.text)
        assert "1 failed" in screen.text
        process.type("\x03")
        code, screen, _ = process.wait()
    assert code == 130
    assert screen.text.rstrip().endswith("stopped; nothing is left running")


def test_only_results_go_to_a_pipe_and_the_table_to_the_terminal(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = (
        "run",
        "print_and_log",
        f"gate={gate}",
        "--json",
        "--runner",
        "inline",
        *SLOWLY,
        *make_nodes(tmp_path, 1),
    )
    with run_on_terminal(*command, piped=True) as process:
        screen = process.wait_until("print_and_log: 0 of 1 completed, 1 active; ")
        lines = [
            line for line in screen.text.splitlines() if not line.startswith("organization 2, task 1: info > the po")
        ]
        assert [line for line in lines if line != "d"][:2] == [  # the line about the policy is two lines on the screen
            "printed by the function",
            r"organization 2, task 1: info > said \x1b[31mloudly\x1b[0m",
        ]
        gate.touch()
        code, _, stdout = process.wait()
    assert code == 0
    [item] = json.loads(stdout)
    assert item["result"] == "done"


@pytest.mark.parametrize(
    ("variables", "encoding", "table"),
    [
        ({"TERM": "xterm"}, "utf-8", True),
        ({"TERM": "xterm", "CI": ""}, "utf-8", True),
        ({"TERM": "xterm", "CI": "true"}, "utf-8", False),
        ({"TERM": "xterm"}, "latin-1", False),
        ({"TERM": "dumb"}, "utf-8", False),
        ({"TERM": "xterm", "PYTHONBREAKPOINT": "ipdb.set_trace"}, "utf-8", False),
        ({}, "utf-8", False),
    ],
)
def test_the_table_requires_a_capable_terminal(variables: dict[str, str], encoding: str, table: bool) -> None:
    controller, terminal = pty.openpty()
    with open(controller, "rb"), open(terminal, "w", encoding=encoding) as stream:
        assert is_terminal(stream, variables) == table
    with open(os.devnull, "w", encoding=encoding) as stream:
        assert not is_terminal(stream, variables)


def test_a_dumb_terminal_gets_lines(tmp_path: Path) -> None:
    command = ("run", "rounds", "number:=1", *SLOWLY, *make_nodes(tmp_path, 2), "--json")
    with run_on_terminal(*command, piped=True, variables={"TERM": "dumb"}) as process:
        code, _, _ = process.wait()
        written = process.written
    assert code == 0
    assert "organization 3, task 2: progress > 0% part 0 of 10\r\n" in written
    assert written.replace("\r\n", "").isprintable()


def test_a_pipe_gets_lines_without_control_characters(tmp_path: Path) -> None:
    completed = algotools("run", "print_and_log", *SLOWLY, *make_nodes(tmp_path, 2), variables={"FORCE_COLOR": "1"})
    assert r"organization 2, task 1: info > said \x1b[31mloudly\x1b[0m" in completed.stderr
    assert "organization 3, task 1: info > " in completed.stderr


def test_frequent_progress_lines_are_reduced_but_the_last_is_written(tmp_path: Path) -> None:
    completed = algotools("run", "chatters", "times:=5000", *SLOWLY, *make_nodes(tmp_path, 2))
    for organization in (2, 3):
        lines = re.findall(f"organization {organization}, task 1: progress > (.*)", completed.stderr)
        assert lines[0] == "0% item 1"
        assert lines[-1] == "100% item 5000"
        assert len(lines) < 100


def test_frequent_progress_lines_do_not_redraw_the_table(tmp_path: Path) -> None:
    with run_on_terminal("run", "chatters", "times:=5000", *SLOWLY, *make_nodes(tmp_path, 2)) as process:
        code, screen, _ = process.wait()
        written = process.written
    assert code == 0
    assert "progress >" not in written
    assert written.count("\x1b[2K") < 5000
    assert screen.text.count("│ 5000") == 2


def test_frequent_lines_scroll_above_the_table(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = ("run", "log_until_gate", f"gate={gate}", *SLOWLY, *make_nodes(tmp_path, 1))
    with run_on_terminal(*command) as process:

        def read_seconds(screen: Screen) -> int:
            match = re.search(r"0 of 1 completed, 1 active; (\d+) s", screen.text)
            return int(match[1]) if match and "and another thing" in screen.text else -1

        screen = process.wait_until(lambda screen: read_seconds(screen) >= 0)
        process.wait_until(lambda now: read_seconds(now) > read_seconds(screen))
        gate.touch()
        code, screen, _ = process.wait()
    assert code == 0
    assert "that is all" in screen.text


@pytest.mark.parametrize("runner", ["process", "inline"])
def test_a_failure_is_reported_while_other_runs_continue(tmp_path: Path, runner: str) -> None:
    gate = tmp_path / "gate"
    command = ("run", "step", "number:=1", f"gate={gate}", "fails_at:=3", "--runner", runner)
    with run_on_terminal(*command, *SLOWLY, *make_nodes(tmp_path, 2), variables={"TERM": "dumb"}) as process:
        process.wait_until("organization 3, task 1: crashed: [41] organization 3 does not take part today")
        gate.touch()
        assert process.wait()[0] == 61


def test_the_table_is_removed_when_a_function_reads_input(tmp_path: Path) -> None:
    with run_on_terminal("run", "asks", *SLOWLY, *make_nodes(tmp_path, 1), "--runner", "inline") as process:
        screen = process.wait_until("a number, please: ")
        assert screen.cursor
        assert screen.text.rstrip().endswith("a number, please:")
        before = process.written
        time.sleep(0.5)  # several frame intervals
        assert process.written == before
        process.type("42\n")
        code, screen, _ = process.wait()
    assert code == 0
    assert '"42"' in screen.text


def test_a_breakpoint_stops_in_the_authors_function_without_a_table(tmp_path: Path) -> None:
    with run_on_terminal(
        "run", "stops", "number:=4", *SLOWLY, *make_nodes(tmp_path, 1), "--runner", "inline"
    ) as process:
        screen = process.wait_until("(Pdb)")
        assert "slowly/__init__.py(" in screen.text
        assert "stops: " not in screen.text  # no table
        process.type("p double + 34\n")
        process.wait_until("\n42\n(Pdb)")
        process.type("c\n")
        code, screen, _ = process.wait()
    assert code == 0
    assert "│ 8 " in screen.text


@pytest.mark.parametrize(
    ("runner", "sent", "code"),
    [
        ("process", signal.SIGINT, 130),
        ("process", signal.SIGTERM, 143),
        ("process", signal.SIGHUP, 129),
        ("inline", signal.SIGTERM, 143),
    ],
    ids=str,
)
def test_a_signal_stops_all_runs(tmp_path: Path, runner: str, sent: signal.Signals, code: int) -> None:
    mark = str(uuid.uuid4())
    command = ("run", "rounds", f"gate={tmp_path / 'gate'}", "--runner", runner, *SLOWLY, *make_nodes(tmp_path, 3))
    with run_on_terminal(*command, variables={"PYTHON_MARK": mark}) as process:  # inherited by the process of every run
        process.wait_until("50% part 5 of 10")
        for _ in range(2):  # a second signal has no effect
            process.popen.send_signal(sent)
        exit_code, screen, _ = process.wait()
    assert exit_code == code
    assert screen.cursor
    assert screen.text.rstrip().endswith("stopped; nothing is left running")
    assert "Traceback" not in screen.everything
    assert "part 5" not in screen.text
    assert find_marked_processes(mark) == []


def test_an_ignored_signal_remains_ignored(tmp_path: Path) -> None:
    """``nohup`` starts commands with SIGHUP ignored."""
    gate = tmp_path / "gate"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command = ("run", "step", "number:=1", f"gate={gate}", *SLOWLY, *make_nodes(tmp_path, 1))
        with run_on_terminal(*command) as process:
            process.wait_until("50% part 5 of 10")
            process.popen.send_signal(signal.SIGHUP)
            gate.touch()
            assert process.wait()[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.docker
def test_no_container_remains_after_two_interrupts(
    tmp_path: Path, engine: docker.DockerClient, base_image: str
) -> None:
    command = ("run", "rounds", "gate=/never", "--runner", "container", *SLOWLY, *make_nodes(tmp_path, 2))
    with run_on_terminal(*command) as process:
        process.wait_until("50% part 5 of 10")
        assert list_containers(engine, process) != []
        process.type("\x03\x03")
        code, screen, _ = process.wait()
    assert code == 130
    assert screen.cursor
    assert "nothing is left running" in screen.text
    assert list_containers(engine, process) == []


def list_containers(engine: docker.DockerClient, process: TerminalProcess) -> list[str]:
    """Return the names of the containers that a command has started."""
    containers = engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
    return [str(container.name) for container in containers if str(process.popen.pid) in container.labels[OWNER]]


def test_an_interrupt_stops_all_runs_without_a_terminal(tmp_path: Path) -> None:
    mark = str(uuid.uuid4())
    command = ("run", "step", "number:=1", f"gate={tmp_path / 'gate'}", *SLOWLY, *make_nodes(tmp_path, 1))
    with subprocess.Popen(
        [*COMMAND, *command],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHON_MARK": mark},
    ) as process:
        assert process.stderr is not None
        lines = (line for line in process.stderr if "step 1 has begun" in line)
        assert next(lines)
        assert len(find_marked_processes(mark)) > 1
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "nothing is left running" in stderr
    assert find_marked_processes(mark) == []


def find_marked_processes(mark: str) -> list[str]:
    """Return the ids of the processes that have a mark in their environment."""
    processes = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                processes.append(folder.name)
    return processes


def test_counts_and_times_are_short() -> None:
    statuses = Counter(["completed", "crashed", "active", "initializing", "pending", "completed", "killed by user"])
    assert format_counts(statuses) == "2 of 7 completed, 2 failed, 2 active, 1 pending"
    assert format_counts(statuses, with_total=False) == "2 completed, 2 failed, 2 active, 1 pending"
    durations = [None, 7.9, 83, 3671]
    assert format_duration(0.26, exactly=True) == "0.3 s"
    assert list(map(format_duration, durations)) == ["", "7 s", "1:23", "1:01:11"]
