"""Many weighted logistic fits at once against scikit-learn's one by one."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lfiw_ray.studies.spline_logistic import RIDGE, basis, bootstrap_counts, fit


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Basis and labels of 150 + 100 points."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0.5, 0.8, 150), rng.normal(0, 1.5, 100)])
    return basis(0.0, 1.5).transform(x[:, None]), np.repeat([1.0, 0.0], [150, 100])


def test_each_fit_is_the_one_of_scikit_learn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    phi, y = rows
    counts = np.concatenate([np.ones((1, len(y))), bootstrap_counts(y, 3, np.random.default_rng(1))])
    found = fit(phi, y, counts)
    for theta, count in zip(found, counts, strict=True):
        model = LogisticRegression(C=1 / RIDGE, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
        assert theta == pytest.approx(model.fit(phi, y, count).coef_[0], abs=1e-5)


def test_the_ridge_keeps_separated_classes_finite(rows: tuple[np.ndarray, np.ndarray]) -> None:
    phi, _ = rows
    (theta,) = fit(phi, (phi[:, :6].sum(axis=1) > 0.5).astype(np.float64), np.ones((1, len(phi))))
    assert np.isfinite(theta).all()


def test_a_fit_that_does_not_end_is_refused(rows: tuple[np.ndarray, np.ndarray]) -> None:
    phi, y = rows
    with pytest.raises(ValueError, match="not converged"):
        fit(phi, np.where(np.arange(len(y)) % 2, np.nan, y), np.ones((1, len(y))))


def test_bootstraps_keep_the_size_of_each_class(rows: tuple[np.ndarray, np.ndarray]) -> None:
    """And their counts have the variance 1 - 1/n of draws with replacement: z over 500 x 150 counts."""
    _, y = rows
    counts = bootstrap_counts(y, 500, np.random.default_rng(2))
    assert (counts[:, y == 1].sum(axis=1) == 150).all()
    assert (counts[:, y == 0].sum(axis=1) == 100).all()
    # variance of the sample variance of a Poisson-like count is about 3 / n; 4.5 standard errors: 7 in a million
    assert counts[:, y == 1].var() == pytest.approx(1 - 1 / 150, abs=4.5 * np.sqrt(3 / counts[:, y == 1].size))


def test_the_basis_is_a_partition_of_one_and_goes_on_linearly() -> None:
    transform = basis(1.0, 2.0).transform
    assert transform(np.linspace(-2, 4, 50)[:, None]).sum(axis=1) == pytest.approx(1.0)
    beyond = transform(np.array([[10.0], [11.0], [12.0]]))
    assert np.diff(beyond, n=2, axis=0) == pytest.approx(0.0, abs=1e-12)
    assert np.abs(np.diff(beyond, axis=0)).max() > 0.1
