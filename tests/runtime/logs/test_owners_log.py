"""The owner's log is written only to the path that the node's owner sets."""

import os
import re
import stat
from pathlib import Path

import pytest

from algotools.runtime import logs
from algotools.runtime.logs import OwnersLog


def write_log(path: str | Path | None, *, run: str = "task-7") -> str:
    """Write to a log and close it; return the line for the run's log."""
    log = OwnersLog(None if path is None else str(path), Path("/mnt/data") / run / "output")
    log.write(b"printed\xff\n")
    log.note("a detail \udc80")
    log.note("")
    return log.close()


WRITTEN = b"printed\xff\na detail \\udc80\n"


def test_a_file_receives_everything(tmp_path):
    path = tmp_path / "debug.log"
    assert write_log(path) == ""
    assert path.read_bytes() == WRITTEN


def test_only_the_owner_can_read_a_new_file(tmp_path):
    write_log(tmp_path / "debug.log")
    assert stat.S_IMODE((tmp_path / "debug.log").stat().st_mode) == 0o600


def test_an_existing_file_is_appended_to(tmp_path):
    path = tmp_path / "debug.log"
    write_log(path)
    write_log(path)
    assert path.read_bytes() == WRITTEN * 2


def test_in_a_folder_each_run_has_its_own_file(tmp_path):
    assert write_log(tmp_path, run="task-7") == ""
    assert write_log(tmp_path, run="task-8") == ""
    first, second = sorted(tmp_path.iterdir())
    assert re.fullmatch(r"task-7-\d{8}T\d{6}-\d+\.log", first.name)
    assert second.name.startswith("task-8-")
    assert first.read_bytes() == second.read_bytes() == WRITTEN


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2"])
def test_the_streams_that_the_researcher_reads_are_refused(path, capfd):
    message = write_log(path)
    assert message.startswith("the owner's log cannot be written (")
    assert capfd.readouterr() == ("", "")


def test_the_file_of_standard_output_is_refused_under_any_name(tmp_path):
    path = tmp_path / "output"
    before = os.dup(1)
    with open(path, "wb") as file:
        os.dup2(file.fileno(), 1)
    try:
        message = write_log(path)
    finally:
        os.dup2(before, 1)
        os.close(before)
    assert message == "the owner's log cannot be written (it is not a separate regular file)"
    assert path.read_bytes() == b""


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_a_device_is_refused(path):
    assert write_log(path) == "the owner's log cannot be written (it is not a separate regular file)"


def test_a_pipe_is_refused_with_and_without_a_reader(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert write_log(path).startswith("the owner's log cannot be written (")
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert write_log(path) == "the owner's log cannot be written (it is not a separate regular file)"
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing/debug.log", "No such file or directory"),
        ("x\0y", "embedded null"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_unwritable_path_is_reported_without_its_name(tmp_path, path, reason):
    message = write_log(f"{tmp_path}/{path}")
    assert message.startswith("the owner's log cannot be written (")
    assert reason in message
    assert str(tmp_path) not in message


def test_without_a_path_dropped_output_is_reported():
    dropped = "prints and details of errors were dropped; they are only for the node's owner, who has not set"
    assert write_log(None) == f"{dropped} ALGOTOOLS_DEBUG"


def test_without_a_path_and_output_nothing_is_reported():
    log = OwnersLog(None)
    log.note("")
    log.write(b"")
    assert log.close() == ""


def test_a_full_disk_is_reported_and_keeps_the_beginning(tmp_path, limit_file_size):
    path = tmp_path / "debug.log"
    log = OwnersLog(str(path))
    with limit_file_size(5000):
        log.write(b"x" * 4000)
        log.write(b"y" * 4000)
        log.write(b"z")
        assert log.close() == "the owner's log cannot be written (File too large)"
    assert path.read_bytes() == b"x" * 4000 + b"y" * 1000


def test_a_log_leaves_no_file_open(tmp_path):
    before = os.listdir("/proc/self/fd")
    write_log(tmp_path / "debug.log")
    write_log("/dev/null")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize(
    ("variables", "path"), [({}, None), ({"ALGOTOOLS_DEBUG": ""}, None), ({"ALGOTOOLS_DEBUG": "/logs"}, "/logs")]
)
def test_the_path_comes_from_the_owners_variable(variables, path):
    assert logs.owner_log_path(variables) == path


def test_the_output_file_is_refused_as_log(tmp_path):
    output = tmp_path / "output"
    output.write_bytes(b"")
    (tmp_path / "alias").symlink_to(output)
    for path in (output, tmp_path / "alias"):
        log = OwnersLog(str(path), output)
        log.note("a detail")
        assert log.close() == "the owner's log cannot be written (it is not a separate regular file)"
    assert output.read_bytes() == b""


def test_the_size_is_limited_and_the_limit_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "OWNERS_LOG_LIMIT", 10)
    path = tmp_path / "debug.log"
    log = OwnersLog(str(path))
    for _ in range(1000):
        log.write(b"1234")
    log.note("the traceback")
    assert log.close() == "the owner's log has its limit of 10 bytes, so the rest of it is dropped"
    assert path.read_bytes() == b"1234123412the traceback\n"
