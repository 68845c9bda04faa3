"""Folds of the pool: no row is weighed by a classifier that saw it, and all folds have the same numbers of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfiw_ray.core.folds import FOLD_BLOCK, fold_of, rows_of, size_of

POOLS = st.tuples(st.integers(3, 7), st.integers(0, 20_000)).map(lambda p: (p[0], p[0] * FOLD_BLOCK + p[1]))


def test_a_pool_of_three_blocks_and_a_rest() -> None:
    num_samples = 3 * FOLD_BLOCK + 10
    assert [size_of(fold, 3, num_samples) for fold in range(3)] == [FOLD_BLOCK + 10, FOLD_BLOCK, FOLD_BLOCK]
    rows = rows_of(0, 3, num_samples, num_train=5, num_held_out=2)
    assert rows.train.tolist() == [2048, 2049, 2050, 2051, 2052]
    assert rows.held_out.tolist() == [1024, 1025]
    assert rows_of(1, 3, num_samples, FOLD_BLOCK, 4).train.tolist() == list(range(FOLD_BLOCK))


@given(POOLS)
def test_sizes_are_those_of_the_rows(pool: tuple[int, int]) -> None:
    folds, num_samples = pool
    counts = np.bincount(fold_of(np.arange(num_samples), folds), minlength=folds)
    assert counts.tolist() == [size_of(fold, folds, num_samples) for fold in range(folds)]


@given(POOLS, st.integers(1, 40_000), st.integers(1, 8000))
def test_no_row_is_scored_by_a_classifier_that_saw_it(pool: tuple[int, int], num_train: int, num_held_out: int) -> None:
    folds, num_samples = pool
    ids = np.arange(num_samples)
    counts = set()
    for fold in range(folds):
        rows = rows_of(fold, folds, num_samples, num_train, num_held_out)
        scored = ids[fold_of(ids, folds) == fold]
        for seen in rows:
            assert not np.isin(scored, seen).any()
            assert (np.diff(seen) > 0).all()
            assert len(seen) == 0 or 0 <= seen[0] <= seen[-1] < num_samples
        assert not np.isin(rows.train, rows.held_out).any()
        assert set(fold_of(rows.held_out, folds)) <= {(fold + 1) % folds}
        counts.add((len(rows.train), len(rows.held_out)))
    assert len(counts) == 1  # the prior odds are the same for all


@given(POOLS, st.integers(1, 40_000), st.integers(1, 8000))
def test_a_small_pool_gives_less_of_both_in_proportion(
    pool: tuple[int, int], num_train: int, num_held_out: int
) -> None:
    folds, num_samples = pool
    rows = rows_of(0, folds, num_samples, num_train, num_held_out)
    shares = len(rows.train) / num_train, len(rows.held_out) / num_held_out
    assert abs(shares[0] - shares[1]) <= 1 / num_train + 1 / num_held_out
    sizes = [size_of(fold, folds, num_samples) for fold in range(folds)]
    enough = min(sizes) >= num_held_out and num_samples - 2 * max(sizes) >= num_train
    assert not enough or shares == (1, 1)


def test_the_first_rows_of_a_huge_pool_are_found_at_once() -> None:
    rows = rows_of(2, 5, 10**10, 3000, 1000)
    assert rows.train[-1] < 5 * FOLD_BLOCK
    assert rows.held_out.tolist() == list(range(3 * FOLD_BLOCK, 3 * FOLD_BLOCK + 1000))


@pytest.mark.parametrize(
    ("fold", "folds", "num_samples", "message"),
    [(0, 2, 10_000, "fold 0 of 2"), (3, 3, 10_000, "fold 3 of 3"), (0, 3, 2048, "more than 2048 samples")],
)
def test_bad_folds(fold: int, folds: int, num_samples: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows_of(fold, folds, num_samples, 10, 10)
