"""While a task is run: a table on a terminal, lines elsewhere; and nothing left when somebody ends it."""

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
from rich.cells import cell_len

from algotools.cli.frame import fit, lasted
from algotools.cli.live import is_terminal
from algotools.cli.overview import counted
from algotools.federation.runners.containers import OWNER

from ..conftest import ALGORITHMS, COMMAND, algotools
from .terminal import OnTerminal, Screen, on_terminal

SLOWLY = ("--algorithm", str(ALGORITHMS / "slowly"))


def nodes(folder: Path, number: int) -> tuple[str, ...]:
    """The option for a federation of so many nodes, ``hospital_1`` being organization 2."""
    (folder / "data.csv").write_text("age\n1\n")
    members = "".join(f"  - {{name: hospital_{i}, databases: {{default: data.csv}}}}\n" for i in range(1, number + 1))
    (folder / "federation.yaml").write_text(f"collaboration: demo\norganizations:\n{members}")
    return ("--federation", str(folder / "federation.yaml"))


def to_all(number: int) -> str:
    """The argument of a master that asks so many organizations."""
    return f"organizations:={list(range(2, number + 2))}"


def test_a_table_tells_who_is_how_far(tmp_path: Path) -> None:
    at_once = (os.cpu_count() or 1) + 1  # in runner process; one node more has to wait
    number = at_once + 1
    gate = f"gate={tmp_path / 'gate'}"
    asked = ("run", "rounds", gate, "number:=2", to_all(number), *SLOWLY, *nodes(tmp_path, number))
    with on_terminal(*asked, "--organizations", "2", columns=100, rows=30 + number) as running:
        screen = running.until(lambda screen: screen.text.count("50% part 5 of 10") == at_once)
        assert not screen.cursor
        head, master, *steps, first, second = screen.table
        assert head.split() == ["task", "organization", "state", "time"]
        assert re.fullmatch(r"rounds +hospital_1 \(2\) +active +\d+ s  ─{16}   0% round 1 of 2", master)
        for step, row in enumerate(steps[:-1], start=1):
            line = rf"  step +hospital_{step} \({step + 1}\) +active +\d+ s  ━{{8}}─{{8}}  50% part 5 of 10"
            assert re.fullmatch(line, row)
        assert re.fullmatch(rf"  step +hospital_{number} \({number + 1}\) +pending", steps[-1].rstrip())
        assert re.fullmatch(r"rounds: 0 of 1 completed, 1 active; \d+ s", first)
        assert second == f"step: 0 of {number} completed, {at_once} active, 1 pending"

        (tmp_path / "gate-1").touch()
        screen = running.until(f"step, round 2: 0 of {number} completed, {at_once} active, 1 pending")
        assert screen.text.count("step  ") == number  # those of the first round have made place
        assert f"rounds before: {number} completed" in screen.text

        (tmp_path / "gate-2").touch()
        code, screen, _ = running.end()
    assert code == 0
    assert screen.cursor
    lines = screen.text.splitlines()
    assert not [line for line in lines if "active" in line or "50%" in line]  # no frame is left behind
    assert [line for line in lines if "step 2 has begun" in line]
    summary = next(i for i, line in enumerate(lines) if line.startswith("rounds: 1 of 1 completed; "))
    rounds = [f"step, round 2: {number} of {number} completed", f"rounds before: {number} completed"]
    assert lines[summary + 1 : summary + 3] == rounds
    assert f"│ hospital_1 (2) │ completed │ [{number}, {number}] │" in lines


def test_what_a_master_asks_for_is_below_it(tmp_path: Path) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    asked = ("run", "rounds", gate, "number:=1", "--runner", "inline", *SLOWLY, *nodes(tmp_path, 2))
    with on_terminal(*asked) as running:
        screen = running.until(lambda screen: screen.text.count("50% part 5 of 10") == 4)
        names = [line[: line.index(")") + 1].split("  ") for line in screen.table if ")" in line]
        assert [[part for part in name if part] for name in names] == [
            *(["rounds", "hospital_1 (2)"], ["step", "hospital_1 (2)"], ["step", "hospital_2 (3)"]),
            *(["rounds", "hospital_2 (3)"], ["step", "hospital_1 (2)"], ["step", "hospital_2 (3)"]),
        ]
        (tmp_path / "gate-1").touch()
        assert running.end()[0] == 0


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 6)])
def test_a_hundred_nodes_fit_any_terminal(tmp_path: Path, columns: int, rows: int) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    asked = ("run", "rounds", gate, "number:=1", "fails_at:=50", to_all(100), "--runner", "inline")
    with on_terminal(
        *asked, *SLOWLY, *nodes(tmp_path, 100), "--organizations", "2", columns=columns, rows=rows
    ) as running:
        (tmp_path / "gate-1").touch()
        code, screen, _ = running.end()
        written = running.written
    assert code == 61
    assert " more" in written
    assert screen.cursor


