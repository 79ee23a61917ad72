"""Every command with a full, closed or unread standard output, and without the resources of the machine."""

from __future__ import annotations

import contextlib
import itertools
import re
import resource
import select
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.errors import CODES, MachineError, OutputError

from ..conftest import ALGORITHMS, COMMAND, ManualNode, environment
from ..preloaded import run_command
from ..processes import LIMIT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and the limits are those of Linux"),
]

SURVEY = str(ALGORITHMS / "tally")
DATA = "{folder}/data.csv"
WRITING = {
    "version": ["--version"],
    "help": ["--help"],
    "help of a command": ["run", "--help"],
    "new": ["new", "A Title", "--no-input", "--dry-run"],
    "describe": ["describe", SURVEY],
    "describe --json": ["describe", SURVEY, "--json"],
    "run": ["run", "fails", "column=x", "at:=2", "--algorithm", SURVEY, "--data", DATA, "--runner", "inline"],
    "run --json": ["run", "fails", "column=x", "at:=2", "--algorithm", SURVEY, "--data", DATA, "--json"],
    "check": ["check", SURVEY],
    "check --json": ["check", SURVEY, "--json"],
}
"""Commands that write to standard output."""
OTHERS = {
    "an unknown option": ["run", "--unknown"],
    "an unknown algorithm": ["describe", "nothing_of_that_name"],
    "build": ["build", SURVEY],
    "push": ["push", SURVEY],
    "inspect": ["inspect", "registry.example/image:1"],
}
FULL = Path("/dev/full")
REDIRECTIONS = {"closed": ">&-", "unread": "| head -0"}


def start(
    arguments: list[str], folder: Path, redirection: str = "", prepare: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, which reports the exit code of the command itself."""
    (folder / "data.csv").write_text("x\n1\n2\n", encoding="utf-8")
    words = [word.format(folder=folder) for word in arguments]
    command = f"{shlex.join([*COMMAND, *words])} {redirection}; exit ${{PIPESTATUS[0]}}"
    variables = environment({"DOCKER_HOST": "unix:///nowhere.sock", "OPENBLAS_NUM_THREADS": "1"})
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=LIMIT, preexec_fn=prepare,
    )  # fmt: skip


def run(
    arguments: list[str], folder: Path, output: Path | None = None, error: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output or error is a file, or a pipe; by default both are pipes that are read."""
    (folder / "data.csv").write_text("x\n1\n2\n", encoding="utf-8")
    words = [word.format(folder=folder) for word in arguments]
    with contextlib.ExitStack() as stack:
        files = [file and stack.enter_context(file.open("wb")).fileno() for file in (output, error)]
        variables = environment({"DOCKER_HOST": "unix:///nowhere.sock"})
        return run_command(words, folder, variables, "", LIMIT, output=files[0], error=files[1])


def check_failure(completed: subprocess.CompletedProcess[str]) -> int:
    """Check that a failure has one message and a documented exit code, and return the code."""
    # The details of a failed run (61) can have the traceback of the author's code, but never one of the command itself.
    assert "Exception in thread" not in completed.stderr, completed.stderr
    assert "algotools/cli" not in completed.stderr, completed.stderr
    assert "Traceback" not in completed.stderr or completed.returncode == 61, completed.stderr
    assert completed.returncode in {*CODES, 0, 2} - {70}, completed.stderr
    messages = re.findall(r"\berror \((\d+)\): ", completed.stderr)
    assert messages == [str(completed.returncode)] * (completed.returncode not in (0, 2)), completed.stderr
    return completed.returncode


@pytest.mark.parametrize("name", WRITING)
def test_a_result_for_a_full_file_is_reported(name: str, tmp_path: Path) -> None:
    completed = run(WRITING[name], tmp_path, FULL)
    assert check_failure(completed) == OutputError.exit_code
    assert "standard output cannot be written" in completed.stderr


@pytest.mark.parametrize(
    ("name", "redirection"),
    [("version", "closed"), ("check --json", "closed"), ("version", "unread"), ("run", "unread")],
)
def test_a_result_that_cannot_be_written_is_reported(name: str, redirection: str, tmp_path: Path) -> None:
    completed = start(WRITING[name], tmp_path, REDIRECTIONS[redirection])
    assert check_failure(completed) == OutputError.exit_code
    assert "standard output cannot be written" in completed.stderr


@pytest.mark.parametrize("arguments", [["run", "--help"], ["history", "-h"], []])
def test_help_for_a_reader_that_stops_is_no_error(arguments: list[str], tmp_path: Path) -> None:
    completed = start(arguments, tmp_path, "| head -0")
    assert completed.returncode == (0 if arguments else 2)
    assert completed.stderr == ""


@pytest.mark.parametrize("name", OTHERS)
def test_a_command_without_results_does_not_need_standard_output(name: str, tmp_path: Path) -> None:
    plain = check_failure(run(OTHERS[name], tmp_path))
    assert check_failure(run(OTHERS[name], tmp_path, FULL)) == plain
    if name in ("an unknown option", "build"):
        assert check_failure(start(OTHERS[name], tmp_path, REDIRECTIONS["closed"])) == plain


CLOSED = "0<&- >&- 2>&-"


@pytest.mark.parametrize(
    ("name", "redirection", "code"),
    [
        *itertools.product(["run --json"], [CLOSED, ">&- 2> /dev/full"], [46]),
        *itertools.product(["an unknown algorithm"], [CLOSED, ">&- 2> /dev/full", "0<&-"], [20]),
        *itertools.product(["version", "check"], [CLOSED], [46]),
        ("check", "0<&-", 0),
        ("run --json", "0<&-", 61),
    ],
)
def test_the_exit_code_does_not_depend_on_the_messages(name: str, redirection: str, code: int, tmp_path: Path) -> None:
    completed = start({**WRITING, **OTHERS}[name], tmp_path, redirection)
    assert completed.returncode == code, completed.stderr
    assert "Traceback" not in completed.stderr or code == 61  # of the author's code


@pytest.mark.parametrize(("name", "code"), [("run --json", 46), ("an unknown algorithm", 20)])
def test_the_exit_code_does_not_depend_on_full_files(name: str, code: int, tmp_path: Path) -> None:
    assert run({**WRITING, **OTHERS}[name], tmp_path, FULL, FULL).returncode == code


def test_a_question_without_standard_input_is_an_error(tmp_path: Path) -> None:
    assert check_failure(start(["new", "--in", str(tmp_path)], tmp_path, "0<&-")) == 66


@pytest.mark.parametrize("name", ["version", "run"])  # the check precedes the choice of the command
def test_a_deleted_working_directory_is_reported(name: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "data.csv").write_text("x\n1\n", encoding="utf-8")
    words = [word.format(folder=tmp_path) for word in {**WRITING, **OTHERS}[name]]
    script = f"cd gone && rmdir ../gone && {shlex.join([*COMMAND, *words])}"
    completed = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert check_failure(completed) == MachineError.exit_code
    assert "working directory" in completed.stderr


def limit_descriptors(number: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *[("run", 5), ("check", 7), ("run", 10), ("check", 16)],
        *itertools.product(["version", "build"], [6]),
    ],
)
def test_too_few_descriptors_are_reported(name: str, number: int, tmp_path: Path) -> None:
    completed = start({**WRITING, **OTHERS}[name], tmp_path, prepare=limit_descriptors(number))
    check_failure(completed)


