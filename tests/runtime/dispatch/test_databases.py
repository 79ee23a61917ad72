"""Databases that a function cannot use: the researcher reads the label, the owner the details, nobody the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from algotools.federation.contract import get_contract

from ...conftest import AVERAGE, SECRET, CompletedRun, ManualNode
from .conftest import Run
from .test_failures import check_failed


@pytest.fixture
def misbehaving() -> Path:
    """Replace the algorithm by a valid one, because these tests damage the data."""
    return AVERAGE


@pytest.fixture
def read(request: pytest.FixtureRequest, way: str, contract: str) -> Callable[[], CompletedRun]:
    """Read the database ``default``: in an rpc, or, for a run by hand on v5, in an extraction.

    On v5 an rpc receives no databases. In a federation, the node first extracts a table from the database.
    """
    if (way, contract) != ("by hand", "v5"):
        call: Run = request.getfixturevalue("call")
        return lambda: call("average_partial", column_name="age")
    by_hand: ManualNode = request.getfixturevalue("by_hand")

    def start() -> CompletedRun:
        owner_log = by_hand.folder / "owner.log"
        request = get_contract("v5").make_request({"method": "read_csv", "master": False}, "data_extraction")
        outcome = by_hand.run(
            by_hand.environment(AVERAGE, request, "v5", variables={"ALGOTOOLS_DEBUG": str(owner_log)})
        )
        outcome.detail = owner_log.read_text()
        return outcome

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


@pytest.mark.parametrize(("way", "contract"), [("by hand", "v4"), ("by hand", "v5"), ("inline", "v5")], indirect=True)
@pytest.mark.parametrize("damage", [missing, a_folder, empty, an_open_quote, compressed, in_another_encoding])
def test_an_unreadable_database_is_named(
    read: Callable[[], CompletedRun], way: str, contract: str, patients: Path, damage: Callable[[Path], None]
) -> None:
    damage(patients)
    outcome = read()
    message = check_failed(outcome, 31)
    # A node of v5 does not pass on the real label.
    label = "source" if (way, contract) == ("by hand", "v5") else "default"
    assert message.startswith(f"database {label!r}: it")
    assert str(patients) not in outcome.log
    assert str(patients) in outcome.detail


def test_a_missing_column_is_named_and_the_owner_sees_the_columns(call: Run) -> None:
    outcome = call("average_partial", column_name="height")
    assert check_failed(outcome, 16) == "no column 'height' in database 'default'"
    assert "columns of default: name, age" in outcome.detail


def test_a_column_of_texts_is_refused_without_quoting_them(call: Run) -> None:
    assert check_failed(call("average_partial", column_name="name"), 41) == "the column does not hold numbers"


def test_an_empty_table_is_accepted(call: Run, patients: Path, contract: str) -> None:
    patients.write_text("name,age\n")
    outcome = call("average_partial", column_name="age")
    assert outcome.code == 0
    assert get_contract(contract).decode_output(outcome.output) == {"sum": 0, "count": 0}
