"""The folder of an engine's worker process: one transfer per file, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from algotools.federation.engines._files import describe
from algotools.federation.engines._worker_folder import get_worker_folder

from ...processes import LIMIT, wait_until


class Leases:
    """The leases that a federation has given."""

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []

    def __call__(self) -> socket.socket:
        mine, theirs = socket.socketpair()
        self.ends.append(mine)
        return theirs

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def leases(tmp_path, monkeypatch) -> Iterator[Leases]:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    leases = Leases()
    yield leases
    leases.close()
    wait_until(lambda: not list((tmp_path / "tmp").iterdir()))


def copy_file(source: Path) -> Callable[[Path], object]:
    return lambda target: target.write_bytes(source.read_bytes())


def test_a_federation_has_one_folder_that_only_its_user_may_read(leases):
    folder = get_worker_folder("a", leases)
    assert get_worker_folder("a", leases) is folder
    assert len(leases.ends) == 1
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert folder.make_run_folder().stat().st_mode & 0o777 == 0o700
    assert get_worker_folder("b", leases).path != folder.path


def test_threads_share_one_transfer(leases, tmp_path):
    source = tmp_path / "data.csv"
    source.write_bytes(b"a\n1")
    facts, folder = describe(source), get_worker_folder("a", leases)
    assert folder.find(facts) is None
    transfers: list[Path] = []

    def receive(target: Path) -> None:
        time.sleep(0.1)
        transfers.append(target)
        target.write_bytes(source.read_bytes())

    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(folder.store(facts, receive))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(transfers) == 1
    assert set(paths) == {folder.find(facts)}
    assert paths[0].name == "data.csv"


def test_a_failed_transfer_leaves_nothing_and_is_retried_by_the_next_thread(leases, tmp_path):
    source = tmp_path / "data.csv"
    source.write_bytes(b"a\n1")
    facts, folder = describe(source), get_worker_folder("a", leases)
    begun, failures = threading.Event(), []

    def fail(target: Path) -> None:
        target.write_bytes(b"a")
        begun.set()
        time.sleep(0.1)
        raise EOFError

    def store_and_fail() -> None:
        try:
            folder.store(facts, fail)
        except EOFError as error:
            failures.append(error)

    thread = threading.Thread(target=store_and_fail)
    thread.start()
    begun.wait(LIMIT)
    path = folder.store(facts, copy_file(source))
    thread.join(LIMIT)
    assert len(failures) == 1
    assert path.read_bytes() == b"a\n1"
    assert len(list(folder.path.iterdir())) == 1


def test_a_cancelled_run_does_not_wait_for_the_transfer_of_another(leases, tmp_path):
    source = tmp_path / "data.csv"
    source.write_bytes(b"a\n1")
    facts, folder = describe(source), get_worker_folder("a", leases)
    begun, end = threading.Event(), threading.Event()

    def receive(target: Path) -> None:
        begun.set()
        end.wait(LIMIT)
        target.write_bytes(b"a\n1")

    thread = threading.Thread(target=folder.store, args=(facts, receive))
    thread.start()
    begun.wait(LIMIT)

    def cancel() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        folder.store(facts, copy_file(source), cancel)
    end.set()
    thread.join(LIMIT)
    assert folder.find(facts) is not None


def test_a_copy_that_was_changed_or_removed_is_received_again(leases, tmp_path):
    source = tmp_path / "data.csv"
    source.write_bytes(b"a\n1")
    facts, folder = describe(source), get_worker_folder("a", leases)
    first = folder.store(facts, copy_file(source))
    (first.parent / "data.csv-wal").touch()  # a reader may do this
    assert folder.find(facts) == first
    first.write_bytes(b"a\n2")
    assert folder.find(facts) is None
    second = folder.store(facts, copy_file(source))
    assert second != first
    second.unlink()
    assert folder.store(facts, copy_file(source)).read_bytes() == b"a\n1"


def test_the_end_of_the_lease_removes_the_folder_after_the_callbacks(leases):
    others = list_children()  # processes that other tests of the session use
    folder = get_worker_folder("a", leases)
    existed: list[bool] = []
    folder.on_close(lambda: existed.append(folder.path.exists()))
    folder.make_run_folder()
    guards = list_children() - others
    assert len(guards) == 1
    leases.ends[0].close()
    wait_until(lambda: not folder.path.exists())
    assert existed == [True]
    folder.on_close(lambda: existed.append(folder.path.exists()))
    assert existed == [True, False]
    wait_until(lambda: not list_children() & guards)


def test_a_federation_whose_lease_has_ended_gets_a_new_folder(leases):
    folder = get_worker_folder("a", leases)
    leases.ends[0].close()
    other = get_worker_folder("a", leases)
    assert other is not folder
    assert len(leases.ends) == 2
    wait_until(lambda: not folder.path.exists())
    assert other.path.exists()
    assert get_worker_folder("a", leases) is other


def list_children() -> set[int]:
    """Return the child processes of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return {int(child) for child in children}


def test_a_lease_that_cannot_be_opened_leaves_nothing(leases, tmp_path):
    def fail() -> socket.socket:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        get_worker_folder("a", fail)
    assert not list((tmp_path / "tmp").iterdir())
    assert get_worker_folder("a", leases).path.exists()


def test_a_forked_copy_of_the_process_has_its_own_folder(leases):
    folder = get_worker_folder("a", leases)
    read_end, write_end = os.pipe()
    if not (pid := os.fork()):
        try:
            folder.close()
            own = get_worker_folder("a", leases)
            os.write(write_end, f"{folder.path.exists()} {own.path != folder.path} {own.path}".encode())
            own.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write_end)
    with open(read_end, encoding="utf-8") as result:
        exists, differs, path = result.read().split()
    assert (exists, differs) == ("True", "True")
    assert folder.path.exists()
    wait_until(lambda: not Path(path).exists())


_WORKER = """
import os, socket, sys, time
from algotools.federation.engines._worker_folder import get_worker_folder
mine, theirs = socket.socketpair()
folder = get_worker_folder("a", lambda: theirs)
(folder.make_run_folder() / "file").write_text("x")
print(folder.path, flush=True)
if "fork" in sys.argv and not os.fork():
    time.sleep(5)
    os._exit(0)
sys.stdin.read()
"""


def start_worker(tmp_path: Path, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    assert path.parent == tmp_path
    assert path.exists()
    return process, path


@pytest.mark.parametrize("end", ["exit", "killed", "killed with a copy", "terminated"])
def test_no_folder_is_left_when_the_worker_process_ends(tmp_path, end):
    process, path = start_worker(tmp_path, *(["fork"] if "copy" in end else []))
    with process:
        if end == "exit":
            process.communicate("")
        elif end == "terminated":
            process.terminate()
        else:
            process.kill()
        process.wait(LIMIT)
        wait_until(lambda: not path.exists())


def test_the_guard_survives_the_signal_that_ends_a_job(tmp_path):
    process, path = start_worker(tmp_path)
    with process:
        (guard,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(int(guard), number)
        time.sleep(0.2)
        assert path.exists()
        process.kill()
        wait_until(lambda: not path.exists())


def test_the_next_folder_removes_what_a_killed_guard_left(leases, tmp_path):
    process, path = start_worker(tmp_path / "tmp")
    with process:
        (guard,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        os.kill(int(guard), signal.SIGKILL)
        process.kill()
        process.wait(LIMIT)
    assert path.exists()
    get_worker_folder("a", leases)
    assert not path.exists()
