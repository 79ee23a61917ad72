"""Sketches of sets of records: the estimated difference of two sets, and what a sketch does not reveal."""

from __future__ import annotations

import numpy as np
import pytest

from algotools.disclosure.sketch import SKETCH_BYTES, count_records, estimate_difference, make_sketch

KEY = b"the secret of a ledger"


def sketch(ids, key=KEY):
    return make_sketch(np.asarray(ids, dtype=np.int64), key)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [50, 1_000, 100_000])
@pytest.mark.parametrize("d", [0, 1, 2, 3, 5, 10, 30])
def test_the_difference_of_nested_sets_is_exact(n, d, seed):
    rng = np.random.default_rng(seed)
    ids = rng.choice(np.arange(-n, 20 * n), n, replace=False)
    assert estimate_difference(sketch(ids), sketch(ids[d:])) == d
    assert estimate_difference(sketch(ids[d:]), sketch(ids)) == d


@pytest.mark.parametrize("seed", range(300))
def test_one_row_out_and_one_row_in_are_two(seed):
    """Also for the pairs of rows that have the same cell: about 5 of 300."""
    rng = np.random.default_rng(seed)
    ids = rng.choice(10_000, 200, replace=False)
    assert estimate_difference(sketch(ids[1:]), sketch(ids[:-1])) == 2


@pytest.mark.parametrize("seed", range(50))
def test_the_estimate_of_any_two_sets_is_never_too_large_and_rarely_small(seed):
    rng = np.random.default_rng(seed)
    first = set(rng.choice(400, 200, replace=False).tolist())
    second = first ^ set(rng.choice(400, 20, replace=False).tolist())
    estimate = estimate_difference(sketch(sorted(first)), sketch(sorted(second)))
    assert 10 <= estimate <= 20


def test_random_sets_of_equal_size_are_far_apart():
    rng = np.random.default_rng(0)
    sets = [sketch(rng.choice(10_000, 5_000, replace=False)) for _ in range(20)]
    assert min(estimate_difference(a, b) for i, a in enumerate(sets) for b in sets[:i]) > 60


def test_the_order_of_the_ids_and_the_chunks_do_not_matter():
    ids = np.arange(200_000)
    assert sketch(ids) == sketch(ids[::-1]) == sketch(np.random.default_rng(0).permutation(ids))


def test_a_row_that_a_sample_contains_twice_counts_twice():
    assert estimate_difference(sketch([1, 2, 3]), sketch([1, 2, 3, 3])) == 1


def test_a_sketch_is_small_and_counts_its_records():
    assert len(sketch(range(70_000))) == SKETCH_BYTES <= 800
    assert count_records(sketch(range(70_000))) == 70_000
    assert count_records(sketch([])) == 0


def test_another_key_gives_another_sketch():
    assert estimate_difference(sketch(range(1_000)), sketch(range(1_000), b"another key")) > 60


def test_hashes_spread_evenly_over_the_cells():
    """Ids are consecutive numbers, which a weak hash would put into few cells."""
    for step in (1, 64, 1 << 20, 1 << 40):
        counts = np.frombuffer(sketch(np.arange(6_400) * step)[:256], dtype="<u4")
        assert 50 < counts.min() <= counts.max() < 160


def test_bytes_that_are_not_a_sketch_are_refused():
    with pytest.raises(ValueError, match="768 bytes"):
        estimate_difference(sketch([1]), b"short")
