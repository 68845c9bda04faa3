"""core/rivals_obrs.py: the constant against an exact solution, and against every other use of the same budget."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfiw_ray.core import rejection, rivals_obrs, score_counts
from lfiw_ray.errors import ConfigError, NonFiniteError

LOG_W = 1.5 * np.random.default_rng(0).standard_normal(20_000)


def _log_c(log_w, expected):
    return rivals_obrs.log_c_for(score_counts.of(log_w), expected)


def _exactly(log_w, expected):
    """The same from the sorted weights, one row at a time."""
    w = np.sort(np.exp(log_w - log_w.max()))[::-1]
    for j in range(len(w)):
        c = (expected - j) / w[j:].sum()
        if c * w[j] <= 1:
            return math.log(c) - log_w.max()
    raise AssertionError


def test_exact_small_cases():
    """w = 4, 1, 1, 2.  Budget 1: c = 1/8, below 1 / max w: plain rejection.  Budget 2: c = 2/8 = 1 / 4 exactly.
    Budget 2.5: the heaviest for certain, c = 1.5 / 4.  Budget 3.5: 4 and 2 for certain, c = 1.5 / 2."""
    log_w = np.log([4.0, 1, 1, 2])
    for budget, c in ((1, 1 / 8), (2, 1 / 4), (2.5, 1.5 / 4), (3.5, 1.5 / 2)):
        assert math.exp(_log_c(log_w, budget)) == pytest.approx(c, rel=1e-9)
    assert _log_c(log_w, 4) == np.inf
    assert rivals_obrs.probability(log_w, math.log(1.5 / 4)) == pytest.approx([1, 0.375, 0.375, 0.75])


@pytest.mark.parametrize("expected", [0.5, 20.0, 2236.5, 19_999.9])
def test_the_budget_is_met(expected):
    log_c = _log_c(LOG_W, expected)
    assert rivals_obrs.probability(LOG_W, log_c).sum() == pytest.approx(expected, rel=2e-7)
    assert log_c == pytest.approx(_exactly(LOG_W, expected), abs=1e-4)


@settings(max_examples=100, deadline=None)
@given(
    log_w=st.lists(st.floats(-30, 30), min_size=1, max_size=60).map(np.array),
    share=st.floats(0.001, 0.999),
)
def test_the_stated_tolerance_holds_for_any_weights(log_w, share):
    expected = share * len(log_w)
    log_c = _log_c(log_w, expected)
    near = np.sum(np.abs(log_w + log_c) < 1 / 1024)
    error = abs(rivals_obrs.probability(log_w, log_c).sum() - expected)
    assert error <= 2e-7 * expected + 2.5e-4 * near


def test_no_other_use_of_the_budget_comes_closer():
    """KL(target | accepted) over all acceptance probabilities on a grid for three kinds of rows."""
    w = np.array([6.0, 2.0, 1.0])
    target = w / w.sum()
    budget = 1.5

    def kl(a):
        return float(np.sum(target * np.log(target / (a / a.sum()))))

    best = rivals_obrs.probability(np.log(w), _log_c(np.log(w), budget))
    assert best.sum() == pytest.approx(budget, rel=1e-6)
    grid = np.linspace(0.005, 1, 200)
    others = [kl(np.array([a, b, budget - a - b])) for a in grid for b in grid if 0.005 < budget - a - b <= 1]
    assert kl(best) <= min(others) + 1e-9


def test_the_accepted_rows_follow_truncated_weights():
    """Mean of log w under min(w, 1/c), 40 seeds, |z| < 4.5 (7e-6)."""
    log_c = _log_c(LOG_W, 2000)
    p = np.exp(np.minimum(LOG_W, -log_c))
    expected = LOG_W @ p / p.sum()
    found = [LOG_W[rivals_obrs.draw(LOG_W, 0, 20_000, seed, log_c).sample_ids].mean() for seed in range(40)]
    assert abs(np.mean(found) - expected) < 4.5 * np.std(found) / np.sqrt(40)


def test_equal_weights_and_one_that_dominates():
    assert _log_c(np.full(1000, 3.0), 250) == pytest.approx(math.log(0.25) - 3, abs=1e-9)
    log_c = _log_c(np.append(np.zeros(1000), 700.0), 101)
    assert log_c == pytest.approx(math.log(0.1), abs=1e-9)
    assert rivals_obrs.probability(np.array([700.0, -743.0, -np.inf]), log_c).tolist()[::2] == [1, 0]


def test_fixed_numbers_of_rows():
    for k in (0, 1, 19, 20_000):
        log_c = _log_c(LOG_W, rejection.expected_for(k))
        got = rejection.finish(rivals_obrs.draw(LOG_W, 10**9, k, 0, log_c))
        assert len(got.sample_ids) == k
    assert np.array_equal(got.sample_ids, 10**9 + np.arange(20_000))


def test_rows_without_weight_are_never_selected():
    log_w = np.where(np.arange(100) % 2, 0.0, -np.inf)
    for expected in (30, 1000):
        ids = rivals_obrs.draw(log_w, 0, 100, 0, _log_c(log_w, expected)).sample_ids
        assert len(ids)
        assert (ids % 2 == 1).all()
    with pytest.raises(ConfigError, match="only 50 were accepted"):
        rejection.finish(rivals_obrs.draw(log_w, 0, 51, 0, np.inf))


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 8"):
        rivals_obrs.draw(np.array([0.0, np.inf]), 7, 1, 0, 0.0)
    with pytest.raises(ValueError, match="positive, got nan"):
        _log_c(LOG_W, np.nan)