def test_failures_and_what_goes_on_come_first(tmp_path: Path) -> None:
    gate = f"gate={tmp_path / 'gate'}"
    asked = ("run", "rounds", gate, "number:=1", "fails_at:=3", to_all(100), "--runner", "process")
    with on_terminal(*asked, *SLOWLY, *nodes(tmp_path, 100), "--organizations", "2", rows=12) as running:
        screen = running.until(lambda screen: "crashed" in screen.text and "50% part" in screen.text)
        table = screen.table
        assert table[1].startswith("rounds")
        assert re.search(r"hospital_2 \(3\) +crashed .*\[41\] organization 3 does not take part today", table[2])
        assert re.search(r"step +hospital_\d+ \(\d+\) +active ", table[3])
        assert re.search(r"… \d\d more", screen.text)
        assert "1 failed" in screen.text
        running.type("\x03")
        code, screen, _ = running.end()
    assert code == 130
    assert screen.text.rstrip().endswith("stopped; nothing is left running")


def test_results_go_to_a_pipe_alone_and_the_table_to_the_terminal(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    asked = ("run", "shouts", f"gate={gate}", "--json", "--runner", "inline", *SLOWLY, *nodes(tmp_path, 1))
    with on_terminal(*asked, piped=True) as running:
        screen = running.until("shouts: 0 of 1 completed, 1 active; ")
        assert screen.text.splitlines()[:2] == [
            "printed by the function",
            r"organization 2, task 1: info > said \x1b[31mloudly\x1b[0m",
        ]
        gate.touch()
        code, _, stdout = running.end()
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
def test_a_table_needs_a_terminal_that_can_draw_it(variables: dict[str, str], encoding: str, table: bool) -> None:
    controller, terminal = pty.openpty()
    with open(controller, "rb"), open(terminal, "w", encoding=encoding) as stream:
        assert is_terminal(stream, variables) == table
    with open(os.devnull, "w", encoding=encoding) as stream:
        assert not is_terminal(stream, variables)


def test_a_terminal_that_can_do_little_gets_lines(tmp_path: Path) -> None:
    asked = ("run", "rounds", "number:=1", *SLOWLY, *nodes(tmp_path, 2), "--json")
    with on_terminal(*asked, piped=True, variables={"TERM": "dumb"}) as running:
        code, _, _ = running.end()
        written = running.written
    assert code == 0
    assert "organization 3, task 2: progress > 0% part 0 of 10\r\n" in written
    assert written.replace("\r\n", "").isprintable()


def test_a_pipe_gets_lines_without_a_control_character(tmp_path: Path) -> None:
    ended = algotools("run", "shouts", *SLOWLY, *nodes(tmp_path, 2), variables={"FORCE_COLOR": "1"})
    assert r"organization 2, task 1: info > said \x1b[31mloudly\x1b[0m" in ended.stderr
    assert "organization 3, task 1: info > " in ended.stderr


def test_a_flood_of_progress_is_told_now_and_then_and_its_end_always(tmp_path: Path) -> None:
    ended = algotools("run", "chatters", "times:=5000", *SLOWLY, *nodes(tmp_path, 2))
    for organization in (2, 3):
        lines = re.findall(f"organization {organization}, task 1: progress > (.*)", ended.stderr)
        assert lines[0] == "0% item 1"
        assert lines[-1] == "100% item 5000"
        assert len(lines) < 100


def test_a_flood_of_progress_leaves_the_table_in_peace(tmp_path: Path) -> None:
    with on_terminal("run", "chatters", "times:=5000", *SLOWLY, *nodes(tmp_path, 2)) as running:
        code, screen, _ = running.end()
        written = running.written
    assert code == 0
    assert "progress >" not in written
    assert written.count("\x1b[2K") < 5000
    assert screen.text.count("│ 5000") == 2


def test_a_flood_of_lines_scrolls_by_above_the_table(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    asked = ("run", "never_stops_talking", f"gate={gate}", *SLOWLY, *nodes(tmp_path, 1))
    with on_terminal(*asked) as running:

        def counted_on(screen: Screen) -> int:
            found = re.search(r"0 of 1 completed, 1 active; (\d+) s", screen.text)
            return int(found[1]) if found and "and another thing" in screen.text else -1

        screen = running.until(lambda screen: counted_on(screen) >= 0)
        running.until(lambda now: counted_on(now) > counted_on(screen))
        gate.touch()
        code, screen, _ = running.end()
    assert code == 0
    assert "that is all" in screen.text


@pytest.mark.parametrize("runner", ["process", "inline"])
def test_a_failure_is_told_when_it_happens_while_others_go_on(tmp_path: Path, runner: str) -> None:
    gate = tmp_path / "gate"
    asked = ("run", "step", "number:=1", f"gate={gate}", "fails_at:=3", "--runner", runner)
    with on_terminal(*asked, *SLOWLY, *nodes(tmp_path, 2), variables={"TERM": "dumb"}) as running:
        running.until("organization 3, task 1: crashed: [41] organization 3 does not take part today")
        gate.touch()
        assert running.end()[0] == 61


def test_who_asks_something_has_the_terminal_for_itself(tmp_path: Path) -> None:
    with on_terminal("run", "asks", *SLOWLY, *nodes(tmp_path, 1), "--runner", "inline") as running:
        screen = running.until("a number, please: ")
        assert screen.cursor
        assert screen.text.rstrip().endswith("a number, please:")
        before = running.written
        time.sleep(0.5)  # in which frames would be drawn
        assert running.written == before
        running.type("42\n")
        code, screen, _ = running.end()
    assert code == 0
    assert '"42"' in screen.text


def test_a_breakpoint_stops_in_the_authors_function_on_a_quiet_terminal(tmp_path: Path) -> None:
    with on_terminal("run", "stops", "number:=4", *SLOWLY, *nodes(tmp_path, 1), "--runner", "inline") as running:
        screen = running.until("(Pdb)")
        assert "slowly/__init__.py(" in screen.text
        assert "stops: " not in screen.text  # no table
        running.type("p double + 34\n")
        running.until("\n42\n(Pdb)")
        running.type("c\n")
        code, screen, _ = running.end()
    assert code == 0
    assert "│ 8 " in screen.text


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
@pytest.mark.parametrize("runner", ["process", "inline"])
def test_a_signal_ends_all_that_was_started(tmp_path: Path, runner: str, sent: signal.Signals, code: int) -> None:
    mark = str(uuid.uuid4())
    asked = ("run", "rounds", f"gate={tmp_path / 'gate'}", "--runner", runner, *SLOWLY, *nodes(tmp_path, 3))
    with on_terminal(*asked, variables={"PYTHON_MARK": mark}) as running:  # handed on to every run
        running.until("50% part 5 of 10")
        for _ in range(2):  # whoever is impatient changes nothing
            running.process.send_signal(sent)
        ended, screen, _ = running.end()
    assert ended == code
    assert screen.cursor
    assert screen.text.rstrip().endswith("stopped; nothing is left running")
    assert "Traceback" not in screen.everything
    assert "part 5" not in screen.text
    assert marked(mark) == []


def test_what_is_to_be_ignored_is_ignored(tmp_path: Path) -> None:
    """As ``nohup`` asks for."""
    gate = tmp_path / "gate"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        asked = ("run", "step", "number:=1", f"gate={gate}", *SLOWLY, *nodes(tmp_path, 1))
        with on_terminal(*asked) as running:
            running.until("50% part 5 of 10")
            running.process.send_signal(signal.SIGHUP)
            gate.touch()
            assert running.end()[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.docker
def test_no_container_is_left_by_who_is_impatient(tmp_path: Path, engine: docker.DockerClient, base_image: str) -> None:
    asked = ("run", "rounds", "gate=/never", "--runner", "container", *SLOWLY, *nodes(tmp_path, 2))
    with on_terminal(*asked) as running:
        running.until("50% part 5 of 10")
        assert of(engine, running) != []
        running.type("\x03\x03")
        code, screen, _ = running.end()
    assert code == 130
    assert screen.cursor
    assert "nothing is left running" in screen.text
    assert of(engine, running) == []


def of(engine: docker.DockerClient, running: OnTerminal) -> list[str]:
    """The containers that a command has started."""
    found = engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
    return [str(container.name) for container in found if str(running.process.pid) in container.labels[OWNER]]


def test_ctrl_c_ends_all_without_a_terminal(tmp_path: Path) -> None:
    mark = str(uuid.uuid4())
    asked = ("run", "step", "number:=1", f"gate={tmp_path / 'gate'}", *SLOWLY, *nodes(tmp_path, 1))
    with subprocess.Popen(
        [*COMMAND, *asked],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHON_MARK": mark},
    ) as process:
        assert process.stderr is not None
        until = (line for line in process.stderr if "step 1 has begun" in line)
        assert next(until)
        assert len(marked(mark)) > 1
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is left running" in stderr
    assert marked(mark) == []


def marked(mark: str) -> list[str]:
    """The processes that carry a mark in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and mark.encode() in (folder / "environ").read_bytes():
                found.append(folder.name)
    return found


def test_counts_and_times_are_short() -> None:
    statuses = Counter(["completed", "crashed", "active", "initializing", "pending", "completed", "killed by user"])
    assert counted(statuses) == "2 of 7 completed, 2 failed, 2 active, 1 pending"
    assert counted(statuses, whole=False) == "2 completed, 2 failed, 2 active, 1 pending"
    times = [lasted(None), lasted(0.26, exactly=True), lasted(7.9), lasted(83), lasted(3671)]
    assert times == ["", "0.3 s", "7 s", "1:23", "1:01:11"]


@pytest.mark.parametrize("width", [1, 3, 10])
def test_a_text_is_made_to_fit_whatever_it_is_written_in(width: int) -> None:
    for text in ("", "abc", "organization", "病院・東京都"):
        assert cell_len(fit(text, width)) == width
