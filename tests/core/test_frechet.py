"""Fréchet distance: known Gaussians, agreement with scipy, singular covariances, weights."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from lfiw_ray.core import frechet, moments


def test_commuting_gaussians() -> None:
    """Diagonal covariances: the distance is |Δmean|² + Σ (σ1 - σ2)², also after a rotation of space."""
    rng = np.random.default_rng(0)
    sigma_1, sigma_2 = rng.uniform(0, 3, 6), rng.uniform(0, 3, 6)
    sigma_1[0] = sigma_2[1] = 0
    mean_1, mean_2 = rng.standard_normal((2, 6))
    expected = ((mean_1 - mean_2) ** 2).sum() + ((sigma_1 - sigma_2) ** 2).sum()
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    cov_1, cov_2 = (turn @ np.diag(s**2) @ turn.T for s in (sigma_1, sigma_2))
    assert frechet.gaussian_distance(turn @ mean_1, cov_1, turn @ mean_2, cov_2) == pytest.approx(expected, rel=1e-7)


def test_one_dimension() -> None:
    one = np.ones(1)
    assert frechet.gaussian_distance(one, np.eye(1) * 4, 3 * one, np.eye(1) * 9) == pytest.approx(4 + 1)


def test_covariances_that_do_not_commute() -> None:
    """Against the principal square root by scipy."""
    a, b = np.random.default_rng(1).standard_normal((2, 5, 5))
    cov_1, cov_2 = a @ a.T, b @ b.T
    expected = np.trace(cov_1 + cov_2 - 2 * sqrtm(cov_1 @ cov_2).real)
    assert frechet.gaussian_distance(np.zeros(5), cov_1, np.zeros(5), cov_2) == pytest.approx(expected, rel=1e-9)


def test_zero_for_equal_sets_and_symmetric() -> None:
    rng = np.random.default_rng(3)
    a, b = moments.of(rng.standard_normal((30, 64))), moments.of(rng.standard_normal((40, 64)) * 2)
    assert abs(frechet.distance(a, a)) < 1e-5
    assert frechet.distance(a, b) == pytest.approx(frechet.distance(b, a), rel=1e-7)


def test_weights_move_one_gaussian_onto_another() -> None:
    """Importance weights of N(0,1) for N(.5,1): the weighted distance to exact N(.5,1) moments nearly vanishes."""
    x = np.random.default_rng(4).standard_normal((50_000, 1))
    target = (np.array([0.5]), np.eye(1))
    raw = frechet.gaussian_distance(*moments.finish(moments.of(x)), *target)
    weighted = frechet.gaussian_distance(*moments.finish(moments.of(x, 0.5 * x[:, 0] + 77)), *target)
    assert raw == pytest.approx(0.25, abs=0.03)
    assert weighted < 0.001


def test_a_target_is_one_side_of_the_distance() -> None:
    rng = np.random.default_rng(5)
    a, b = moments.of(rng.standard_normal((50, 7))), moments.of(rng.standard_normal((40, 7)) * 2, rng.normal(0, 1, 40))
    assert frechet.to_target(frechet.target_of(a), b) == frechet.distance(a, b)
    with pytest.raises(ValueError, match="7 and 2"):
        frechet.to_target(frechet.target_of(a), moments.of(rng.standard_normal((9, 2))))


def test_weighted_distance_against_numpy_and_scipy() -> None:
    """The whole arithmetic anew: np.average, np.cov(aweights=...), scipy's matrix square root."""
    rng = np.random.default_rng(6)
    real, generated = rng.standard_normal((200, 8)) * 2, rng.standard_normal((150, 8)) + 0.5
    w = rng.pareto(1.5, 150) + 0.1
    gap = real.mean(axis=0) - np.average(generated, axis=0, weights=w)
    cov_1, cov_2 = np.cov(real, rowvar=False), np.cov(generated, rowvar=False, aweights=w)
    expected = gap @ gap + np.trace(cov_1 + cov_2 - 2 * sqrtm(cov_1 @ cov_2).real)
    assert frechet.distance(moments.of(real), moments.of(generated, np.log(w) + 700)) == pytest.approx(
        expected, rel=1e-8
    )


def test_other_feature_space() -> None:
    with pytest.raises(ValueError, match="2 and 3"):
        frechet.gaussian_distance(np.zeros(2), np.eye(2), np.zeros(3), np.eye(3))
