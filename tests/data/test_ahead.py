"""The traits of a file that were found ahead are those that the reader finds, and no reader uses those of another."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from algotools import data
from algotools.data import ahead
from algotools.data._csv_format import Dialect
from algotools.data._csv_scan import scan
from algotools.errors import DatabaseUnreadable
from algotools.task import Database

from .forms import TABLES, to_lists

REGULAR = "a,b,c\n" + "1,2,x\n" * 1000

Register = Callable[..., list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.csv"


@pytest.fixture
def register() -> Register:
    """Register a report as that of another process; the returned list shows whether the process was stopped."""

    def add(path: Path, report: bytes | None = None) -> list[str]:
        database = Database("clinic", str(path))
        stopped: list[str] = []
        read_end, write_end = os.pipe()
        os.write(write_end, ahead.make_report(database) if report is None else report)
        os.close(write_end)
        ahead.add(database, read_end, lambda: stopped.append("stopped"))
        return stopped

    return add


@pytest.mark.parametrize(
    "rows", ["1,2,x\n", '1,2,"x,y"\n', '1,"2\n3",x\n', "1,2,3,4\n", "1,2\n", "\n", "0x1,2,x\n", '1,2"3,x\n', "1,2,x\r"]
)
def test_the_report_has_the_traits_that_a_reader_finds(path: Path, register: Register, rows: str) -> None:
    path.write_text(REGULAR + rows + "1,2,x\n", newline="")
    stopped = register(path)
    assert ahead.take(path, Dialect(), 3) == scan(path, Dialect(), width=3)
    assert stopped == ["stopped"]
    assert ahead.take(path, Dialect(), 3) is None


def test_a_report_of_another_file_or_dialect_is_not_used(path: Path, register: Register) -> None:
    def take(dialect: Dialect, width: int | None) -> bool:
        path.write_text(REGULAR)
        register(path)
        return ahead.take(path, dialect, width) is not None

    assert [take(Dialect(), 3), take(Dialect(), None), take(Dialect(dtype=(("a", "str"),)), 3)] == [True] * 3
    assert [take(Dialect(), 4), take(Dialect(sep=";"), 3), take(Dialect(skiprows=1), 3)] == [False] * 3
    register(path)
    path.write_text(REGULAR + "1,2,3,4\n")
    assert ahead.take(path, Dialect(), 3) is None


def test_a_process_without_a_report_leaves_the_scan_to_the_reader(path: Path, register: Register) -> None:
    path.write_text(REGULAR)
    register(path, b"")
    assert ahead.take(path, Dialect(), 3) is None
    path.write_text(REGULAR, encoding="utf-16")
    with pytest.raises(DatabaseUnreadable):  # the process writes nothing, and the reader reports the reason
        ahead.make_report(Database("clinic", str(path), options={"SEP": "two"}))
    assert ahead.make_report(Database("clinic", str(path), options={"ENCODING": "utf-16"})) == b""


@pytest.mark.parametrize("form", TABLES)
def test_each_form_uses_the_report(path: Path, register: Register, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(REGULAR)
    stopped = register(path)
    monkeypatch.setattr("algotools.data.forms.scan", None)
    with ExitStack() as stack:
        columns = to_lists(form, data.load(Database("clinic", str(path)), form, ["a"], stack).value)
    assert columns == {"a": [1] * 1000}
    assert stopped


@pytest.mark.parametrize("form", ["pandas", "polars", "lazy", "duckdb"])
def test_a_long_row_of_the_report_is_refused(path: Path, register: Register, form: str) -> None:
    path.write_text(REGULAR + "1,2,3,4\n")
    register(path)
    with ExitStack() as stack, pytest.raises(DatabaseUnreadable, match="more fields than the header"):
        data.load(Database("clinic", str(path)), form, ["a"], stack)


def test_only_a_large_csv_file_is_scanned_ahead(path: Path, tmp_path: Path, register: Register) -> None:
    path.write_text("a,b\n" * (1 << 19))
    small = tmp_path / "small.csv"
    small.write_text("a,b\n")
    others = [Database("other", str(small)), Database("table", str(path), "parquet"), Database("none", "\0")]
    assert ahead.select_file([*others, Database("clinic", str(path))]) == Database("clinic", str(path))
    assert ahead.select_file(others) is None


def test_scans_without_a_reader_are_stopped(path: Path, register: Register) -> None:
    path.write_text(REGULAR)
    stopped = register(path)
    ahead.stop_all()
    ahead.stop_all()
    assert stopped == ["stopped"]
    assert ahead.take(path, Dialect(), 3) is None
