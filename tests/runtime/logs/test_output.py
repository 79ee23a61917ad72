"""The output file contains the whole output, its old content, or nothing."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from algotools.errors import OutputError
from algotools.runtime._output import write_output

OUTPUT = b'{"sum": 3}' * 1000
SECRET = "Jane-Doe-4711"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name must not appear in a message."""
    folder = tmp_path / SECRET
    folder.mkdir()
    return folder


@pytest.fixture
def output(folder: Path) -> Path:
    """An output file as a node creates it: empty."""
    path = folder / "output"
    path.touch()
    return path


@pytest.fixture(params=[errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EROFS])
def mounted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file seem to be mounted: it can be written, but not be replaced."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "replace", refuse)


def test_only_the_output_file_is_in_the_folder(output):
    write_output(output, OUTPUT)
    assert output.read_bytes() == OUTPUT
    assert os.listdir(output.parent) == ["output"]


@pytest.mark.parametrize("before", [b"", b"before" * 10_000])
def test_the_file_is_replaced_as_a_whole(output, before):
    output.write_bytes(before)
    with open(output, "rb") as reader:
        write_output(output, OUTPUT)
        assert reader.read() == before, "an open reader still reads the old file"
    assert output.read_bytes() == OUTPUT


def test_an_empty_output_leaves_an_empty_file(output):
    output.write_bytes(b"before")
    write_output(output, b"")
    assert output.read_bytes() == b""


def test_a_missing_file_is_created_readable_for_all(folder):
    write_output(folder / "output", OUTPUT)
    assert (folder / "output").read_bytes() == OUTPUT
    assert stat.S_IMODE((folder / "output").stat().st_mode) == 0o644


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_mode_of_the_file_is_kept(output, mode):
    output.chmod(mode)
    write_output(output, OUTPUT)
    assert stat.S_IMODE(output.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only a superuser can give a file away")
def test_the_owner_of_the_file_is_kept(output):
    os.chown(output, 1234, 1234)
    write_output(output, OUTPUT)
    assert (output.stat().st_uid, output.stat().st_gid) == (1234, 1234)
    assert output.read_bytes() == OUTPUT


@pytest.mark.usefixtures("mounted")
def test_a_file_that_cannot_be_replaced_is_overwritten(output):
    output.write_bytes(b"before" * 10_000)
    inode = output.stat().st_ino
    write_output(output, OUTPUT)
    assert output.read_bytes() == OUTPUT
    assert output.stat().st_ino == inode
    assert os.listdir(output.parent) == ["output"]


def test_a_file_in_a_read_only_folder_is_overwritten():
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        output.write_bytes(b"before" * 10_000)
        output.chmod(0o666)
        os.chmod(folder, 0o555)
        inode = output.stat().st_ino
        if user == 0:
            os.seteuid(65534)  # a user without rights
        try:
            write_output(output, OUTPUT)
        finally:
            os.seteuid(user)
            os.chmod(folder, 0o700)
        assert output.read_bytes() == OUTPUT
        assert output.stat().st_ino == inode
        assert os.listdir(folder) == ["output"]


def test_a_link_is_followed_and_kept(output):
    link = output.parent / "link"
    link.symlink_to(output)
    write_output(link, OUTPUT)
    assert link.is_symlink()
    assert output.read_bytes() == OUTPUT


def test_a_pipe_receives_the_output(folder):
    path = folder / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(path, b"x" * 1000)
        assert os.read(reader, 2000) == b"x" * 1000
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


def expect_refusal(path: Path) -> OutputError:
    with pytest.raises(OutputError) as refused:
        write_output(path, OUTPUT)
    assert "the output cannot be written to the node's output file (" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert str(path) in refused.value.detail
    return refused.value


def test_a_full_disk_leaves_no_half_written_file(output, limit_file_size):
    output.write_bytes(b"before")
    with limit_file_size(5000):
        error = expect_refusal(output)
    assert os.strerror(errno.EFBIG) in str(error)
    assert output.read_bytes() in (b"before", b"")
    assert os.listdir(output.parent) == ["output"]


@pytest.mark.usefixtures("mounted")
def test_a_full_disk_leaves_no_half_overwritten_file(output, limit_file_size):
    with limit_file_size(5000):
        expect_refusal(output)
    assert output.read_bytes() == b""
    assert os.listdir(output.parent) == ["output"]


def test_a_full_device_is_reported(folder):
    link = folder / "output"
    link.symlink_to("/dev/full")
    assert os.strerror(errno.ENOSPC) in str(expect_refusal(link))
    assert os.listdir(folder) == ["output"]


def test_a_missing_folder_is_reported(folder):
    assert os.strerror(errno.ENOENT) in str(expect_refusal(folder / "missing" / "output"))


def test_a_folder_instead_of_the_file_is_reported(folder):
    (folder / "output").mkdir()
    assert os.strerror(errno.EISDIR) in str(expect_refusal(folder / "output"))


def test_a_file_instead_of_the_folder_is_reported(output):
    assert os.strerror(errno.ENOTDIR) in str(expect_refusal(output / "output"))


def test_a_pipe_without_a_reader_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "output")
    with pytest.raises(OutputError, match="cannot be written"):
        write_output(tmp_path / "output", b"data")
