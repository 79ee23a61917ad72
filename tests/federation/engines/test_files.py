"""Databases that are files or folders travel to a worker of an engine, over a real connection."""

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from algotools.data.reading import Unreadable, find_path
from algotools.errors import MachineError
from algotools.federation.engines import _files
from algotools.federation.engines._file_receiver import TransferFailed, receive
from algotools.federation.engines._files import (
    CHUNK,
    FileBatch,
    FileFacts,
    SentMember,
    TransferEnd,
    TransferReply,
    describe,
    is_same,
    relocate_uri,
    send,
)
from algotools.runtime.dispatch import messages

LARGE = 3 * CHUNK + 17


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = socket.create_connection(server.getsockname())
        second, _ = server.accept()
    with first, second:
        yield first, second


def transfer(ends: tuple[socket.socket, socket.socket], facts: FileFacts, target: Path) -> list[BaseException]:
    """Send and receive a file; return the errors of the sender and of the receiver. The connection must stay usable."""
    errors: list[BaseException] = []
    of_receiver: list[BaseException] = []

    def send_file() -> None:
        try:
            send(ends[0], facts)
        except (Unreadable, MachineError) as error:
            errors.append(error)
        ends[0].sendall(b"next")

    thread = threading.Thread(target=send_file)
    thread.start()
    try:
        receive(ends[1], facts, target)
    except TransferFailed as error:
        of_receiver.append(error)
    following = b"".join(iter(lambda: ends[1].recv(1), b"t"))
    thread.join(30)
    assert following == b"nex"
    return errors + of_receiver


def read_tree(path: Path) -> dict[bytes, object]:
    """Return the content of a folder: the relative path of each member -> content, link or time."""
    tree: dict[bytes, object] = {}
    root = os.fsencode(path)
    for parent, folders, names in os.walk(root):
        for name in folders + names:
            member = os.path.join(parent, name)
            key = os.path.relpath(member, root)
            if os.path.islink(member):
                tree[key] = os.path.realpath(member).removeprefix(os.path.realpath(root))
            elif os.path.isdir(member):
                tree[key] = None
            else:
                tree[key] = (Path(os.fsdecode(member)).read_bytes(), os.stat(member).st_mtime_ns)
    return tree


def write(path: Path, content: bytes, modified_ns: int = 1_700_000_000_123_456_789) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(modified_ns, modified_ns))
    return path


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, CHUNK, LARGE])
def test_a_file_arrives_with_its_content_and_time(ends, tmp_path, size):
    source = write(tmp_path / "data.csv", os.urandom(size))
    target = tmp_path / "there" / "data.csv"
    target.parent.mkdir()
    assert transfer(ends, describe(source), target) == []
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert describe(target).digest == describe(source).digest
    assert os.listdir(target.parent) == ["data.csv"]


