"""core/bootstrap.py: a resample is the same rows repeated, known answers are covered, another implementation agrees."""

from functools import cache

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from lfiw_ray.core import bootstrap, reliability
from lfiw_ray.core.bootstrap import SCALARS, Rows, bands, resampled_figures
from lfiw_ray.errors import NonFiniteError

SHIFT = 0.7


def _gaussians(n, seed):
    """Honest logits of N(0.7, 1) (real) against N(0, 1), n rows of each."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(SHIFT, 1, n), rng.normal(0, 1, n)])
    return SHIFT * x - SHIFT**2 / 2, np.repeat([1, 0], n)


def _truth():
    """The figures of infinitely many rows of `_gaussians`."""

    def mean(real, generated):
        """Half of each class's expectation of a function of p."""

        def integrand(x):
            p = expit(SHIFT * x - SHIFT**2 / 2)
            return (stats.norm.pdf(x - SHIFT) * real(p) + stats.norm.pdf(x) * generated(p)) / 2

        return integrate.quad(integrand, -12, 12)[0]

    return {
        "log_loss_nats": mean(lambda p: -np.log(p), lambda p: -np.log1p(-p)),
        "brier": mean(lambda p: (1 - p) ** 2, lambda p: p**2),
        "auc": stats.norm.cdf(SHIFT / np.sqrt(2)),
        "accuracy": stats.norm.cdf(SHIFT / 2),
        "mean_w_model": 1.0,
        "mean_inverse_w_data": 1.0,
    }


def _figure(report, name):
    means = {"mean_w_model": report.model_mean_w.mean, "mean_inverse_w_data": report.data_mean_inverse_w.mean}
    return means[name] if name in means else getattr(report, name)


def test_a_resample_is_the_same_rows_repeated():
    """Rows with ties, 20 resamples: every figure is `reliability.report`'s of the repeated rows."""
    rng = np.random.default_rng(0)
    logits = np.sort(rng.integers(-6, 6, 60) / 4)
    real = rng.random(60) < expit(logits)
    rows = Rows(logits, real, 0.3, reliability.bins_of(logits, 4))
    times = np.zeros((20, 60))
    for row in times:
        for members in (np.flatnonzero(real), np.flatnonzero(~real)):
            row[members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)))
    got = resampled_figures(rows, times)
    assert set(got.scalars) == set(SCALARS)
    for i, row in enumerate(times.astype(int)):
        z, y, bins = (np.repeat(column, row) for column in (logits, real, rows.bins))
        whole = reliability.report(z, y, 0.3)
        for name in set(SCALARS) - {"ece"}:
            assert got.scalars[name][i] == pytest.approx(_figure(whole, name), rel=1e-12)
        gaps = [abs(np.sum(expit(z[bins == b]) - y[bins == b])) for b in range(4)]
        assert got.scalars["ece"][i] == pytest.approx(sum(gaps) / 60, rel=1e-12)
        np.testing.assert_allclose(got.observed[i], [y[bins == b].mean() for b in range(4)], rtol=1e-12)


def test_every_resample_has_the_rows_of_each_class():
    real = np.arange(30) % 3 == 0
    times = np.concatenate(list(bootstrap._resamples(real, 0, 50)))
    assert times.shape == (50, 30)
    assert (times[:, real].sum(axis=1) == 10).all()
    assert (times[:, ~real].sum(axis=1) == 20).all()
    assert abs(times.mean(axis=0) - 1).max() < 4.5 / np.sqrt(50)  # Poisson(1), all but
    assert len(np.unique(times, axis=0)) == 50


def test_resamples_depend_on_the_seed_and_their_number_alone(monkeypatch):
    real = np.arange(30) % 3 == 0
    whole = np.concatenate(list(bootstrap._resamples(real, 0, 50)))
    monkeypatch.setattr(bootstrap, "_SLICE", 7 * 30)
    parts = list(bootstrap._resamples(real, 0, 20))
    assert [len(part) for part in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:20])
    assert (np.concatenate(list(bootstrap._resamples(real, 1, 20))) != whole[:20]).any()


def test_the_order_of_the_rows_does_not_matter():
    logits, y = _gaussians(100, 0)
    order = np.random.default_rng(0).permutation(200)
    once, again = bands(logits, y, 0.0, 3, num_resamples=50), bands(logits[order], y[order], 0.0, 3, num_resamples=50)
    assert once.scalars == again.scalars
    np.testing.assert_array_equal(once.curve_low, again.curve_low)
    np.testing.assert_array_equal(once.curve_high, again.curve_high)


