"""Kernels against scikit-learn's and by hand; what is no kernel is refused."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from lfiw_ray.core.kernels import CUBIC, Polynomial, Rbf


def _pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 4)), rng.standard_normal((7, 4)) + 100


def test_agreement_with_scikit_learn() -> None:
    x, y = _pair()
    np.testing.assert_allclose(CUBIC(x, y), polynomial_kernel(x, y, degree=3, gamma=1 / 4, coef0=1), rtol=1e-12)
    other = Polynomial(degree=1, gamma=0.3, coef0=0)
    np.testing.assert_allclose(other(x, y), 0.3 * x @ y.T, rtol=1e-12)
    near = y + 0.5 * x[:1]
    np.testing.assert_allclose(Rbf(2.0)(near, y), rbf_kernel(near, y, gamma=1 / 8), rtol=1e-9)
    assert (Rbf(2.0)(y, y).diagonal() > 1 - 1e-10).all()


def test_half_precision_features_are_widened() -> None:
    x, y = (rows.astype(np.float16) for rows in _pair())
    for kernel in (CUBIC, Rbf()):
        assert kernel(x, y).dtype == np.float64
        np.testing.assert_allclose(kernel(x, y), kernel(x.astype(float), y.astype(float)), rtol=1e-12)


@pytest.mark.parametrize(("kind", "value"), [(Polynomial, 0), (Rbf, 0.0), (Rbf, -1.0), (Rbf, float("nan"))])
def test_what_is_no_kernel(kind: type, value: float) -> None:
    with pytest.raises(ValueError, match=str(value)):
        kind(value)


def test_parameters_are_readable() -> None:
    """They stand beside every number."""
    assert str(CUBIC) == "Polynomial(degree=3, gamma=None, coef0=1.0)"
    assert str(Rbf(3.0)) == "Rbf(sigma=3.0)"