def test_a_folder_arrives_with_hidden_files_links_and_awkward_names(ends, tmp_path):
    source = tmp_path / "table"
    for name in ("a/b=1/part 0.parquet", "a-b/x", ".hidden/.file", "_SUCCESS", "line\nbreak", "grüße", "a/large"):
        write(source / name, os.urandom(LARGE if name == "a/large" else 100))
    write(Path(os.fsdecode(os.fsencode(source) + b"/\xff\xfe.csv")), b"not UTF-8")
    (source / "empty").mkdir()
    (source / "link").symlink_to("a/large")
    (source / "absolute").symlink_to(source / "a", target_is_directory=True)
    (source / "a" / "broken").symlink_to("../nowhere")
    target = tmp_path / "there" / "table"
    target.parent.mkdir()
    assert transfer(ends, describe(source), target) == []
    assert read_tree(target) == read_tree(source)
    assert describe(target).digest == describe(source).digest
    assert (target / "absolute").resolve() == target / "a"


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.lists(st.binary(min_size=1, max_size=9).filter(lambda n: not {*b"/\0"} & {*n}), min_size=1, max_size=3)
        .map(tuple)
        .filter(lambda parts: not {b".", b".."} & {*parts}),
        st.binary(max_size=300),
        max_size=8,
    )
)
def test_every_folder_arrives_as_it_is(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("folder")
    source, target = folder / "source", folder / "target"
    source.mkdir()
    for parts, content in files.items():
        path = os.path.join(os.fsencode(source), *parts)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(os.fsdecode(path)).write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a file of this example has the name of a folder of this example
    first, second = socket.socketpair()
    with first, second:
        assert transfer((first, second), describe(source), target) == []
    assert read_tree(target) == read_tree(source)


def test_the_companions_of_a_database_travel_with_it(ends, tmp_path):
    source, target = tmp_path / "x.db", tmp_path / "there" / "copy.db"
    target.parent.mkdir()
    writer = sqlite3.connect(source)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t AS SELECT 1 AS a")
    writer.commit()
    assert (tmp_path / "x.db-wal").stat().st_size
    facts = describe(source)
    assert facts.members == 2
    assert transfer(ends, facts, target) == []
    reader = sqlite3.connect(target)
    assert reader.execute("SELECT a FROM t").fetchall() == [(1,)]
    reader.close()
    writer.close()


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_changed_file_is_not_the_same(tmp_path, size):
    source = write(tmp_path / "data.csv", bytes(size))
    facts = describe(source)
    assert is_same(facts)
    write(source, bytes(size - 1) + b"x")  # the same size and time
    assert not is_same(facts)
    write(source, bytes(size))
    assert is_same(facts)
    os.utime(source)
    assert not is_same(facts)
    source.unlink()
    assert not is_same(facts)


@pytest.mark.parametrize("change", ["content", "new", "removed", "renamed", "time", "link"])
def test_a_changed_folder_is_not_the_same(tmp_path, change):
    folder = tmp_path / "table"
    part = write(folder / "a" / "part", b"rows")
    facts = describe(folder)
    assert is_same(facts)
    match change:
        case "content":
            write(part, b"swor")
        case "new":
            (folder / "a" / ".hidden").touch()
        case "removed":
            part.unlink()
        case "renamed":
            part.rename(folder / "a" / "trap")
        case "time":
            os.utime(part)
        case "link":
            (folder / "link").symlink_to("a")
    assert not is_same(facts)


def test_the_content_is_sampled_again_only_after_a_change(tmp_path, monkeypatch):
    source = write(tmp_path / "data.csv", b"a\n1")
    reads: list[bytes] = []
    sample = _files._sample
    monkeypatch.setattr(_files, "_sample", lambda member: reads.append(member.name) or sample(member))
    monkeypatch.setattr(_files, "is_settled", lambda members: True)
    assert describe(source) == describe(source)
    assert len(reads) == 1
    before = describe(source)
    write(source, b"a\n2")  # the same size and time of modification
    assert describe(source).digest != before.digest
    assert len(reads) == 2


def test_a_file_that_changes_before_it_is_sent_is_reported(ends, tmp_path):
    source, target = write(tmp_path / "data.csv", bytes(LARGE)), tmp_path / "copy.csv"
    facts = describe(source)
    write(source, bytes(LARGE))
    sender, receiver = transfer(ends, facts, target)
    assert "changed while it was sent" in str(sender)
    assert isinstance(receiver, TransferFailed)
    assert sorted(os.listdir(tmp_path)) == ["data.csv"]


@pytest.mark.parametrize("change", ["shorter", "longer", "content", "removed"])
def test_a_file_that_changes_while_it_is_sent_is_reported(ends, tmp_path, change):
    size = 64 * CHUNK  # more than the buffers of the connection hold
    source, target = tmp_path / "data.csv", tmp_path / "copy.csv"
    with source.open("wb") as file:
        file.truncate(size)
    facts = describe(source)
    received = ends[1].recv_into

    class Slow:
        """The receiver's end of the connection, which changes the file when the first part has arrived."""

        is_changed = False

        def __getattr__(self, name: str) -> object:
            return getattr(ends[1], name)

        def recv_into(self, buffer: memoryview) -> int:
            length = received(buffer)
            if length > 4096 and not self.is_changed:
                self.is_changed = True
                change_file()
            return length

    def change_file() -> None:
        if change == "removed":
            source.unlink()
            return
        with source.open("r+b") as file:
            if change == "shorter":
                file.truncate(CHUNK)
            elif change == "longer":
                file.truncate(size + 1)
            else:
                file.write(b"x")

    sender, _ = transfer((ends[0], Slow()), facts, target)  # type: ignore[arg-type]  # it behaves as a socket
    assert isinstance(sender, Unreadable)
    assert "changed while it was sent" in str(sender)
    assert not target.exists()
    assert not list(tmp_path.glob(".incoming*"))


def test_a_link_that_leads_out_of_a_folder_is_refused_without_its_name(tmp_path):
    write(tmp_path / "outside.csv", b"secret")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "patient=7").symlink_to("../outside.csv")
    with pytest.raises(Unreadable, match="leads out of the folder") as caught:
        describe(tmp_path / "table")
    assert "patient" not in str(caught.value)
    assert "patient=7" in str(caught.value.detail)


