"""core/beta_calibration.py: the paper's formula, known truths, two independent optimisers, hard rows."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from sklearn.linear_model import LogisticRegression

from lfiw_ray.core import beta_calibration
from lfiw_ray.core.beta_calibration import BetaMap
from lfiw_ray.core.logistic import least_log_loss, log_loss


def _rows(n, truth, seed=0):
    """Logits whose honest version is `truth` of them, with labels drawn from it."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal(n)
    return logits, (rng.random(n) < expit(beta_calibration.apply(truth, logits))).astype(float)


def _columns(logits):
    """The paper's: log p and -log(1 - p)."""
    return np.stack([log_expit(logits), -log_expit(-logits)], axis=1)


def test_the_map_is_the_paper_s():
    a, b, c = 0.7, 1.9, -0.4
    z = np.linspace(-20, 20, 81)
    p = expit(z)
    got = beta_calibration.apply(BetaMap(a, b, c + (b - a) * np.log(2)), z)
    np.testing.assert_allclose(got[z < 15], (a * np.log(p) - b * np.log(1 - p) + c)[z < 15], atol=1e-8)
    np.testing.assert_allclose(got, _columns(z) @ [a, b] + c, rtol=1e-12, atol=1e-12)


def test_equal_slopes_are_a_line():
    z = np.array([-1e4, -3.0, -1e-9, 0.0, 1e-9, 3.0, 1e4])
    np.testing.assert_allclose(beta_calibration.apply(BetaMap(0.5, 0.5, 0.0), z), 0.5 * z, rtol=1e-15)


def test_recovers_the_truth():
    """200,000 rows: within 4.5 standard errors (inverse Fisher information) of all three; false alarm 2e-5."""
    truth = BetaMap(0.6, 1.4, -0.5)
    logits, y = _rows(200_000, truth)
    got = beta_calibration.fit(logits, y)
    x = np.column_stack([_columns(logits), np.ones_like(logits)])
    p = expit(beta_calibration.apply(truth, logits))
    covariance = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
    to_ours = np.array([[1, 0, 0], [0, 1, 0], [-np.log(2), np.log(2), 1]])
    se = np.sqrt(np.diag(to_ours @ covariance @ to_ours.T))
    assert np.abs(np.subtract(got, truth) / se).max() < 4.5
    assert se.max() < 0.03


def test_agrees_with_scikit_learn_where_no_slope_is_negative():
    logits, y = _rows(2000, BetaMap(0.6, 1.4, -0.5))
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(_columns(logits), y)
    (a, b), c = peer.coef_[0], peer.intercept_[0]
    np.testing.assert_allclose(beta_calibration.fit(logits, y), (a, b, c + (b - a) * np.log(2)), atol=1e-4)


def test_agrees_with_a_bounded_optimiser():
    """40 small sets, most with a slope at its bound of 0: never a greater loss, and never a negative slope."""
    at_bound = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        logits = 2 * rng.standard_normal(60)
        y = (rng.random(60) < expit(rng.choice([-0.3, 0.2, 1.0]) * logits + rng.standard_normal())).astype(float)
        got = beta_calibration.fit(logits, y)
        x = np.column_stack([_columns(logits), np.ones_like(logits)])
        peer = minimize(
            lambda t, x=x, y=y: log_loss(x @ t, y),
            [0.5, 0.5, 0],
            jac=lambda t, x=x, y=y: x.T @ (expit(x @ t) - y) / len(y),
            bounds=[(0, None), (0, None), (None, None)],
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10},
        )
        assert min(got[:2]) >= 0
        assert log_loss(beta_calibration.apply(got, logits), y) == pytest.approx(peer.fun, abs=1e-9)
        at_bound += min(got[:2]) == 0
    assert 10 < at_bound < 40


def test_a_backward_classifier_gets_constant_odds():
    logits, y = _rows(2000, BetaMap(1.0, 1.0, 0.0))
    assert beta_calibration.fit(-logits, y) == BetaMap(0.0, 0.0, logit(y.mean()))


def test_rows_that_only_a_fold_separates():
    """Real rows on both sides of the generated ones: free slopes would grow without end, monotone ones do not."""
    logits, y = np.array([-3.0, -2.5, -0.5, 0.0, 0.5, 2.0, 3.0]), np.array([1.0, 1, 0, 0, 0, 1, 1])
    got = beta_calibration.fit(logits, y)
    assert got.below == 0
    assert 0 < got.above < 10


@pytest.mark.parametrize("factor", [1e-200, 1e-8, 3e-8, 1e-3, 1e3, 1e6])
def test_any_scale_of_logits_is_at_least_as_good_as_a_line(factor):
    """A line is one of the family; of tiny logits the bends are lost in rounding unless they are computed well."""
    for seed in range(20):
        logits, y = _rows(200, BetaMap(1.0, 1.0, 0.3), seed)
        line = least_log_loss(np.stack([logits, np.ones_like(logits)], 1), y)
        got = beta_calibration.fit(factor * logits, y)
        loss = log_loss(beta_calibration.apply(got, factor * logits), y)
        assert loss <= log_loss(line[0] * logits + line[1], y) + 1e-7
        assert min(got[:2]) >= 0


def test_tiny_logits_keep_their_digits():
    z = np.array([-1e-12, 1e-12])
    np.testing.assert_allclose(beta_calibration.apply(BetaMap(0.0, 1.0, 0.0), z), z / 2, rtol=1e-9)


def test_two_values_of_logits_get_their_shares():
    logits, y = np.repeat([-1.0, 2.0], 10), np.array([1.0] * 2 + [0] * 8 + [1] * 7 + [0] * 3)
    got = beta_calibration.apply(beta_calibration.fit(logits, y), np.array([-1.0, 2.0]))
    np.testing.assert_allclose(expit(got), [0.2, 0.7], atol=1e-9)
