"""The supervisor's copies are complete, private, made once, removed, and only of databases of the node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from algotools.errors import DatabaseUnreadable, TimedOut, UnknownLabel
from algotools.runtime.sandbox.copies import Copies, is_readable
from algotools.task import Database, Task


class RecordedCopies:
    """Copies of a node's databases, with the lines that were written about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.noted: list[str] = []
        task = Task(
            method="f",
            input_file=folder,
            output_file=folder,
            databases=(
                Database("requested", str(folder / "a b.csv")),
                Database("url", f"file://{folder}/a%20b.csv"),
                Database("folder", str(folder / "folder")),
                Database("remote", "postgresql://host/base"),
            ),
            configured=(Database("other", str(folder / "other.csv")),),
        )
        self.copies = Copies(task, os.getpid(), self.noted.append)

    def get(self, label: str) -> str:
        return self.copies.get(label, lambda: None)


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[RecordedCopies]:
    (tmp_path / "a b.csv").write_text("requested")
    (tmp_path / "other.csv").write_text("other")
    copies = RecordedCopies(tmp_path)
    yield copies
    copies.copies.remove()


def test_a_file_is_copied_once_for_its_reader_alone(recorded: RecordedCopies) -> None:
    copy = Path(recorded.get("requested"))
    assert (copy.name, copy.read_text()) == ("a b.csv", "requested")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o711
    assert recorded.get("requested") == str(copy)
    assert recorded.noted == [
        f"database 'requested': the function may not open {recorded.folder}/a b.csv itself and got a copy of 9 bytes"
    ]


def test_a_uri_stays_a_uri(recorded: RecordedCopies) -> None:
    uri = recorded.get("url")
    assert uri.startswith("file:///")
    assert uri.endswith("/a%20b.csv")


def test_a_database_that_the_task_did_not_request_is_copied(recorded: RecordedCopies) -> None:
    assert Path(recorded.get("other")).read_text() == "other"


def test_all_copies_are_removed(recorded: RecordedCopies) -> None:
    copies = [Path(recorded.get(label)) for label in ("requested", "other")]
    recorded.copies.remove()
    assert not any(copy.parent.exists() for copy in copies)


@pytest.mark.parametrize("label", ["", "unknown", "../a b.csv", "remote"])
def test_only_files_and_folders_of_the_node_are_copied(recorded: RecordedCopies, label: str) -> None:
    with pytest.raises(UnknownLabel):
        recorded.get(label)


def test_a_folder_is_copied_with_its_links_but_without_their_targets(recorded: RecordedCopies) -> None:
    folder = recorded.folder / "folder"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "file").write_text("deep")
    (folder / "within").symlink_to("deep/file")
    (folder / "out").symlink_to(recorded.folder / "other.csv")
    os.mkfifo(folder / "pipe")
    copy = Path(recorded.get("folder"))
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "deep", "deep/deeper", "deep/file", "out", "within",
    ]  # fmt: skip
    assert (copy / "within").read_text() == "deep"
    assert (copy / "out").is_symlink()
    assert copy.stat().st_mode & 0o777 == 0o700


def test_a_pipe_is_refused_without_blocking(recorded: RecordedCopies) -> None:
    (recorded.folder / "other.csv").unlink()
    os.mkfifo(recorded.folder / "other.csv")
    assert is_readable(str(recorded.folder / "other.csv"))
    with pytest.raises(DatabaseUnreadable, match="cannot be copied"):
        recorded.get("other")


def test_a_missing_file_is_reported(recorded: RecordedCopies) -> None:
    (recorded.folder / "other.csv").unlink()
    for _ in range(2):
        with pytest.raises(DatabaseUnreadable, match="its file does not exist") as raised:
            recorded.get("other")
        assert str(recorded.folder) in raised.value.detail
        assert str(recorded.folder) not in raised.value.message
    assert recorded.noted == []


def test_a_copy_stops_at_the_deadline(recorded: RecordedCopies) -> None:
    def overdue() -> None:
        raise TimedOut("the run did not end within its limit")

    with pytest.raises(TimedOut):
        recorded.copies.get("requested", overdue)
    recorded.copies.remove()


def test_a_missing_file_counts_as_readable(tmp_path: Path) -> None:
    assert is_readable(str(tmp_path / "not there"))
    assert is_readable("\0")
