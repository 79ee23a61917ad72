"""Fingerprints of the changes of a number: what makes two numbers alike, and what a fingerprint does not reveal."""

from __future__ import annotations

import random

import pytest

from algotools.disclosure.fingerprints import MOST_FINGERPRINTS, count_different_groups, list_marks, make_fingerprints

KEY = b"k" * 32


def fingerprint(changes, key=KEY):
    (result,) = make_fingerprints([changes], key)
    return result


def draw(seed, groups=16):
    generator = random.Random(seed)
    return [generator.gauss(0, 100) for _ in range(groups)]


@pytest.mark.parametrize("different", [0, 1, 2, 5, 8])
def test_the_groups_with_another_change_are_counted(different):
    changes = draw(1)
    other = [change + 1 if i < different else change for i, change in enumerate(changes)]
    assert count_different_groups(fingerprint(changes), fingerprint(other)) == different


@pytest.mark.parametrize("seed", range(200))
def test_rounding_errors_are_no_difference(seed):
    """Also if a change is near a limit of rounding."""
    changes = draw(seed)
    noisy = [change * (1 + 1e-10 * (-1) ** i) for i, change in enumerate(changes)]
    assert count_different_groups(fingerprint(changes), fingerprint(noisy)) == 0
    assert set(list_marks(fingerprint(changes))) & set(list_marks(fingerprint(noisy)))


def test_other_numbers_do_not_change_alike():
    assert count_different_groups(fingerprint(draw(1)), fingerprint(draw(2))) is None


def test_equal_changes_of_two_groups_have_different_hashes():
    assert len(set(list_marks(fingerprint([5.0] * 16)))) == 32
    assert len({mark for _, mark in list_marks(fingerprint([5.0] * 16))}) == 32


def test_a_number_that_few_groups_change_has_no_fingerprint():
    assert make_fingerprints([[1.0] * 7 + [0.0] * 9, [0.0] * 16], KEY) == ()


def test_groups_without_which_the_function_fails_are_not_compared():
    changes = draw(1)
    assert count_different_groups(fingerprint([None, *changes[1:]]), fingerprint(changes)) == 0


def test_without_the_key_a_change_cannot_be_tried():
    marks, other_marks = list_marks(fingerprint(draw(1))), list_marks(fingerprint(draw(1), b"x" * 32))
    assert not set(marks) & set(other_marks)


def test_a_result_has_a_limited_number_of_fingerprints():
    assert len(make_fingerprints((draw(seed) for seed in range(500)), KEY)) == MOST_FINGERPRINTS
    assert len(fingerprint(draw(1))) == 128
