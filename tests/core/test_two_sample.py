"""Classifier two-sample test: the Bayes accuracy of Gaussians, its false alarms, weights, bad input."""

import numpy as np
import pytest
from scipy.stats import norm

from lfiw_ray.core import noise, two_sample
from lfiw_ray.errors import NonFiniteError


def _found(real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None = None, seed: int = 0):
    return two_sample.classifier_test(real, generated, log_w, noise.generator(seed, "halves"))


def test_bayes_accuracy_of_shifted_gaussians() -> None:
    """Means δ apart in units of σ: Φ(δ / 2), less what 4,000 rows leave to learn (about 1e-3); 4.5 standard errors."""
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((2, 8000, 5)) * 3 + 50
    generated[:, 1] += 3 * 1.2
    found = _found(real, generated)
    assert norm.cdf(0.6) - 4.5 * found.se - 2e-3 < found.accuracy < norm.cdf(0.6) + 4.5 * found.se
    assert found.se == pytest.approx(np.sqrt(norm.cdf(0.6) * norm.cdf(-0.6) / 8000), rel=0.02)
    assert found.z == pytest.approx((found.accuracy - 0.5) / np.sqrt(1 / 32_000), rel=1e-6)
    assert (found.num_test, found.ess_test) == (8000, pytest.approx(4000))


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_distributions(weighted: bool) -> None:
    """60 tests: mean z is 0 within 4.5 / sqrt(60) (false alarm 7 in a million), its spread at most that of a test.

    The standard deviation of 60 draws exceeds 1.45 with probability 2e-6.  Weights do not depend on the rows here.
    """
    rng = np.random.default_rng(1)
    z = []
    for seed in range(60):
        real, generated = rng.standard_normal((2, 200, 3))
        z.append(_found(real, generated, np.log(rng.pareto(3, 200) + 0.1) if weighted else None, seed).z)
    assert abs(np.mean(z)) < 4.5 / np.sqrt(60)
    assert 0.5 < np.std(z, ddof=1) < 1.45


def test_importance_weights_make_the_sets_alike() -> None:
    """N(0, I) weighted to N(.7, I) along one axis, over 30 draws; unweighted, every test rejects at z = 3."""
    rng = np.random.default_rng(2)
    raw, weighted = [], []
    for seed in range(30):
        real, generated = rng.standard_normal((2, 1000, 2)) + np.array([0.7, 0.0]) * np.array([1, 0])[:, None, None]
        raw.append(_found(real, generated, None, seed).z)
        weighted.append(_found(real, generated, 0.7 * generated[:, 0] + 55, seed).z)
    assert min(raw) > 3
    assert abs(np.mean(weighted)) < 4.5 * max(1, np.std(weighted, ddof=1)) / np.sqrt(30)


def test_sides_weigh_the_same_whatever_their_numbers() -> None:
    """2,000 real rows against 100: a classifier of rows, not of sides, would call nearly all of them real."""
    rng = np.random.default_rng(3)
    found = [_found(rng.standard_normal((2000, 2)), rng.standard_normal((100, 2)), None, seed) for seed in range(20)]
    assert abs(np.mean([f.z for f in found])) < 4.5 / np.sqrt(20)
    assert found[0].num_test == 1050
    shifted = _found(rng.standard_normal((2000, 1)), rng.standard_normal((100, 1)) + 2)
    assert abs(shifted.accuracy - norm.cdf(1)) < 4.5 * shifted.se + 0.01
    assert shifted.se < 0.06


def test_more_features_than_rows_and_constant_ones() -> None:
    rng = np.random.default_rng(4)
    real, generated = rng.standard_normal((2, 40, 200))
    real[:, 7] = generated[:, 7] = 3
    assert abs(_found(real, generated).z) < 4.5
    generated[:, :20] += 5
    assert _found(real, generated) == (1, 0, pytest.approx(0.5 * np.sqrt(4 * 40)), 40, pytest.approx(20))


def test_seeded() -> None:
    real, generated = np.random.default_rng(5).standard_normal((2, 60, 2))
    assert _found(real, generated) == _found(real, generated)
    assert _found(real, generated) != _found(real, generated, seed=1)


def test_bad_input() -> None:
    x = np.random.default_rng(6).standard_normal((20, 2))
    with pytest.raises(ValueError, match="4 rows"):
        _found(x[:3], x)
    with pytest.raises(ValueError, match="same features"):
        _found(x, x[:, :1])
    with pytest.raises(NonFiniteError, match="row 5"):
        _found(x, np.where(np.arange(20)[:, None] == 5, np.nan, x))
    with pytest.raises(NonFiniteError, match="sample id 19"):
        _found(x, x, np.where(np.arange(20) == 19, np.nan, 0.0))
    with pytest.raises(ValueError, match="weight above zero"):
        _found(x, x, np.where(np.arange(20) == 3, 0.0, -np.inf))
