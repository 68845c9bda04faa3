"""Extrapolation in 1 / N: the line itself, Gaussians of known distance, weights, scores, bad input."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from lfiw_ray.core import frechet, inception_score, infinity, moments, noise
from lfiw_ray.core.moments import Moments
from lfiw_ray.errors import NonFiniteError


def test_line_agrees_with_scipy() -> None:
    sizes = np.array([100, 200, 400, 800])
    values = 3 + 50 / sizes + np.array([0.01, -0.02, 0.01, 0.015])
    found, peer = infinity.line(sizes, values), stats.linregress(1 / sizes, values)
    assert found.intercept == pytest.approx(peer.intercept, rel=1e-12)
    assert found.slope == pytest.approx(peer.slope, rel=1e-10)
    assert found.se == pytest.approx(peer.intercept_stderr, rel=1e-9)
    assert (found.num_rows, found.values) == (tuple(sizes), tuple(values))


def test_sizes_are_even_in_n() -> None:
    sizes = infinity.sizes_for(50_000, 5_000)
    assert sizes[[0, 1, -1]].tolist() == [5_000, 8_214, 50_000]
    assert len(sizes) == 15
    assert infinity.sizes_for(1_000, num_points=4).tolist() == [100, 400, 700, 1_000]


def _exact(mean: np.ndarray, cov: np.ndarray) -> Moments:
    """Moments whose mean and covariance are the given ones, without noise."""
    n = 10.0**6
    return Moments(int(n), 0.0, n, n, mean, cov * (n - 1))


DIMENSIONS, ROWS, REPEATS = 40, 1000, 40
SIGMA = np.linspace(0.5, 1.5, DIMENSIONS)
TRUE_FID = DIMENSIONS * 0.05**2 + ((SIGMA - 1) ** 2).sum()  # of N(0, diag σ²) from N(.05, I)


def _z(values: list[float], truth: float) -> float:
    return float((np.mean(values) - truth) / (np.std(values, ddof=1) / np.sqrt(len(values))))


def test_fid_of_gaussians_at_infinity() -> None:
    """At N = 1,000 the distance is high by many standard errors, the intercept is within 4.5 (false alarm 7e-6)."""
    real = _exact(np.zeros(DIMENSIONS), np.diag(SIGMA**2))
    at_n, at_infinity = [], []
    for repeat in range(REPEATS):
        rows = noise.generator(0, "rows", repeat).standard_normal((ROWS, DIMENSIONS)) + 0.05
        found = infinity.fid(real, rows, None, noise.generator(0, "parts", repeat), smallest=300)
        assert found.values[-1] == pytest.approx(frechet.distance(real, moments.of(rows)), rel=1e-9)
        at_n.append(found.values[-1])
        at_infinity.append(found.intercept)
    assert _z(at_n, TRUE_FID) > 15
    assert abs(_z(at_infinity, TRUE_FID)) < 4.5


def test_weighted_fid_at_infinity() -> None:
    """N(0, I) weighted to N(.05, I) along 40 directions; both of FID's bias and that of the weights go with 1 / N."""
    real = _exact(np.zeros(DIMENSIONS), np.diag(SIGMA**2))
    at_n, at_infinity = [], []
    for repeat in range(REPEATS):
        rows = noise.generator(1, "rows", repeat).standard_normal((ROWS, DIMENSIONS))
        log_w = 0.05 * rows.sum(axis=1) + 30
        found = infinity.fid(real, rows, log_w, noise.generator(1, "parts", repeat), smallest=300)
        at_n.append(found.values[-1])
        at_infinity.append(found.intercept)
    assert _z(at_n, TRUE_FID) > 15
    assert abs(_z(at_infinity, TRUE_FID)) < 4.5


def test_score_at_infinity() -> None:
    """Softmax of normal logits: a score of 200,000 rows is the truth, that of 200 is low, the intercept is not."""
    draw = np.random.default_rng(0).standard_normal
    truth = inception_score.finish(inception_score.of(softmax(2 * draw((200_000, 10)), axis=1)))
    at_n, at_infinity = [], []
    for repeat in range(600):
        found = infinity.score(softmax(2 * draw((200, 10)), axis=1), None, noise.generator(2, "parts", repeat))
        at_n.append(found.values[-1])
        at_infinity.append(found.intercept)
    assert _z(at_n, truth) < -5
    assert abs(_z(at_infinity, truth)) < 4.5


def test_weights_travel_with_their_rows() -> None:
    """Rows of weight zero do not count: the score of the rest, at sizes of the whole set."""
    p = softmax(np.random.default_rng(1).standard_normal((60, 3)), axis=1)
    log_w = np.where(np.arange(60) < 30, 0.0, -np.inf)
    found = infinity.score(p, log_w, noise.generator(3, "parts"), smallest=40, num_points=3)
    assert found.num_rows == (40, 50, 60)
    assert found.values[-1] == pytest.approx(inception_score.finish(inception_score.of(p[:30])), rel=1e-12)
    rows = noise.generator(3, "parts").choice(60, 40, replace=False)
    part = inception_score.finish(inception_score.of(p[rows], log_w[rows]))
    assert found.values[0] == pytest.approx(part, rel=1e-12)
    again = infinity.score(p, log_w, noise.generator(3, "parts"), smallest=40, num_points=3)
    assert again == found


def test_bad_input() -> None:
    p, rng = np.full((40, 2), 0.5), noise.generator(0, "parts")
    with pytest.raises(ValueError, match="2 sizes from 4 to 40"):
        infinity.score(p, None, rng, num_points=2)
    with pytest.raises(ValueError, match="15 sizes from 30 to 40"):
        infinity.score(p, None, rng, smallest=30)
    with pytest.raises(NonFiniteError, match="sample id 9"):
        infinity.score(p, np.where(np.arange(40) == 9, np.inf, 0.0), rng, num_points=3)
    with pytest.raises(ValueError, match="different sizes"):
        infinity.line(np.array([10, 10, 10]), np.zeros(3))
    with pytest.raises(NonFiniteError, match="row 1"):
        infinity.line(np.array([10, 20, 30]), np.array([0.0, np.nan, 0.0]))
