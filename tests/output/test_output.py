"""Either the whole answer is in the output file, or nothing new is."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from algotools.errors import OutputError
from algotools.output import write_output

ANSWER = b'{"sum": 3}' * 1000
SECRET = "Jane-Doe-4711"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name must not be told."""
    folder = tmp_path / SECRET
    folder.mkdir()
    return folder


@pytest.fixture
def output(folder: Path) -> Path:
    """An output file as a node makes it: there, and empty."""
    path = folder / "output"
    path.touch()
    return path


@pytest.fixture(params=[errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EROFS])
def mounted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself is mounted: it can be written, but nothing can take its place."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "replace", refuse)


def test_the_answer_is_in_the_file_and_nothing_else_in_the_folder(output):
    write_output(output, ANSWER)
    assert output.read_bytes() == ANSWER
    assert os.listdir(output.parent) == ["output"]


@pytest.mark.parametrize("before", [b"", b"before" * 10_000])
def test_the_file_is_replaced_as_a_whole(output, before):
    output.write_bytes(before)
    with open(output, "rb") as reader:
        write_output(output, ANSWER)
        assert reader.read() == before, "who reads the old file goes on reading the old file"
    assert output.read_bytes() == ANSWER


def test_an_empty_answer_leaves_an_empty_file(output):
    output.write_bytes(b"before")
    write_output(output, b"")
    assert output.read_bytes() == b""


def test_a_file_that_is_not_there_is_made_for_others_to_read(folder):
    write_output(folder / "output", ANSWER)
    assert (folder / "output").read_bytes() == ANSWER
    assert stat.S_IMODE((folder / "output").stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_files_mode_stays(output, mode):
    output.chmod(mode)
    write_output(output, ANSWER)
    assert stat.S_IMODE(output.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only a superuser can give a file away")
def test_the_files_owner_stays(output):
    os.chown(output, 1234, 1234)
    write_output(output, ANSWER)
    assert (output.stat().st_uid, output.stat().st_gid) == (1234, 1234)
    assert output.read_bytes() == ANSWER


@pytest.mark.usefixtures("mounted")
def test_a_file_that_cannot_be_replaced_is_written_in_place(output):
    output.write_bytes(b"before" * 10_000)
    inode = output.stat().st_ino
    write_output(output, ANSWER)
    assert output.read_bytes() == ANSWER
    assert output.stat().st_ino == inode
    assert os.listdir(output.parent) == ["output"]


def test_a_file_whose_folder_takes_nothing_new_is_written_in_place():
    us = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        output.write_bytes(b"before" * 10_000)
        output.chmod(0o666)
        os.chmod(folder, 0o555)
        inode = output.stat().st_ino
        if us == 0:
            os.seteuid(65534)  # somebody without rights
        try:
            write_output(output, ANSWER)
        finally:
            os.seteuid(us)
            os.chmod(folder, 0o700)
        assert output.read_bytes() == ANSWER
        assert output.stat().st_ino == inode
        assert os.listdir(folder) == ["output"]


def test_a_link_is_followed_and_stays(output):
    link = output.parent / "link"
    link.symlink_to(output)
    write_output(link, ANSWER)
    assert link.is_symlink()
    assert output.read_bytes() == ANSWER


def test_a_pipe_gets_the_answer(folder):
    path = folder / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(path, b"x" * 1000)
        assert os.read(reader, 2000) == b"x" * 1000
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def refusal(path: Path) -> OutputError:
    with pytest.raises(OutputError) as refused:
        write_output(path, ANSWER)
    assert "the answer cannot be written to the node's output file (" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert str(path) in refused.value.detail
    return refused.value


def test_a_full_disk_leaves_no_half_written_file(output, no_file_beyond):
    output.write_bytes(b"before")
    with no_file_beyond(5000):
        error = refusal(output)
    assert os.strerror(errno.EFBIG) in str(error)
    assert output.read_bytes() in (b"before", b"")
    assert os.listdir(output.parent) == ["output"]


@pytest.mark.usefixtures("mounted")
def test_a_full_disk_leaves_no_half_written_file_in_place(output, no_file_beyond):
    with no_file_beyond(5000):
        refusal(output)
    assert output.read_bytes() == b""
    assert os.listdir(output.parent) == ["output"]


def test_a_device_that_is_full_is_told(folder):
    link = folder / "output"
    link.symlink_to("/dev/full")
    assert os.strerror(errno.ENOSPC) in str(refusal(link))
    assert os.listdir(folder) == ["output"]


def test_a_folder_that_is_not_there_is_told(folder):
    assert os.strerror(errno.ENOENT) in str(refusal(folder / "gone" / "output"))


def test_a_folder_in_the_files_place_is_told(folder):
    (folder / "output").mkdir()
    assert os.strerror(errno.EISDIR) in str(refusal(folder / "output"))


def test_a_file_in_the_folders_place_is_told(output):
    assert os.strerror(errno.ENOTDIR) in str(refusal(output / "output"))