def test_agrees_with_scipy():
    """The same percentile bootstrap of two samples, from other random numbers.

    An end of a band from R = 2,000 resamples has a standard error of about sqrt(0.025 0.975 / R) / density(end) =
    0.06 standard errors of the figure; 4.5 sqrt(2) of these are 0.38 (false alarm 1e-4 over all).
    """
    logits, y = _gaussians(150, 1)
    got = bands(logits, y, 0.0, 0, num_resamples=2000).scalars

    def log_loss(real, generated, axis):
        return (np.logaddexp(0, -real).sum(axis=axis) + np.logaddexp(0, generated).sum(axis=axis)) / len(y)

    def mean_w(_, generated, axis):
        return np.exp(generated).mean(axis=axis)

    for name, statistic in (("log_loss_nats", log_loss), ("mean_w_model", mean_w)):
        peer = stats.bootstrap(
            (logits[y == 1], logits[y == 0]), statistic, n_resamples=2000, method="percentile", rng=0, vectorized=True
        )
        np.testing.assert_allclose(got[name], peer.confidence_interval, atol=0.38 * peer.standard_error)


@cache
def _covered(num_sets=200):
    """How often each band holds the truth, and the mean over sets of (ECE, middle of its band)."""
    truth, hits, bins, ece = _truth(), dict.fromkeys(_truth(), 0), np.zeros(5, int), []
    for seed in range(num_sets):
        logits, y = _gaussians(150, seed)
        got, whole = bands(logits, y, 0.0, seed, num_bins=5, num_resamples=200), reliability.report(logits, y, 0.0, 5)
        for name, value in truth.items():
            low, high = got.scalars[name]
            hits[name] += low <= value <= high
        bins += (got.curve_low <= whole.curve.predicted) & (whole.curve.predicted <= got.curve_high)
        ece.append((whole.ece, np.mean(got.scalars["ece"])))
    return hits, bins, np.mean(ece, axis=0)


def test_bands_cover_known_answers():
    """200 sets of 300 honest rows: nominally 95 %, 92.5 to 94 % over 2,000 other sets (the percentile method's bands
    are a little narrow at this size).  Of 200, fewer than 168 have a chance of 2e-5, more than 199 one of 4e-6, per
    figure; 11 figures.
    """
    hits, bins, _ = _covered()
    counts = [*hits.values(), *bins]
    assert len(counts) == 11
    assert min(counts) >= 168
    assert max(counts) <= 199


def test_the_calibration_error_is_biased_upward_in_resamples():
    """The truth is 0, the figure about 0.05, its resamples about 0.07."""
    _, _, (figure, middle) = _covered()
    assert 0.03 < figure < 0.06
    assert middle > figure + 0.01


def test_a_bin_of_one_class_has_the_exact_bound():
    """Rule of three: no real row among 10 is compatible with a share of up to 1 - 0.025^(1/10) = 0.31."""
    logits, y = np.linspace(-3, 3, 30), np.repeat([0, 1, 0, 1], [10, 5, 5, 10])
    got = bands(logits, y, 0.0, 0, num_bins=3)
    bound = stats.binomtest(0, 10).proportion_ci(0.95, "exact").high
    assert (got.curve_low[0], got.curve_high[2]) == (0, 1)
    assert got.curve_high[0] == pytest.approx(bound)
    assert got.curve_low[2] == pytest.approx(1 - bound)
    assert 0 < got.curve_low[1] < 0.5 < got.curve_high[1] < 1


def test_bins_that_a_resample_leaves_empty():
    logits, y = np.array([-2.0, -1, 1, 2]), np.array([0, 1, 0, 1])
    got = bands(logits, y, 0.0, 0, num_bins=4)
    assert got.curve_low.tolist() == pytest.approx([0, 0.025, 0, 0.025])
    assert got.curve_high.tolist() == pytest.approx([0.975, 1, 0.975, 1])


def test_refusals():
    rows = _gaussians(10, 0)
    with pytest.raises(ValueError, match=r"got 1 and 0\.95"):
        bands(*rows, 0.0, 0, num_resamples=1)
    with pytest.raises(ValueError, match=r"got 1000 and 1\.0"):
        bands(*rows, 0.0, 0, level=1.0)
    with pytest.raises(NonFiniteError, match="weights of the held-out rows"):
        bands(np.array([900.0, -1, 1]), np.array([0, 1, 1]), 0.0, 0)
