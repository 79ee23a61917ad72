"""Which log lines, texts of progress and fields of errors reach the researcher."""

from __future__ import annotations

import pytest

from algotools.disclosure.facts import Known, LevelFacts, Matches, TableFacts
from algotools.disclosure.messages import is_public_line, list_line_numbers, list_line_texts
from algotools.disclosure.policy import Policy

KNOWN = Known(
    texts=frozenset(["round ", ": sum of ", "used ", " rows", "fit started", "pressure", "age"]),
    numbers=frozenset([7.0]),
)
TABLE = TableFacts(label="default", rows=21, columns=("pressure",))


def is_public(text: str, cells: dict[float, int] | None = None, parts: dict[str, int] | None = None, **policy) -> bool:
    levels = (LevelFacts(column="diagnosis", level_count=4, row_count=21, records=parts),) if parts else ()
    matches = Matches(tables=(TABLE,), numbers=cells or {}, levels=levels)
    return is_public_line(text, KNOWN, matches, Policy(**policy))


def test_constants_arguments_columns_and_numbers_are_public() -> None:
    for text in ("fit started", "round 2: sum of pressure", "used 21 rows", "", "age: 12.5"):
        assert is_public(text)


def test_texts_of_the_data_are_not_public() -> None:
    for text in ("J. Bos", "used J. Bos", "round G12", "call 06-12345678", "1950-03-01"):
        assert not is_public(text)


def test_even_frequent_levels_are_not_public() -> None:
    assert not is_public("used I10", parts={"I10": 12})
    assert not is_public("used 10-20 rows", parts={"10-20": 12})


@pytest.mark.parametrize("k", [3, 5, 10])
def test_cells_of_few_records_are_not_public(k: int) -> None:
    assert not is_public("used 81 rows", {81.0: k - 1}, minimum_cell=k)
    assert is_public("used 81 rows", {81.0: k}, minimum_cell=k)
    assert is_public("round 7", {7.0: 1}, minimum_cell=k)


def test_the_number_of_rows_is_public() -> None:
    assert is_public("used 21 rows", {21.0: 1})
    assert not is_public("used 22 rows", {22.0: 1})


def test_an_owner_can_allow_all_messages() -> None:
    assert is_public("J. Bos", messages="any")


def test_candidates_for_matches() -> None:
    assert {81.0, -81.0} <= list_line_numbers("age 81")
    assert {"J. Bos", "Bos"} <= list_line_texts("patient: J. Bos")
