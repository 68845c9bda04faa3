"""core/logistic.py: Newton's method against an independent fit, and columns that make it hard."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from lfiw_ray.core import logistic
from lfiw_ray.core.logistic import least_log_loss, log_loss, separable, smoothed
from lfiw_ray.errors import NonFiniteError


def _rows(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    return x, (rng.random(n) < expit(x @ [1.0, -2.0, 0.5])).astype(float)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (1e-8, 1.0, 1e8)])
def test_agrees_with_scikit_learn_on_any_scale(factors):
    x, y = _rows(500)
    peer = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y).coef_[0]
    np.testing.assert_allclose(least_log_loss(x * factors, y) * factors, peer, rtol=1e-5)


def test_columns_that_depend_on_one_another():
    x, y = _rows(500)
    twice = least_log_loss(np.column_stack([x, x[:, 0]]), y)
    alone = least_log_loss(x, y)
    np.testing.assert_allclose([twice[0] + twice[3], *twice[1:3]], alone, rtol=1e-9)


def test_no_convergence_is_an_error(monkeypatch):
    monkeypatch.setattr(logistic, "_MAX_STEPS", 2)
    with pytest.raises(NonFiniteError, match="2 Newton steps"):
        least_log_loss(*_rows(100))


def test_smoothed_targets_have_a_minimum():
    x = np.linspace(-1, 1, 20)
    y = (x > 0).astype(float)
    assert separable(x, y, with_intercept=True)
    assert set(smoothed(y).tolist()) == {11 / 12, 1 / 12}
    assert 0 < least_log_loss(x[:, None], smoothed(y))[0] < np.inf


def test_log_loss_is_stable():
    assert log_loss(np.array([1e4, -1e4]), np.array([1, 0])) == 0
    assert log_loss(np.array([1e4, 0.0]), np.array([0, 1])) == pytest.approx((1e4 + np.log(2)) / 2)
