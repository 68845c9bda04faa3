"""core/reliability.py: figures of honest and of dishonest logits."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from lfiw_ray.core import reliability
from lfiw_ray.errors import NonFiniteError


def _gaussians(n, seed, ratio=1):
    """Honest logits of N(1, 1) (real, n rows) against N(0, 1) (generated, ratio n rows)."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(1, 1, n), rng.normal(0, 1, ratio * n)])
    return x - 0.5 - np.log(ratio), np.repeat([1, 0], [n, ratio * n])


def test_honest_logits():
    """100,000 rows.  |z| < 4.5 for the Z statistic and both means of weights (false alarm 2e-5)."""
    got = reliability.report(*_gaussians(25_000, 0, ratio=3), log_prior_odds=np.log(3))
    assert got.n == 100_000
    assert abs(got.z) < 4.5
    for mean, se in (got.model_mean_w, got.data_mean_inverse_w):
        assert abs(mean - 1) < 4.5 * se
        assert 0 < se < 0.05
    assert got.ece < 0.01
    assert got.auc == pytest.approx(stats.norm.cdf(1 / np.sqrt(2)), abs=0.01)
    assert got.curve.rows.sum() == got.n
    assert np.ptp(got.curve.rows) <= 1
    np.testing.assert_allclose(got.curve.predicted, got.curve.observed, atol=0.03)


def test_the_wrong_class_prior_is_seen_by_the_weights():
    got = reliability.report(*_gaussians(25_000, 0, ratio=3), log_prior_odds=0.0)
    assert got.model_mean_w.mean == pytest.approx(1 / 3, abs=0.02)


def test_overconfident_logits_are_seen():
    logits, y = _gaussians(10_000, 1)
    got = reliability.report(3 * logits + 1, y, 0.0)
    assert got.ece > 0.1
    assert abs(got.z) > 10


def test_z_is_standard_normal():
    """Over 400 sets: |mean| < 4.5 / sqrt(400) and variance within 4.5 sqrt(2 / 400); false alarm 1.4e-5.

    Labels are drawn from p, so that sum(y - p) has exactly the variance the statistic assumes.
    """
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (400, 500))
    y = rng.random(logits.shape) < expit(logits)
    z = np.array([reliability.z_statistic(*pair) for pair in zip(logits, y, strict=True)])
    assert abs(z.mean()) < 4.5 / 20
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / 400)


def test_a_tiny_case_by_hand():
    logits, y = np.log([1 / 4, 1 / 4, 4, 4]), np.array([0, 1, 1, 1])
    got = reliability.report(np.append(logits, -np.log(4)), np.append(y, 0), 0.0, num_bins=2)
    assert got.curve.predicted.tolist() == pytest.approx([0.2, 0.8])
    assert got.curve.observed.tolist() == pytest.approx([1 / 3, 1])
    assert got.curve.rows.tolist() == [3, 2]
    assert got.ece == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.2) / 5)
    assert got.log_loss_nats == pytest.approx(-(4 * np.log(0.8) + np.log(0.2)) / 5)
    assert got.brier == pytest.approx((4 * 0.04 + 0.64) / 5)
    assert got.z == pytest.approx((3 - 2.2) / np.sqrt(5 * 0.16))
    assert got.accuracy == 0.8
    assert got.auc == pytest.approx(5 / 6)  # of 6 pairs 4 are won and 2 are ties
    assert got.model_mean_w == pytest.approx((0.25, 0))
    assert got.data_mean_inverse_w.mean == pytest.approx((4 + 0.25 + 0.25) / 3)


def test_auc_agrees_with_scipy_with_ties():
    rng = np.random.default_rng(0)
    logits, y = rng.integers(-5, 5, 500).astype(float), rng.integers(0, 2, 500)
    u = stats.mannwhitneyu(logits[y == 1], logits[y == 0]).statistic
    assert reliability.auc(logits, y) == pytest.approx(u / (y.sum() * (1 - y).sum()))


def test_equal_logits_fall_into_one_bin_whatever_the_order_of_labels():
    curve = reliability.reliability_curve(np.zeros(100), np.repeat([0, 1], 50), 15)
    assert [column.tolist() for column in curve] == [[0.5], [0.5], [100]]


def test_saturated_logits():
    y = np.array([1, 1, 0, 0])
    assert reliability.z_statistic(np.array([900.0, 900, -900, -900]), y) == 0
    assert reliability.z_statistic(np.array([-900.0, 900, -900, -900]), y) == np.inf
    with pytest.raises(NonFiniteError, match="overflows"):
        reliability.report(np.array([900.0, 900, 800, -900]), y, 0.0)


def test_refusals():
    with pytest.raises(ValueError, match="0"):
        reliability.reliability_curve(np.zeros(2), np.array([0, 1]), 0)
    with pytest.raises(ValueError, match="N >= 2"):
        reliability.report(np.array([0.0, 1, 2]), np.array([1, 0, 0]), 0.0)
