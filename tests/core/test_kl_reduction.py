"""KL reduction: Gaussians of known divergence, right and wrong weights, histograms by hand, codebooks."""

import numpy as np
import pytest
from scipy.stats import entropy

from lfiw_ray.core import codebook, kl_reduction
from lfiw_ray.core.kl_reduction import Histogram
from lfiw_ray.errors import NonFiniteError

SHIFT = 0.8  # p = N(.8, 1), q = N(0, 1): KL(p || q) = .32, log w = .8 x - .32


def _z(found: list[kl_reduction.Estimate], truth: float) -> float:
    """Of the mean over repeats; and their own standard errors are right within a tenth."""
    values = np.array([f.mean for f in found])
    assert np.mean([f.se for f in found]) == pytest.approx(values.std(ddof=1), rel=0.2)
    return float((values.mean() - truth) / (values.std(ddof=1) / np.sqrt(len(values))))


@pytest.mark.parametrize(
    ("slope", "alpha", "expected"),
    [
        (SHIFT, 1.0, SHIFT**2 / 2),  # exact weights: all of KL(p || q)
        (SHIFT, 0.5, SHIFT**2 / 2 - (SHIFT / 2) ** 2 / 2),  # flattened: q_alpha = N(.4, 1)
        (-0.3, 1.0, SHIFT**2 / 2 - (SHIFT + 0.3) ** 2 / 2),  # wrong: q_alpha = N(-.3, 1), further away
        (SHIFT, 0.0, 0.0),  # no weights
    ],
)
def test_gaussians(slope: float, alpha: float, expected: float) -> None:
    """200 repeats of 2,000 + 2,000 rows, weights with an unknown constant; 4.5 standard errors (7 in a million)."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        real, pool = rng.standard_normal(2000) + SHIFT, rng.standard_normal(2000)
        found.append(kl_reduction.of_weights(slope * real + 500, slope * pool + 500, alpha))
    if alpha == 0:
        assert {tuple(f) for f in found} == {(0.0, 0.0)}
    else:
        assert abs(_z(found, expected)) < 4.5


def test_never_above_the_divergence() -> None:
    """The Donsker-Varadhan bound on a space of two points, where expectations are exact."""
    p, q = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    rows = [np.repeat([0, 1], (1000 * shares).astype(int)) for shares in (p, q)]
    reductions = {}
    for slope in (-1.0, 0.5, 1.0, 1.5):
        log_w = slope * np.log(p / q)
        reductions[slope] = kl_reduction.of_weights(log_w[rows[0]], log_w[rows[1]]).mean
    assert reductions[1.0] == pytest.approx(entropy(p, q), rel=1e-9)
    assert max(reductions, key=reductions.__getitem__) == 1.0
    assert reductions[-1.0] < 0


def test_rows_of_weight_zero() -> None:
    pool = np.array([0.0, 0.0, -np.inf, -np.inf])
    assert kl_reduction.of_weights(np.zeros(3), pool).mean == pytest.approx(np.log(2))
    with pytest.raises(NonFiniteError, match=r"infinite divergence.*row 1"):
        kl_reduction.of_weights(np.array([0.0, -np.inf]), pool)
    with pytest.raises(NonFiniteError, match="largest log weight"):
        kl_reduction.of_weights(np.zeros(3), np.full(4, -np.inf))
    with pytest.raises(NonFiniteError, match="sample id 3"):
        kl_reduction.of_weights(np.zeros(3), np.array([0.0, 1.0, 2.0, np.nan]))
    with pytest.raises(ValueError, match="N >= 2"):
        kl_reduction.of_weights(np.zeros(1), pool)


def test_bins_by_hand() -> None:
    real, raw, selected = (
        Histogram(np.array(shares), 100) for shares in ([0.5, 0.5, 0], [0.2, 0.2, 0.6], [0.4, 0.6, 0])
    )
    p, q, s = (np.array(counts) / 103 for counts in ([51, 51, 1], [21, 21, 61], [41, 61, 1]))
    found = kl_reduction.of_bins(real, raw, selected)
    assert found == pytest.approx(entropy(p, q) - entropy(p, s), rel=1e-12)
    assert kl_reduction.of_bins(real, raw, raw) == 0
    assert kl_reduction.of_bins(real, raw, real) > found
    assert kl_reduction.of_bins(real, selected, raw) == pytest.approx(-found)
    few = kl_reduction.of_bins(real, raw, selected._replace(num_rows=5.0))
    assert few < found  # smoothing draws few rows towards equal shares


def test_bad_histograms() -> None:
    good = Histogram(np.array([0.5, 0.5]), 10)
    with pytest.raises(ValueError, match="same bins"):
        kl_reduction.of_bins(good, good, Histogram(np.ones(3) / 3, 10))
    with pytest.raises(ValueError, match="smoothing"):
        kl_reduction.of_bins(good, good, good, smoothing=0)
    for bad in (Histogram(np.array([0.5, 0.6]), 10), Histogram(np.array([1.5, -0.5]), 10), Histogram(good.shares, 0)):
        with pytest.raises(ValueError, match="no histogram"):
            kl_reduction.of_bins(good, bad, good)


def _blobs(rng: np.random.Generator, shares: list[float], n: int) -> np.ndarray:
    middles = np.array([[0, 0, 100], [9, 0, 100], [0, 9, 100]])
    return middles[rng.choice(3, n, p=shares)] + rng.standard_normal((n, 3))


def test_weights_bring_the_bins_nearer() -> None:
    """Three blobs in other proportions, weighted by their ratio: the discrete divergence is known."""
    rng = np.random.default_rng(1)
    p, q = [0.2, 0.3, 0.5], [0.6, 0.2, 0.2]
    centres = codebook.centres_of(_blobs(rng, p, 2000), 3, seed=0)
    real, rows = _blobs(rng, p, 20_000), _blobs(rng, q, 20_000)
    log_w = np.log(np.array(p) / q)[
        np.array([0, 1, 2])[np.argmin(((rows[:, None, :2] - [[0, 0], [9, 0], [0, 9]]) ** 2).sum(2), 1)]
    ]
    sets = [
        codebook.histogram(centres, real),
        codebook.histogram(centres, rows),
        codebook.histogram(centres, rows, log_w),
    ]
    assert kl_reduction.of_bins(*sets) == pytest.approx(entropy(p, q), abs=0.02)


def test_codebook_against_brute_force() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((300, 4)) + 1e3
    centres = codebook.centres_of(x, 12, seed=3)
    expected = ((x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(codebook.bins_of(centres, x), expected)
    log_w = rng.normal(0, 1, 300)
    w = np.exp(log_w)
    found = codebook.histogram(centres, x, log_w + 900)
    np.testing.assert_allclose(found.shares, [w[expected == k].sum() / w.sum() for k in range(12)], rtol=1e-12)
    assert found.num_rows == pytest.approx(w.sum() ** 2 / (w**2).sum())
    np.testing.assert_array_equal(centres, codebook.centres_of(x, 12, seed=3))
    assert not np.array_equal(centres, codebook.centres_of(x, 12, seed=4))
    np.testing.assert_allclose(centres[0], x[expected == 0].mean(axis=0), rtol=1e-9)  # Lloyd's fixed point


def test_bad_codebooks() -> None:
    x = np.repeat(np.eye(3), 4, axis=0)
    with pytest.raises(ValueError, match=r"2\.\.3, the number of different rows, got 4"):
        codebook.centres_of(x, 4, seed=0)
    with pytest.raises(ValueError, match="3 and 2 features"):
        codebook.bins_of(codebook.centres_of(x, 3, seed=0), x[:, :2])
