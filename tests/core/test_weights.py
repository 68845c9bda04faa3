"""core/weights.py: from logits to estimates."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from lfiw_ray.core import weights
from lfiw_ray.errors import NonFiniteError

RNG = np.random.default_rng(0)


def test_two_gaussians_give_their_true_ratio():
    x = np.linspace(-3, 3, 7)
    log_ratio = stats.norm(1, 1).logpdf(x) - stats.norm(0, 1).logpdf(x)
    logit_at_3_to_1 = log_ratio - np.log(3)  # Bayes' rule with three generated rows for each real one
    np.testing.assert_allclose(weights.from_logits(logit_at_3_to_1, np.log(3)), log_ratio, atol=1e-14)


def test_the_class_ratio_of_the_training_rows_changes_nothing():
    """A saturated classifier (the share of real rows in each of 6 cells) on 1 : 4 and on 4 : 1: the same weights."""
    real, generated = RNG.multinomial(600, np.full(6, 1 / 6)), RNG.multinomial(600, np.arange(1, 7) / 21)
    found = []
    for num_real, num_generated in [(1, 4), (4, 1)]:
        logits = np.log(num_real * real / (num_generated * generated))
        odds = weights.prior_correction(num_real * real.sum(), num_generated * generated.sum())
        found.append(weights.from_logits(logits, odds))
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    np.testing.assert_allclose(found[0], np.log(real / generated), atol=1e-12)


@pytest.mark.parametrize(("num_real", "num_generated"), [(5_000, 20_000), (20_000, 5_000)])
def test_a_trained_classifier_finds_the_true_ratio_at_any_class_ratio(num_real, num_generated):
    """Logistic regression of N(1, 1) against N(0, 1): log w is x - 1/2, whatever the numbers of rows.

    The fit's standard errors come from its Fisher information; z below 4.5, false alarm 7e-6 a number.
    """
    x = np.concatenate([RNG.normal(1, 1, num_real), RNG.normal(0, 1, num_generated)])
    fit = LogisticRegression(C=1e12, tol=1e-10).fit(x[:, None], np.repeat([1, 0], [num_real, num_generated]))
    p = fit.predict_proba(x[:, None])[:, 1]
    design = np.stack([np.ones_like(x), x])
    se = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))) @ design.T)))
    odds = weights.prior_correction(num_real, num_generated)
    at_zero = weights.from_logits(fit.decision_function([[0.0]]), odds)[0]
    assert abs(at_zero + 0.5) < 4.5 * se[0] < 0.3
    assert abs(fit.coef_[0, 0] - 1) < 4.5 * se[1] < 0.3


@pytest.mark.parametrize("rows", [(0, 5), (5, 0)])
def test_a_class_without_rows_has_no_odds(rows):
    with pytest.raises(ValueError, match=f"{rows[0]} real and {rows[1]} generated"):
        weights.prior_correction(*rows)


def test_logits_of_float32_are_widened():
    assert weights.from_logits(np.float32([0.1]), 0.0).dtype == np.float64


def test_flatten():
    log_w = np.array([0.0, -2.0, -np.inf, 700.0])
    np.testing.assert_array_equal(weights.flatten(log_w, 1.0), log_w)
    np.testing.assert_array_equal(weights.flatten(log_w, 0.5), [0.0, -1.0, -np.inf, 350.0])
    np.testing.assert_array_equal(weights.flatten(log_w, 0.0), [0.0, 0.0, -np.inf, 0.0])


@pytest.mark.parametrize("alpha", [-0.1, np.nan, np.inf])
def test_flatten_refuses(alpha):
    with pytest.raises(ValueError, match=f"{alpha}"):
        weights.flatten(np.zeros(1), alpha)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_weights_are_named_by_sample_id(bad):
    log_w = np.array([0.0, -np.inf, bad, 1.0, bad])
    with pytest.raises(NonFiniteError, match=r"sample id 102, 104;"):
        weights.largest(log_w, start=100)
    with pytest.raises(NonFiniteError, match="and 95 more"):
        weights.largest(np.full(100, bad))
    assert weights.largest(log_w[:2]) == 0
    assert weights.largest(np.empty(0)) == -np.inf


def test_estimators_on_a_tiny_case():
    log_w, f = np.log([1.0, 3.0]), np.array([10.0, 20.0])
    mean, se = weights.plain_mean(log_w, f)
    assert mean == pytest.approx(35)
    assert se == pytest.approx(np.std([10, 60], ddof=1) / np.sqrt(2))
    mean, se = weights.self_normalised_mean(log_w + 500, f)  # a constant in log w changes nothing
    assert mean == pytest.approx(17.5)
    assert se == pytest.approx(np.hypot(0.25 * 7.5, 0.75 * 2.5))


@pytest.mark.parametrize("estimator", [weights.plain_mean, weights.self_normalised_mean])
def test_estimators_cover_the_truth(estimator):
    """E of x under N(0.5, 1) from N(0, 1), 2,000 repeats: standardised errors have mean 0 and variance 1.

    |mean of z| < 4.5 / sqrt(2,000) plus a bias of 0.03; variance within 15 %; false alarm below 1e-4.
    """
    x = RNG.standard_normal((2000, 1000))
    pairs = [estimator(0.5 * row - 0.125, row) for row in x]
    z = np.array([(mean - 0.5) / se for mean, se in pairs])
    assert abs(z.mean()) < 4.5 / np.sqrt(2000) + 0.03
    assert 0.85 < z.var() < 1.15


def test_extremes_of_the_estimators():
    with pytest.raises(NonFiniteError, match="overflows"):
        weights.plain_mean(np.array([800.0, 0.0]), np.ones(2))
    with pytest.raises(NonFiniteError, match="all 2 weights are zero"):
        weights.self_normalised_mean(np.full(2, -np.inf), np.ones(2))
    assert weights.plain_mean(np.full(2, -np.inf), np.ones(2)) == (0, 0)
    assert weights.self_normalised_mean(np.array([0.0, -np.inf]), np.array([3.0, 9.0])) == (3, 0)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        weights.plain_mean(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="row 1"):
        weights.plain_mean(np.zeros(2), np.array([0, np.nan]))
