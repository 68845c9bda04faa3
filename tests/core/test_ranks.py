"""core/ranks.py: the heaviest, the lightest and any k rows."""

from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from lfiw_ray.core import ranks, topk
from lfiw_ray.errors import ConfigError, NonFiniteError

LOG_W = np.random.default_rng(0).standard_normal(3001).astype(np.float32)


def ids(state):
    return ranks.finish(state).sample_ids.tolist()


def test_small_cases_with_ties_and_rows_without_weight():
    log_w = np.array([1.0, -np.inf, 3.0, 1.0, 2.0, 1.0])
    assert ids(ranks.heaviest(log_w, 10, 3)) == [10, 12, 14]
    assert ids(ranks.lightest(log_w, 10, 2)) == [10, 13]
    assert ids(ranks.lightest(log_w, 10, 5)) == [10, 12, 13, 14, 15]
    assert ids(ranks.uniform(log_w, 10, 5, 0)) == [10, 12, 13, 14, 15]
    got = ranks.finish(ranks.heaviest(log_w, 10, 3))
    assert got.keys.tolist() == [1, 3, 2]
    assert (got.multiplicity.tolist(), got.weight.tolist()) == ([1] * 3, [1.0] * 3)


@pytest.mark.parametrize("k", [0, 1, 500, 3001])
def test_ranks_are_those_of_a_sort(k):
    order = np.argsort(LOG_W, kind="stable")
    assert ids(ranks.lightest(LOG_W, 0, k)) == sorted(order[:k].tolist())
    assert ids(ranks.heaviest(LOG_W, 0, k)) == sorted(order[len(order) - k :].tolist())
    assert len(set(ids(ranks.uniform(LOG_W, 0, k, 1)))) == k


@pytest.mark.parametrize("cuts", [[], [1], [700, 701, 2900]])
@pytest.mark.parametrize("log_w", [LOG_W, np.zeros(3001), np.append(np.zeros(3000), 700.0)])
def test_the_same_for_every_sharding_and_order(log_w, cuts):
    rules = (ranks.heaviest, ranks.lightest, lambda part, start, k: ranks.uniform(part, start, k, 3))
    for rule in rules:
        parts = [rule(log_w[a:b], a, 100) for a, b in pairwise([0, *cuts, 3001])]
        whole = ranks.finish(rule(log_w, 0, 100))
        for order in (parts, parts[::-1]):
            for got, expected in zip(ranks.finish(reduce(topk.merge, order)), whole, strict=True):
                assert np.array_equal(got, expected)


def test_equal_weights_go_by_sample_id():
    assert ids(ranks.heaviest(np.zeros(50), 7, 5)) == ids(ranks.lightest(np.zeros(50), 7, 5)) == [7, 8, 9, 10, 11]


def test_uniform_ignores_the_weights():
    """3 of 8 rows over 4,000 seeds: each row 3/8 (|z| < 4.5, 6e-5), each of 56 sets as often (chi-square p > 1e-5)."""
    log_w = np.array([50.0, 0, 0, -np.inf, 0, -700, 3, 0, 1])
    rows = np.flatnonzero(log_w > -np.inf)
    found = np.array([np.searchsorted(rows, ids(ranks.uniform(log_w, 0, 3, seed))) for seed in range(4000)])
    share = np.bincount(found.ravel(), minlength=8) / 4000
    assert np.abs((share - 3 / 8) / np.sqrt(3 / 8 * 5 / 8 / 4000)).max() < 4.5
    _, counts = np.unique(found @ [64, 8, 1], return_counts=True)
    assert len(counts) == 56
    assert stats.chisquare(counts).pvalue > 1e-5


def test_refusals():
    log_w = np.array([0.0, -np.inf, 1.0])
    for state in (ranks.heaviest(log_w, 0, 3), ranks.lightest(log_w, 0, 3), ranks.uniform(log_w, 0, 3, 0)):
        with pytest.raises(ConfigError, match=r"k = 3 .* only 2 have a positive weight"):
            ranks.finish(state)
    for bad in (np.nan, np.inf):
        for rule in (ranks.heaviest, ranks.lightest):
            with pytest.raises(NonFiniteError, match="sample id 6"):
                rule(np.array([0.0, bad]), 5, 1)
        with pytest.raises(NonFiniteError, match="sample id 6"):
            ranks.uniform(np.array([0.0, bad]), 5, 1, 0)
    with pytest.raises(ValueError, match="-1"):
        ranks.heaviest(log_w, 0, -1)
