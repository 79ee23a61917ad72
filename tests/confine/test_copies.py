"""The supervisor's copies: whole, private, made once, never of anything but a database of the node, and removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from algotools.confine.copies import Copies, readable
from algotools.errors import DatabaseUnreadable, TimedOut, UnknownLabel
from algotools.task import Database, Task


class Told:
    """Copies of a node's databases, and what was said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.noted: list[str] = []
        task = Task(
            method="f",
            input_file=folder,
            output_file=folder,
            databases=(
                Database("asked", str(folder / "a b.csv")),
                Database("url", f"file://{folder}/a%20b.csv"),
                Database("folder", str(folder / "folder")),
                Database("remote", "postgresql://host/base"),
            ),
            configured=(Database("other", str(folder / "other.csv")),),
        )
        self.copies = Copies(task, os.getpid(), self.said.append, self.noted.append)

    def give(self, label: str) -> str:
        return self.copies.give(label, lambda: None)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    (tmp_path / "a b.csv").write_text("asked")
    (tmp_path / "other.csv").write_text("other")
    found = Told(tmp_path)
    yield found
    found.copies.remove()


def test_a_file_is_copied_once_for_its_reader_alone(told: Told) -> None:
    copy = Path(told.give("asked"))
    assert (copy.name, copy.read_text()) == ("a b.csv", "asked")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o711
    assert told.give("asked") == str(copy)
    assert told.said == []
    assert told.noted == [
        f"database 'asked': the function may not open {told.folder}/a b.csv itself and got a copy of 5 bytes"
    ]


def test_a_uri_stays_a_uri(told: Told) -> None:
    uri = told.give("url")
    assert uri.startswith("file:///")
    assert uri.endswith("/a%20b.csv")


def test_what_the_task_did_not_ask_for_is_said(told: Told) -> None:
    assert Path(told.give("other")).read_text() == "other"
    assert told.said == ["the function reads database 'other', which the task did not ask for"]


def test_all_of_them_are_removed(told: Told) -> None:
    copies = [Path(told.give(label)) for label in ("asked", "other")]
    told.copies.remove()
    assert not any(copy.parent.exists() for copy in copies)


@pytest.mark.parametrize("label", ["", "unknown", "../a b.csv", "remote"])
def test_only_files_and_folders_of_the_nodes_are_copied(told: Told, label: str) -> None:
    with pytest.raises(UnknownLabel):
        told.give(label)


def test_a_folder_is_copied_with_all_that_is_in_it_but_what_its_links_name(told: Told) -> None:
    folder = told.folder / "folder"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "file").write_text("deep")
    (folder / "within").symlink_to("deep/file")
    (folder / "out").symlink_to(told.folder / "other.csv")
    os.mkfifo(folder / "pipe")
    copy = Path(told.give("folder"))
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "deep", "deep/deeper", "deep/file", "out", "within",
    ]  # fmt: skip
    assert (copy / "within").read_text() == "deep"
    assert (copy / "out").is_symlink()
    assert copy.stat().st_mode & 0o777 == 0o700


def test_a_pipe_is_no_database_and_keeps_nobody_waiting(told: Told) -> None:
    (told.folder / "other.csv").unlink()
    os.mkfifo(told.folder / "other.csv")
    assert readable(str(told.folder / "other.csv"))
    with pytest.raises(DatabaseUnreadable, match="cannot be copied"):
        told.give("other")


def test_a_file_that_is_gone(told: Told) -> None:
    (told.folder / "other.csv").unlink()
    for _ in range(2):
        with pytest.raises(DatabaseUnreadable, match="its file does not exist") as raised:
            told.give("other")
        assert str(told.folder) in raised.value.detail
        assert str(told.folder) not in raised.value.message
    assert len(told.said) == 1


def test_a_copy_ends_when_there_is_no_time_left(told: Told) -> None:
    def overdue() -> None:
        raise TimedOut("the run did not end within its limit")

    with pytest.raises(TimedOut):
        told.copies.give("asked", overdue)
    told.copies.remove()


def test_what_is_not_there_is_for_its_reader_to_say(tmp_path: Path) -> None:
    assert readable(str(tmp_path / "not there"))
    assert readable("\0")
