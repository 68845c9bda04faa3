"""core/rivals_drs.py: the paper's formula, its percentile, the budget, and what the accepted rows follow."""

import math

import numpy as np
import pytest

from lfiw_ray.core import rejection, rivals_drs, score_counts
from lfiw_ray.errors import ConfigError, NonFiniteError

LOG_W = 1.5 * np.random.default_rng(0).standard_normal(20_000)
PEAK = float(LOG_W.max())
SEEN = score_counts.of(rivals_drs.scores(LOG_W, PEAK))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_formula_on_exact_numbers():
    """w / max w of 1/2: F = log(1/2) - log(1 - 1/2) = 0; of 1/4: log(1/4) - log(3/4) = -log 3."""
    got = rivals_drs.scores(np.log([4.0, 2.0, 1.0, 0.0 + 5e-324]), math.log(4))
    assert got[1:3] == pytest.approx([0, -math.log(3)], abs=1e-12)
    assert got[0] == pytest.approx(-math.log(1e-14), abs=0.1)  # what eps leaves of infinity
    assert got[3] == pytest.approx(np.log(5e-324) - math.log(4))
    assert rivals_drs.scores(np.array([-np.inf, 0.0]), 0.0)[0] == -np.inf


def test_gamma_zero_is_plain_rejection():
    """sigmoid(F) = w / max w; 40 seeds of plain rejection give the target's mean of log w, |z| < 4.5 (7e-6)."""
    np.testing.assert_allclose(_sigmoid(rivals_drs.scores(LOG_W, PEAK)), np.exp(LOG_W - PEAK), rtol=1e-9, atol=1e-13)
    w = np.exp(LOG_W - PEAK)
    states = [rivals_drs.draw(LOG_W, 0, len(LOG_W), seed, PEAK, 0.0) for seed in range(40)]
    counts = np.array([len(state.sample_ids) for state in states])
    assert abs(counts.mean() - w.sum()) < 4.5 * np.sqrt(np.sum(w * (1 - w)) / 40)
    found = np.concatenate([LOG_W[state.sample_ids] for state in states])
    assert abs(found.mean() - LOG_W @ w / w.sum()) < 4.5 * found.std() / np.sqrt(len(found))


@pytest.mark.parametrize("expected", [200.0, 2236.5, 19_999.5])
def test_the_budget_is_met(expected):
    gamma = rivals_drs.gamma_for(SEEN, expected)
    assert _sigmoid(rivals_drs.scores(LOG_W, PEAK) - gamma).sum() == pytest.approx(expected, rel=2e-7)


def test_a_budget_below_plain_rejection_is_plain_rejection():
    """It accepts sum of w / max w rows, which follow the target; a positive gamma would only take the heaviest."""
    plain = np.exp(LOG_W - PEAK).sum()
    assert rivals_drs.gamma_for(SEEN, 0.99 * plain) == 0
    assert rivals_drs.gamma_for(SEEN, 1.01 * plain) < 0
    two_kinds = np.repeat([math.log(2.5), math.log(0.625)], [200, 800])
    seen = score_counts.of(rivals_drs.scores(two_kinds, math.log(2.5)))
    assert rivals_drs.gamma_for(seen, 70) == 0
    got = rivals_drs.draw(two_kinds, 0, 1000, 0, math.log(2.5), 0.0).sample_ids
    assert np.array_equal(got[got < 200], np.arange(200))
    assert abs(np.sum(got >= 200) - 200) < 4.5 * math.sqrt(800 * 0.25 * 0.75)  # false alarm 7e-6


def test_the_number_of_accepted_rows_over_seeds():
    """200 seeds against sum p and sum p (1 - p), |z| < 4.5 (7e-6)."""
    gamma = rivals_drs.gamma_for(SEEN, 1000)
    p = _sigmoid(rivals_drs.scores(LOG_W, PEAK) - gamma)
    counts = [len(rivals_drs.draw(LOG_W, 0, 20_000, s, PEAK, gamma).sample_ids) for s in range(200)]
    assert abs(np.mean(counts) - 1000) < 4.5 * np.sqrt(np.sum(p * (1 - p)) / 200)


def test_accepted_rows_follow_the_levelled_target():
    """Three kinds of rows with w = 4, 2, 1: shares by p(w) = w g / (4 - w + w g), g = e^-gamma, |z| < 4.5 (2e-5)."""
    w = np.tile([4.0, 2.0, 1.0], 10_000)
    seen = score_counts.of(rivals_drs.scores(np.log(w), math.log(4)))
    gamma = rivals_drs.gamma_for(seen, 24_000)
    g = math.exp(-gamma)
    p = w[:3] * g / (4 - w[:3] + w[:3] * g)
    assert p.sum() == pytest.approx(2.4, rel=1e-6)
    got = rivals_drs.draw(np.log(w), 0, 30_000, 5, math.log(4), gamma).sample_ids
    share = np.bincount(got % 3) / 10_000
    assert np.abs((share - p)[1:] / np.sqrt(p * (1 - p) / 10_000)[1:]).max() < 4.5
    assert share[0] == pytest.approx(1, abs=1e-4)


def test_equal_weights_and_one_that_dominates():
    equal = np.zeros(1000)
    assert rivals_drs.gamma_for(score_counts.of(rivals_drs.scores(equal, 0.0)), 250) == 0
    assert _sigmoid(rivals_drs.scores(equal, 0.0)) == pytest.approx(1)
    heavy = np.append(equal, 700.0)
    gamma = rivals_drs.gamma_for(score_counts.of(rivals_drs.scores(heavy, 700.0)), 101)
    p = _sigmoid(rivals_drs.scores(heavy, 700.0) - gamma)
    assert p[-1] == 1
    assert p[:-1] == pytest.approx(0.1, rel=1e-9)


def test_all_rows_and_none():
    log_w = np.where(np.arange(100) % 2, LOG_W[:100], -np.inf)
    peak = float(log_w.max())
    gamma = rivals_drs.gamma_for(score_counts.of(rivals_drs.scores(log_w, peak)), rejection.expected_for(50))
    assert gamma == -np.inf
    got = rejection.finish(rivals_drs.draw(log_w, 0, 50, 0, peak, gamma))
    assert got.sample_ids.tolist() == list(range(1, 100, 2))
    with pytest.raises(ConfigError, match="only 50 were accepted"):
        rejection.finish(rivals_drs.draw(log_w, 0, 51, 0, peak, gamma))


def test_refusals():
    with pytest.raises(NonFiniteError, match="sample id 8"):
        rivals_drs.draw(np.array([0.0, np.nan]), 7, 1, 0, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"but is 1\.0 and one is 2\.0"):
        rivals_drs.scores(np.array([2.0]), 1.0)
    with pytest.raises(ValueError, match="positive, got 0"):
        rivals_drs.gamma_for(SEEN, 0)
