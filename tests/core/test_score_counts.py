"""core/score_counts.py: exact counts in any order, and the means and quantiles of the rows themselves."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.core import score_counts
from lfiw_ray.errors import NonFiniteError

SCORES = st.lists(st.one_of(st.floats(-800, 800), st.just(-np.inf), st.just(0.5)), max_size=40).map(np.array)


def _equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_small_case():
    """1024 bins a nat: 0 and 0.25/1024 share bin 0, at a mean of 0.125/1024; -inf is not counted."""
    got = score_counts.of(np.array([0.25 / 1024, -np.inf, 0.0, -1.0, 1.0]))
    assert got.bins.tolist() == [-1024, 0, 1024]
    assert got.counts.tolist() == [1, 2, 1]
    assert score_counts.centres(got).tolist() == [-1, 0.125 / 1024, 1]
    assert score_counts.num_rows(got) == 4


@settings(max_examples=100)
@given(a=SCORES, b=SCORES, c=SCORES)
def test_merge_is_associative_commutative_and_the_whole(a, b, c):
    x, y, z = (score_counts.of(part) for part in (a, b, c))
    whole = score_counts.of(np.concatenate([a, b, c]))
    merge = score_counts.merge
    for got in (merge(merge(x, y), z), merge(x, merge(y, z)), merge(z, merge(y, x))):
        assert _equal(got, whole)


def test_a_million_rows_in_uneven_parts():
    scores = (3 * np.random.default_rng(0).standard_normal(1_000_003)).astype(np.float32)
    edges = [0, 1, 8192, 500_000, len(scores)]
    parts = [score_counts.of(scores[a:b]) for a, b in pairwise(edges)]
    got = reduce(score_counts.merge, parts[::-1])
    assert _equal(got, score_counts.of(scores))
    assert len(got.bins) < 35_000
    bins = np.floor(scores.astype(np.float64) * 1024)
    for place in (0, len(got.bins) // 2, -1):
        assert got.counts[place] == np.sum(bins == got.bins[place])
    mean = got.counts @ score_counts.centres(got) / len(scores)
    assert mean == pytest.approx(scores.mean(dtype=np.float64), abs=1e-11)


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 71"):
        score_counts.of(np.array([0.0, np.nan]), start=70)
    with pytest.raises(NonFiniteError, match="sample id 0"):
        score_counts.of(np.array([np.inf]))