def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="pipe or a device"):
        describe(tmp_path / "pipe")
    with pytest.raises(Unreadable, match="its folder contains a pipe"):
        describe(tmp_path)


def test_a_missing_file_is_an_error_of_the_file_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        describe(tmp_path / "missing.csv")


@pytest.mark.parametrize(
    "members",
    [
        [SentMember(b"../outside", "file", content=b"")],
        [SentMember(b"/outside", "file", content=b"")],
        [SentMember(b"a/../../outside", "file", content=b"")],
        [SentMember(b"", "file", content=b"")],
        [SentMember(b"new/file", "file", content=b"")],
        [SentMember(b"..", "folder")],
        [SentMember(b"link", "link", target=b"/etc")],
        [SentMember(b"link", "link", target=b"../..")],
        [SentMember(b"a", "link", target=b"."), SentMember(b"b", "link", target=b"a/..")],
        [SentMember(b"link", "link", target=b".."), SentMember(b"link/file", "file", content=b"")],
        [SentMember(b"twice", "file", content=b""), SentMember(b"twice", "file", content=b"")],
        [SentMember(b"short", "file", size=3, content=b"")],
        [SentMember(b"nul\0", "file", content=b"")],
    ],
)
def test_the_receiver_writes_only_into_its_folder(ends, tmp_path, members):
    inside = tmp_path / "inside"
    inside.mkdir()
    facts = msgspec.structs.replace(describe(inside), is_folder=True)
    messages.send(ends[0], FileBatch(members))
    messages.send(ends[0], TransferEnd(is_complete=True))
    with pytest.raises(TransferFailed):
        receive(ends[1], facts, inside / "table")
    assert messages.receive(ends[0], TransferReply).reason
    assert os.listdir(tmp_path) == ["inside"]
    assert os.listdir(inside) == []


@pytest.mark.parametrize("name", [b"../x", b"-other", b"/x"])
def test_only_companions_may_be_beside_a_file(ends, tmp_path, name):
    source = write(tmp_path / "data.csv", b"")
    messages.send(ends[0], FileBatch([SentMember(b"", "file", content=b""), SentMember(name, "file", content=b"")]))
    messages.send(ends[0], TransferEnd(is_complete=True))
    with pytest.raises(TransferFailed, match="leads out"):
        receive(ends[1], describe(source), tmp_path / "copy.csv")
    assert os.listdir(tmp_path) == ["data.csv"]


