"""What is for the node's owner alone goes where the owner says, or nowhere."""

import os
import re
import stat
from pathlib import Path

import pytest

from algotools import debug
from algotools.debug import OwnersLog


def written(place: str | Path | None, *, run: str = "task-7") -> str:
    """Write to a log; what is told everybody when it is closed."""
    log = OwnersLog(None if place is None else str(place), Path("/mnt/data") / run / "output")
    log.write(b"printed\xff\n")
    log.note("a detail \udc80")
    log.note("")
    return log.close()


WRITTEN = b"printed\xff\na detail \\udc80\n"


def test_a_file_gets_all_and_nothing_is_said(tmp_path):
    path = tmp_path / "debug.log"
    assert written(path) == ""
    assert path.read_bytes() == WRITTEN


def test_a_new_file_is_the_owners_alone(tmp_path):
    written(tmp_path / "debug.log")
    assert stat.S_IMODE((tmp_path / "debug.log").stat().st_mode) == 0o600


def test_a_file_keeps_what_is_in_it(tmp_path):
    path = tmp_path / "debug.log"
    written(path)
    written(path)
    assert path.read_bytes() == WRITTEN * 2


def test_in_a_folder_each_run_has_a_file_of_its_own(tmp_path):
    assert written(tmp_path, run="task-7") == ""
    assert written(tmp_path, run="task-8") == ""
    first, second = sorted(tmp_path.iterdir())
    assert re.fullmatch(r"task-7-\d{8}T\d{6}-\d+\.log", first.name)
    assert second.name.startswith("task-8-")
    assert first.read_bytes() == second.read_bytes() == WRITTEN


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"])
def test_what_the_researcher_reads_is_refused(place, capfd):
    told = written(place)
    assert told.startswith("the owner's log cannot be written (")
    assert capfd.readouterr() == ("", "")


def test_the_same_file_as_standard_output_is_refused_by_any_name(tmp_path):
    path = tmp_path / "output"
    before = os.dup(1)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 1)
    try:
        told = written(path)
    finally:
        os.dup2(before, 1)
        os.close(before)
    assert told == "the owner's log cannot be written (it is not a regular file of its own)"
    assert path.read_bytes() == b""


@pytest.mark.parametrize("place", ["/dev/null", "/dev/full"])
def test_a_device_is_refused(place):
    assert written(place) == "the owner's log cannot be written (it is not a regular file of its own)"


@pytest.mark.timeout(10)
def test_a_pipe_is_refused_whether_somebody_reads_it_or_not(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert written(path).startswith("the owner's log cannot be written (")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert written(path) == "the owner's log cannot be written (it is not a regular file of its own)"
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("gone/debug.log", "No such file or directory"),
        ("x\0y", "embedded null"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_without_its_name(tmp_path, place, why):
    told = written(f"{tmp_path}/{place}")
    assert told.startswith("the owner's log cannot be written (")
    assert why in told
    assert str(tmp_path) not in told


def test_without_a_place_what_is_dropped_is_told():
    assert written(None) == (
        "output of the algorithm and details are for the node's owner, "
        "who has named no place for them (ALGOTOOLS_DEBUG)"
    )


def test_without_a_place_and_without_output_nothing_is_told():
    log = OwnersLog(None)
    log.note("")
    log.write(b"")
    assert log.close() == ""


def test_a_disk_that_fills_up_is_told_and_keeps_what_it_can(tmp_path, no_file_beyond):
    path = tmp_path / "debug.log"
    log = OwnersLog(str(path))
    with no_file_beyond(5000):
        log.write(b"x" * 4000)
        log.write(b"y" * 4000)
        log.write(b"z")
        assert log.close() == "the owner's log cannot be written (File too large)"
    assert path.read_bytes() == b"x" * 4000 + b"y" * 1000


def test_a_log_leaves_no_file_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    written(tmp_path / "debug.log")
    written("/dev/null")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    ("variables", "place"), [({}, None), ({"ALGOTOOLS_DEBUG": ""}, None), ({"ALGOTOOLS_DEBUG": "/logs"}, "/logs")]
)
def test_the_place_is_what_the_owner_names(variables, place):
    assert debug.place(variables) == place


def test_the_output_is_no_place_for_it(tmp_path):
    output = tmp_path / "output"
    output.write_bytes(b"")
    (tmp_path / "alias").symlink_to(output)
    for place in (output, tmp_path / "alias"):
        log = OwnersLog(str(place), output)
        log.note("a detail")
        assert log.close() == "the owner's log cannot be written (it is not a regular file of its own)"
    assert output.read_bytes() == b""
