"""Databases that are not what a function needs: named for the researcher, explained to the owner, never quoted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.contract import by_name

from ..conftest import AVERAGE, SECRET, ByHand, Ended
from .conftest import Run
from .test_failures import check_failed


@pytest.fixture
def misbehaving() -> Path:
    """Here the algorithm is a well-behaved one; it is the data that is not."""
    return AVERAGE


@pytest.fixture(params=["v4", "v5"])
def contract(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def read(request: pytest.FixtureRequest, way: str, contract: str) -> Callable[[], Ended]:
    """Reads the database ``default``: for an rpc, or, on v5, to extract a table from it.

    On v5 an rpc gets no databases. In a federation its node extracts a table by itself where a task names a database.
    """
    if (way, contract) != ("by hand", "v5"):
        call: Run = request.getfixturevalue("call")
        return lambda: call("average_partial", column_name="age")
    by_hand: ByHand = request.getfixturevalue("by_hand")

    def start() -> Ended:
        owners = by_hand.folder / "owner.log"
        asked = by_name("v5").request({"method": "read_csv", "master": False}, "data_extraction")
        ended = by_hand.run(by_hand.environment(AVERAGE, asked, "v5", variables={"ALGOTOOLS_DEBUG": str(owners)}))
        ended.detail = owners.read_text()
        return ended

    return start


def missing(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def an_open_quote(path: Path) -> None:
    path.write_text(f'name,age\n"{SECRET},1\n')


def compressed(path: Path) -> None:
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(128, 256)) * 20)


def in_another_encoding(path: Path) -> None:
    path.write_text(f"né,age\n{SECRET},1\n", encoding="latin-1")


@pytest.mark.parametrize("spoil", [missing, a_folder, empty, an_open_quote, compressed, in_another_encoding])
def test_a_database_that_cannot_be_read_is_named(
    read: Callable[[], Ended], way: str, contract: str, patients: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(patients)
    ended = read()
    message = check_failed(ended, 31)
    label = "source" if (way, contract) == ("by hand", "v5") else "default"  # nothing tells the real one
    assert message.startswith(f"database {label!r}: it")
    assert str(patients) not in ended.log
    assert str(patients) in ended.detail


def test_a_column_that_is_not_there_is_named_and_the_owner_sees_which_are(call: Run) -> None:
    ended = call("average_partial", column_name="height")
    assert check_failed(ended, 16) == "no column 'height' in database 'default'"
    assert "columns of default: name, age" in ended.detail


def test_a_column_that_holds_texts_is_refused_without_telling_them(call: Run) -> None:
    assert check_failed(call("average_partial", column_name="name"), 41) == "the column does not hold numbers"


def test_no_rows_are_no_error(call: Run, patients: Path, contract: str) -> None:
    patients.write_text("name,age\n")
    ended = call("average_partial", column_name="age")
    assert ended.code == 0
    assert by_name(contract).answer(ended.output) == {"sum": 0, "count": 0}