def test_a_full_disk_is_reported_before_the_content_is_sent(ends, tmp_path):
    source = tmp_path / "data.csv"
    with source.open("wb") as file:
        file.truncate(1 << 42)  # a sparse file, larger than the disk
    facts = describe(source)
    sender, receiver = transfer(ends, facts, tmp_path / "copy.csv")
    assert isinstance(sender, MachineError)
    assert os.strerror(errno.ENOSPC).lower() in str(sender)
    assert str(tmp_path) in str(sender)
    assert isinstance(receiver, TransferFailed)
    assert os.listdir(tmp_path) == ["data.csv"]


@pytest.mark.parametrize("sizes", [[40 * CHUNK], [30_000] * 2_000])
def test_a_disk_that_becomes_full_is_reported_and_leaves_nothing(ends, tmp_path, sizes, monkeypatch):
    source = tmp_path / "table"
    for number, size in enumerate(sizes):
        write(source / str(number), bytes(size))
    written = 0
    write_bytes = os.write  # replaced, because a disk that is full would need a mount

    def write_some(file: int, data: memoryview) -> int:
        nonlocal written
        written += len(data)
        if written > 3 * CHUNK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(file, data)

    monkeypatch.setattr("algotools.federation.engines._file_receiver.os.write", write_some)
    sender, _ = transfer(ends, describe(source), tmp_path / "copy")
    assert "no space left on device" in str(sender)
    assert os.listdir(tmp_path) == ["table"]


def test_a_receiver_that_is_killed_breaks_the_connection(ends, tmp_path):
    source = tmp_path / "data.csv"
    with source.open("wb") as file:
        file.truncate(64 * CHUNK)
    ends[1].close()
    with pytest.raises((OSError, EOFError)):
        send(ends[0], describe(source))


def test_a_sender_that_is_killed_leaves_no_file(ends, tmp_path):
    source = write(tmp_path / "data.csv", bytes(100))
    messages.send(ends[0], FileBatch([SentMember(b"", "file", size=LARGE)]))
    ends[0].close()
    with pytest.raises(EOFError):
        receive(ends[1], describe(source), tmp_path / "copy.csv")
    assert os.listdir(tmp_path) == ["data.csv"]


@pytest.mark.parametrize(
    ("uri", "relocated"),
    [
        ("/data/x.csv", "/there/y z%.csv"),
        ("file:///data/x.csv", "file:///there/y%20z%25.csv"),
        ("sqlite:////data/x.db?mode=ro", "sqlite:////there/y z%.csv?mode=ro"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:////there/y z%.csv"),
        ("duckdb:///data/x.db", "duckdb:///there/y z%.csv"),
    ],
)
def test_a_uri_keeps_its_form_with_another_path(uri, relocated):
    path = Path("/there/y z%.csv")
    assert relocate_uri(uri, path) == relocated
    assert find_path(relocated) == str(path)


def test_a_large_file_needs_little_memory(tmp_path):
    source = tmp_path / "data.csv"
    with source.open("wb") as file:
        file.truncate(300 << 20)
    code = f"""
import resource, socket, threading
from pathlib import Path
from algotools.federation.engines._file_receiver import receive
from algotools.federation.engines._files import describe, send
facts = describe(Path({str(source)!r}))
first, second = socket.socketpair()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
thread = threading.Thread(target=send, args=(first, facts))
thread.start()
receive(second, facts, Path({str(tmp_path / "copy.csv")!r}))
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(completed.stdout) < 32 << 10  # kilobytes


def test_a_parquet_folder_is_read_from_its_copy_with_the_same_values(ends, tmp_path):
    pytest.importorskip("pyarrow")
    source, target = tmp_path / "table", tmp_path / "copy"
    pd.DataFrame({"a": range(10), "b": [1, 2] * 5}).to_parquet(source, partition_cols=["b"])
    assert transfer(ends, describe(source), target) == []
    pd.testing.assert_frame_equal(pd.read_parquet(target), pd.read_parquet(source))
