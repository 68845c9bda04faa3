"""core/rejection.py: the first k accepted rows, whatever the shards, and enough of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfiw_ray.core import rejection
from lfiw_ray.errors import ConfigError


@pytest.mark.parametrize("k", [0, 1, 10, 2000, 10**6])
def test_the_expected_number_is_five_standard_deviations_above_k(k):
    expected = rejection.expected_for(k)
    assert expected - 5 * np.sqrt(expected) == pytest.approx(k, abs=1e-6)


@pytest.mark.parametrize("k", [1, 20, 1000])
def test_enough_rows_are_accepted_and_hardly_more(k):
    """500 seeds at the rate aimed at: none falls short (false alarm at most 2e-3 by Chernoff; 2e-4 if normal)."""
    p = np.full(5000, rejection.expected_for(k) / 5000)
    for seed in range(500):
        rejection.finish(rejection.accept(p, 0, k, seed, "t"))


def test_acceptance_rates():
    """Each of 5 probabilities over 20,000 rows, |z| < 4.5 (false alarm 3e-5); 0 never and 1 always."""
    p = np.tile([0.0, 0.01, 0.3, 0.99, 1.0], 20_000)
    hits = np.bincount(rejection.accept(p, 10**12, len(p), 3, "t").sample_ids - 10**12, minlength=len(p))
    share = hits.reshape(-1, 5).mean(axis=0)
    assert share[[0, 4]].tolist() == [0, 1]
    assert np.abs((share - p[:5])[1:4] / np.sqrt(p[:5] * (1 - p[:5]) / 20_000)[1:4]).max() < 4.5


@given(cuts=st.lists(st.integers(0, 3000), max_size=5), k=st.integers(0, 500), seed=st.integers(0, 50))
def test_the_same_for_every_sharding_and_order(cuts, k, seed):
    p = np.linspace(0, 0.2, 3000)
    edges = [0, *sorted(cuts), 3000]
    parts = [rejection.accept(p[a:b], a, k, seed, "t") for a, b in pairwise(edges)]
    whole = rejection.accept(p, 0, k, seed, "t")
    for order in (parts, parts[::-1], [*parts, parts[0]]):
        got = order[0]
        for part in order[1:]:
            got = rejection.merge(got, part)
        assert np.array_equal(got.sample_ids, whole.sample_ids)


def test_the_selection():
    got = rejection.finish(rejection.accept(np.ones(10), 5, 3, 0, "t"))
    assert got.sample_ids.tolist() == [5, 6, 7]
    assert (got.keys, got.multiplicity.tolist(), got.weight.tolist()) == (None, [1] * 3, [1.0] * 3)
    assert len(rejection.finish(rejection.accept(np.ones(10), 5, 0, 0, "t")).sample_ids) == 0


def test_weight_zero_stays_zero_for_every_shift():
    log_w = np.array([-np.inf, 0.0, 2.0])
    for by, expected in ((3.0, [3, 5]), (np.inf, [np.inf] * 2), (-np.inf, [-np.inf] * 2)):
        assert rejection.shifted(log_w, by).tolist() == [-np.inf, *expected]


def test_refusals():
    with pytest.raises(ConfigError, match=r"k = 4 .* only 3 were accepted; lower k"):
        rejection.finish(rejection.accept(np.ones(3), 0, 4, 0, "t"))
    with pytest.raises(ValueError, match="3 and 4"):
        rejection.merge(rejection.Accepted(3, np.zeros(0)), rejection.Accepted(4, np.zeros(0)))
    with pytest.raises(ValueError, match="-1"):
        rejection.expected_for(-1)