def forbid_threads() -> None:
    """Let every new thread need more address space than the process may have."""
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 36, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))


@pytest.mark.parametrize("name", ["version", "run", "check"])
def test_a_machine_without_threads_is_reported(name: str, tmp_path: Path) -> None:
    completed = start(WRITING[name], tmp_path, prepare=forbid_threads)
    code = check_failure(completed)
    if name.startswith("run"):
        assert code in (61, MachineError.exit_code)
        assert "no threads left" in completed.stderr


@pytest.mark.parametrize("redirection", ["0<&- 1>&- 2>&-", "1>&- 2>&-", "> /dev/full 2>&1"])
def test_a_container_does_not_need_its_standard_streams(
    by_hand: ManualNode, misbehaving: Path, redirection: str
) -> None:
    variables = by_hand.environment(misbehaving, b'{"method": "well", "kwargs": {"number": 3}}')
    command = f"{sys.executable} -m algotools {redirection}"
    completed = subprocess.run(["bash", "-c", command], env=variables, cwd=by_hand.folder, check=False)
    assert completed.returncode == 0
    assert b"3" in (by_hand.folder / "output").read_bytes()


@pytest.mark.parametrize("redirection", ["0<&- 1>&- 2>&-", "2> /dev/full"])
def test_a_failure_in_a_container_without_streams_has_its_exit_code(
    by_hand: ManualNode, misbehaving: Path, redirection: str
) -> None:
    variables = by_hand.environment(misbehaving, b'{"method": "raises", "kwargs": {}}')
    command = f"{sys.executable} -m algotools {redirection}"
    assert subprocess.run(["bash", "-c", command], env=variables, cwd=by_hand.folder, check=False).returncode == 40


def test_a_container_without_a_working_directory_runs(by_hand: ManualNode, misbehaving: Path) -> None:
    variables = by_hand.environment(misbehaving, b'{"method": "well", "kwargs": {"number": 3}}')
    script = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m algotools"
    variables["PYTHONPATH"] = str(Path(__file__).parents[2])
    completed = subprocess.run(
        ["bash", "-c", script], env=variables, cwd=by_hand.folder, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize("number", [5, 7, 10])
def test_a_container_with_few_descriptors_reports_it(by_hand: ManualNode, misbehaving: Path, number: int) -> None:
    variables = by_hand.environment(misbehaving, b'{"method": "well", "kwargs": {"number": 3}}')
    completed = subprocess.run(
        [sys.executable, "-m", "algotools"],
        env=variables, cwd=by_hand.folder, capture_output=True, text=True, check=False,
        preexec_fn=limit_descriptors(number),
    )  # fmt: skip
    assert completed.returncode in {*CODES, 0} - {70}, completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_message_appears_at_once(unbuffered: str) -> None:
    prepare = "import sys; from algotools.cli import _streams; _streams.prepare()"
    program = f"{prepare}; sys.stderr.write('started\\n'); sys.stdin.readline()"  # `input` would flush the stream
    variables = environment({"PYTHONUNBUFFERED": unbuffered})
    with subprocess.Popen(
        [sys.executable, "-c", program], env=variables, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stderr], [], [], LIMIT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert ready
        assert process.stderr.readline() == "started\n"
