"""core/isotonic.py: small cases by hand, another implementation, and the ends."""

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from lfiw_ray.core import isotonic


def test_a_small_case_by_hand():
    logits = np.array([-2.0, -1, 0, 1, 2, 3, 4])
    y = np.array([0.0, 0, 1, 0, 1, 1, 1])
    got = isotonic.fit(logits, y)  # blocks: 0 of 2, 1 of 2, 3 of 3
    assert got.at == (-2, -1, 0, 1, 2, 4)
    np.testing.assert_allclose(expit(got.log_odds), [1 / 4, 1 / 4, 1 / 2, 1 / 2, 4 / 5, 4 / 5])
    np.testing.assert_allclose(got.apply([-9.0, -0.5, 0.5, 9]), [-np.log(3), -np.log(3) / 2, 0, np.log(4)], atol=1e-15)


def test_the_ends_stay_monotone():
    """One real row on top of a block of 9 in 10: 2 to 1 would be less than the 9 to 1 below it."""
    y = np.array([0.0, *[1] * 9, 0, *[1] * 9, 0, 1])
    y[:2] = 0
    got = isotonic.fit(np.arange(len(y), dtype=float), y)
    share = expit(got.log_odds)
    assert np.diff(share).min() >= 0
    assert share[-1] == share[-2] > 2 / 3
    assert share[0] == 1 / 4
    mirrored = isotonic.fit(-np.arange(len(y), dtype=float), 1 - y)
    np.testing.assert_allclose(mirrored.log_odds, -np.array(got.log_odds[::-1]))


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    logits = np.sort(rng.standard_normal(3000))
    y = (rng.random(3000) < expit(np.sin(3 * logits) + logits)).astype(float)
    peer = isotonic_regression(y).x
    inner = (peer > 0) & (peer < 1)
    np.testing.assert_allclose(isotonic.fit(logits, y).apply(logits)[inner], logit(peer[inner]), rtol=1e-9)
    assert 0 < (~inner).sum() < 300


def test_equal_logits_get_equal_odds_whatever_their_order():
    logits, y = np.array([0.0, 0, 0, 1, 1, 1]), np.array([1.0, 0, 0, 0, 1, 1])
    for order in ([0, 1, 2, 3, 4, 5], [2, 0, 1, 5, 4, 3]):
        got = isotonic.fit(logits[order], y[order])
        np.testing.assert_allclose(expit(got.apply([0.0, 1])), [1 / 3, 2 / 3])


def test_separated_rows_get_platt_s_targets():
    logits, y = np.arange(10.0), np.repeat([0.0, 1], [7, 3])
    np.testing.assert_allclose(expit(isotonic.fit(logits, y).apply(logits)), np.where(y, 4 / 5, 1 / 9))


def test_a_backward_classifier_gets_constant_odds():
    logits, y = np.arange(10.0), np.repeat([1.0, 0], [7, 3])
    np.testing.assert_allclose(isotonic.fit(logits, y).apply([-5.0, 3, 50]), logit(0.7))


def test_a_few_sure_rows_are_no_evidence_for_enormous_odds():
    """Three real rows above 16,000: the odds of the top block stay at 4, or at those of the block below it."""
    rng = np.random.default_rng(0)
    logits = np.append(rng.normal(0, 1, 16_000), [8.0, 9, 10])
    y = np.append((rng.random(16_000) < 0.5).astype(float), [1.0, 1, 1])
    assert isotonic.fit(logits, y).log_odds[-1] < np.log(20)
