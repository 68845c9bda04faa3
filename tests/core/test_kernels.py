"""Kernels against scikit-learn's and by hand; what is no kernel is refused."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from lfiw_ray.core.kernels import CUBIC, Kernel, Polynomial, Rbf, as_wide_as, centre_of, values


def _pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((5, 4)), rng.standard_normal((7, 4)) + 100


def _gram(kernel: Kernel, x: np.ndarray, y: np.ndarray, centre: np.ndarray | None = None) -> np.ndarray:
    a, b = (kernel.seen(rows, centre_of(y) if centre is None else centre) for rows in (x, y))
    return values(kernel, a.centred @ b.centred.T, a.terms, b.terms)


def test_agreement_with_scikit_learn() -> None:
    x, y = _pair()
    np.testing.assert_allclose(_gram(CUBIC, x, y), polynomial_kernel(x, y, degree=3, gamma=1 / 4, coef0=1), rtol=1e-12)
    other = Polynomial(degree=1, gamma=0.3, coef0=0)
    np.testing.assert_allclose(_gram(other, x, y), 0.3 * x @ y.T, rtol=1e-12)
    near = y + 0.5 * x[:1]
    np.testing.assert_allclose(_gram(Rbf(2.0), near, y), rbf_kernel(near, y, gamma=1 / 8), rtol=1e-9)
    assert (_gram(Rbf(2.0), y, y).diagonal() > 1 - 1e-10).all()


def test_values_do_not_depend_on_the_centre() -> None:
    x, y = _pair()
    for kernel in (CUBIC, Polynomial(2, 0.1, 0.0), Rbf(3.0)):
        first, second = (_gram(kernel, x, y - 98, centre) for centre in (np.zeros(4), np.array([1.0, -2, 3, 0])))
        np.testing.assert_allclose(first, second, rtol=1e-12)
        assert first.std() > 0


def test_the_precision_is_that_of_the_rows_at_least_single() -> None:
    x, y = _pair()
    for dtype, kept in ((np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)):
        rows = (y - 98).astype(dtype)
        assert centre_of(rows).dtype == CUBIC.seen(rows, centre_of(rows)).centred.dtype == kept
        for kernel in (CUBIC, Rbf()):
            found = _gram(kernel, x.astype(dtype), rows)
            wide = _gram(kernel, x.astype(dtype).astype(np.float64), rows.astype(np.float64))
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, wide, rtol=0, atol=1e-5 if kept == np.float32 else 0)


@pytest.mark.parametrize(("kind", "value"), [(Polynomial, 0), (Rbf, 0.0), (Rbf, -1.0), (Rbf, float("nan"))])
def test_what_is_no_kernel(kind: type, value: float) -> None:
    with pytest.raises(ValueError, match=str(value)):
        kind(value)


def test_parameters_are_readable() -> None:
    """They stand beside every number."""
    assert str(CUBIC) == "Polynomial(degree=3, gamma=None, coef0=1.0)"
    assert str(Rbf(3.0)) == "Rbf(sigma=3.0)"


def test_a_kernel_as_wide_as_the_rows_are_apart() -> None:
    x = np.random.default_rng(0).normal(1000, 3, (700, 5)).astype(np.float32)
    assert as_wide_as(x).sigma == pytest.approx(np.median(pdist(x.astype(np.float64))), rel=1e-9)
    many = np.concatenate([x, x + 0.0, x])  # 1,000 of them, evenly spread
    assert as_wide_as(many).sigma == pytest.approx(as_wide_as(x).sigma, rel=0.02)


@pytest.mark.parametrize(("rows", "message"), [(1, "two rows, got 1"), (5, "sigma of an RBF kernel must be above 0")])
def test_rows_that_are_not_apart_give_no_width(rows: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_wide_as(np.ones((rows, 3)))
