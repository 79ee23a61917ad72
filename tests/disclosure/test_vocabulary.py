"""Which texts are known: chains of texts of the source, arguments, columns, frequent levels and numbers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algotools.disclosure._texts import list_numbers_of_text, list_parts_of_text
from algotools.disclosure._vocabulary import Vocabulary
from algotools.disclosure.facts import Known, LevelFacts, Matches
from algotools.disclosure.policy import Policy

SOURCE = ["_mean", "bin ", "mean of ", " by ", "a", "e", "n", "x", "n", "total", "group size", "low to high", " of "]
COLUMNS = ["age", "blood pressure", "marital_status", "float64", "object"]


def make_vocabulary(
    *texts: str,
    levels: dict[str, int] | None = None,
    level_count: int = 5,
    row_count: int = 100,
    numbers: tuple[float, ...] = (),
    cells: dict[float, int] | None = None,
    **policy: float,
) -> Vocabulary:
    known = Known(texts=frozenset([*SOURCE, *COLUMNS, *texts]), numbers=frozenset(numbers))
    facts = LevelFacts(column="column", level_count=level_count, row_count=row_count, records=levels or {})
    matches = Matches(levels=(facts,) if levels else (), numbers=cells or {})
    return Vocabulary(known, matches, Policy(**policy))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "total", "age", "float64", "age_mean", "mean of age", "mean of blood pressure", "age by marital_status",
        "marital_status_mean", "bin 3", "bin 03", "x1", "x_2", "n", "(a, e)", "", " ", "...", "25%", "97.5%",
        "2024-01", "2024Q1", "true", "null", "NaN", "None", "count", "const", "Intercept", "AGE", "Total", "1 of 3",
        "[20, 35)", "(-inf, 20.0]", "1e-05", "-3.5", "1,234", '["age", null, 3]', "age: 12", "x[1][2]",
    ],
)  # fmt: skip
def test_chains_of_known_texts_are_known(text: str) -> None:
    assert make_vocabulary().is_known(text)


@pytest.mark.parametrize(
    "text",
    [
        "Anna", "Jansen", "ean", "aen", "nxa", "anne_mean", "mean of Jansen", "1043AX", "06-12345678 call",
        "0612345678", "1950-03-01", "03/01/1950", "2024-01-01T10:00:00", "e3b0c44298fc",
        "chest pain", "agent", "agea", "naïve",
        "王", "12345678901234567890", "0110101", "totals x y z q", "low to hig", "ageage x J",
    ],
)  # fmt: skip
def test_other_texts_are_unknown(text: str) -> None:
    assert not make_vocabulary().is_known(text)


def test_short_pieces_count_only_between_other_characters() -> None:
    vocabulary = make_vocabulary("an", "na", "J", "b")
    assert vocabulary.is_known("an, na")
    assert vocabulary.is_known("J1")
    assert not any(map(vocabulary.is_known, ["anna", "Ja", "Jan", "banana", "annab"]))


def test_dates_of_arguments_and_levels_are_known() -> None:
    vocabulary = make_vocabulary("2024-01-01", levels={"2023-05-06": 8})
    assert vocabulary.is_known("2024-01-01")
    assert vocabulary.is_known("2024-01-01T00:00:00")
    assert vocabulary.is_known("2024-01-01 00:00:00+00:00")
    assert vocabulary.is_known("age by 2023-05-06")
    assert not vocabulary.is_known("2024-01-02")


@pytest.mark.parametrize("k", [3, 5, 10])
def test_a_level_needs_enough_records(k: int) -> None:
    for text in ("I10", "age_I10", "age by I10"):
        assert make_vocabulary(levels={"I10": k}, minimum_cell=k).is_known(text)
        assert not make_vocabulary(levels={"I10": k - 1}, minimum_cell=k).is_known(text)


def test_a_column_of_many_levels_has_no_known_levels() -> None:
    levels = {"chest pain": 50}
    assert make_vocabulary(levels=levels, level_count=40, row_count=200).is_known("chest pain")
    assert not make_vocabulary(levels=levels, level_count=41, row_count=200).is_known("chest pain")
    assert make_vocabulary(levels=levels, level_count=33, row_count=100).is_known("chest pain")
    assert not make_vocabulary(levels=levels, level_count=34, row_count=100).is_known("chest pain")


def test_a_value_of_few_records_is_unknown_even_if_pieces_spell_it() -> None:
    rare = {"bin 3": 1, "x4": 2}
    assert make_vocabulary().is_known("age of x4")
    vocabulary = make_vocabulary(levels=rare)
    assert not any(map(vocabulary.is_known, ["bin 3", "age of x4", "x4"]))
    assert vocabulary.is_known("bin 4")


def test_a_value_of_few_records_inside_of_a_known_text_is_known() -> None:
    vocabulary = make_vocabulary(levels={"size": 1, "total": 1})
    assert vocabulary.is_known("group size")
    assert vocabulary.is_known("group size of age")
    assert vocabulary.is_known("total")


@pytest.mark.parametrize("k", [3, 5, 10])
def test_numbers_of_few_records_are_unknown(k: int) -> None:
    for text in ("81", "age 81", "(20, 81]", "mean of 81.0", "x81"):
        assert not make_vocabulary(cells={81.0: k - 1}, minimum_cell=k).is_known(text)
        assert make_vocabulary(cells={81.0: k}, minimum_cell=k).is_known(text)
        assert make_vocabulary(cells={81.0: 1}, numbers=(81.0,), minimum_cell=k).is_known(text)
    assert not make_vocabulary(cells={48213.0: 1}).is_known("48,213")
    assert not make_vocabulary(cells={-3.5: 1}).is_known("x -3.5")
    assert not make_vocabulary(cells={1043.25: 1}).is_known("1043.25 of age")


def test_the_number_of_an_item_is_known() -> None:
    vocabulary = make_vocabulary(cells={3.0: 1})
    assert not vocabulary.is_known("bin 3")
    assert vocabulary.is_known("bin 3", siblings=5)


def test_digits_that_are_a_text_of_few_records_are_unknown() -> None:
    assert make_vocabulary().is_known("total 1043")
    assert not make_vocabulary(levels={"1043": 1}).is_known("total 1043")
    assert make_vocabulary(levels={"1043": 1}, numbers=(1043.0,)).is_known("total 1043")


def test_a_literal_needs_no_data() -> None:
    vocabulary = make_vocabulary(levels={"I10": 8})
    assert vocabulary.is_literal("age_mean")
    assert vocabulary.is_literal("total")
    assert not vocabulary.is_literal("I10")
    assert not vocabulary.is_literal("bin 3")


def test_candidates_contain_numbers_and_parts() -> None:
    assert {48213.0, 48.0, 213.0, 2.5} <= set(list_numbers_of_text("48,213 and 2.5"))
    assert set(list_numbers_of_text("1950-03-01")) == set()
    parts = list_parts_of_text("mean of chest pain: J. Bos (I10)_x")
    assert {"mean of chest pain", "chest pain", "J. Bos", "I10", "x", "Bos"} <= parts


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*SOURCE[:4], *COLUMNS, ", ", "_", " 12 "]), max_size=8))
def test_joined_known_texts_are_known(parts: list[str]) -> None:
    assert make_vocabulary().is_known("_".join(parts))


@settings(max_examples=200)
@given(st.text(max_size=30), st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=10))
def test_an_unknown_word_is_never_known(text: str, word: str) -> None:
    unknown = f"qzq{word}"
    assert not make_vocabulary().is_known(f"{text} {unknown}")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 30_000,
        "age" * 10_000,
        "aab" * 10_000,
        "x1 " * 10_000,
        "word and more, " * 2_000,
        "1,2," * 7_500,
        "I10 " * 7_500,
    ],
    ids=["letter", "column", "short", "numbered", "words", "numbers", "rare"],
)
def test_a_long_text_is_compared_quickly(text: str) -> None:
    literals = [f"aa{'a' * i}" for i in range(100)] + [f"literal {i}" for i in range(1000)]
    vocabulary = make_vocabulary(*literals, levels={"I10": 1})
    start = time.process_time()
    list_parts_of_text(text)
    vocabulary.is_known(text)
    assert time.process_time() - start < 20  # a search of all pairs of positions would take an hour
