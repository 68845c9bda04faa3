"""core/pareto.py: k_hat against an independent implementation and against known shapes."""

import math
import tracemalloc

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from lfiw_ray.core import pareto


def _k_hat(log_w):
    return pareto.k_hat(np.sort(log_w)[::-1][: pareto.tail_rows(len(log_w)) + 1])


@pytest.mark.parametrize("n", [25, 100, 225, 226, 1000, 20_000])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0, 10.0])
def test_agrees_with_arviz(n, sigma):
    log_w = sigma * np.random.default_rng(n).standard_normal(n) + 50
    assert _k_hat(log_w) == pytest.approx(float(array_stats.psislw(-log_w)[1]), abs=1e-6)


@pytest.mark.parametrize("n", [1, 4, 25, 224, 225, 226, 10**10])
def test_tail_rows(n):
    assert pareto.tail_rows(n) == math.floor(min(n / 5, 3 * math.sqrt(n)))


@pytest.mark.parametrize("shape", [0.2, 0.7, 1.2])
def test_finds_the_shape_of_a_pareto_tail(shape):
    """Mean of 100 fits of 20,000 Pareto weights: M = 424, so a fit's s.e. is (1 + k) / sqrt(M).

    z below 4.5 (false alarm 7e-6) plus 0.05 for the prior's pull and the fit's bias.
    """
    fits = [_k_hat(np.log(stats.pareto.rvs(1 / shape, size=20_000, random_state=seed))) for seed in range(100)]
    assert abs(np.mean(fits) - shape) < 4.5 * (1 + shape) / np.sqrt(424 * 100) + 0.05


def test_agrees_with_scipys_maximum_likelihood():
    """Without the prior's pull both estimate the same shape; they differ by less than 1.5 standard errors."""
    log_w = np.sort(2 * np.random.default_rng(1).standard_normal(100_000))[::-1][: pareto.tail_rows(100_000) + 1]
    excess = pareto.excesses(log_w)
    shape, _, scale = stats.genpareto.fit(excess, floc=0)
    found = pareto.fit(excess)
    se = (1 + shape) / np.sqrt(len(excess))
    assert abs(found.shape - shape) < 1.5 * se < 0.1
    assert found.scale == pytest.approx(scale, rel=1.5 * se)


@pytest.mark.parametrize("m", [5, 20, 99, 100, 101, 500])
def test_a_level_tail_is_fitted(m):
    """Rows that all stand out by the same: for some m the grid of b holds 0, the exponential distribution."""
    top = np.append(np.full(m, 1.0), 0.0)
    assert pareto.k_hat(top) < 0
    assert np.isfinite(pareto.smoothed(top)).all()


def test_the_exponential_distribution_is_fitted_where_the_grid_holds_zero():
    """100 exponential quantiles; the largest is chosen so that entry 28 of the 40 of the grid is exactly zero."""
    excess = -np.log1p(-(np.arange(100) + 0.5) / 100)
    spread = 1 - np.sqrt(40 / 28.5)
    near = 3 * excess[24] / -spread + np.spacing(4.0) * np.arange(-50, 50)
    largest = near[1 / near + spread / (3 * excess[24]) == 0][0]
    at_zero, beside = (pareto.fit(np.append(excess[:-1], x)[::-1]) for x in (largest, largest * (1 + 1e-7)))
    np.testing.assert_allclose(at_zero, beside, rtol=1e-5)


def test_the_smoothed_tail_is_the_fitted_quantiles_below_the_largest_weight():
    top = np.sort(3 * np.random.default_rng(4).standard_normal(5_000))[::-1][:213]
    shape, scale = pareto.fit(pareto.excesses(top))
    p = (np.arange(212, 0, -1) - 0.5) / 212
    raw = np.exp(top[-1] - top[0]) + scale * ((1 - p) ** -shape - 1) / shape
    assert raw[0] > 1  # the cap is needed here
    np.testing.assert_allclose(pareto.smoothed(top), top[0] + np.log(np.minimum(raw, 1)), atol=1e-12)


@pytest.mark.parametrize("top", [np.zeros(0), np.zeros(300), np.append(5.0, np.zeros(50))])
def test_no_shape_no_smoothing(top):
    assert pareto.smoothed(top) is None


def test_a_factor_on_all_weights_changes_nothing():
    log_w = np.random.default_rng(0).standard_normal(1000)
    assert _k_hat(log_w) == pytest.approx(_k_hat(log_w - 600), abs=1e-9)


def test_equal_weights_have_no_tail():
    assert _k_hat(np.full(1000, -3.0)) is None


@pytest.mark.parametrize(
    "log_w",
    [np.zeros(0), np.zeros(3), np.arange(20.0), np.append(np.zeros(999), 700.0), np.append(np.zeros(999), 0.5)],
    ids=["none", "three", "twenty", "one dwarfs the rest", "one stands out"],
)
def test_a_tail_too_short_to_tell_is_infinite(log_w):
    assert _k_hat(log_w) == math.inf


def test_rows_without_weight_count_as_rows_but_do_not_disturb():
    log_w = np.concatenate([np.random.default_rng(0).standard_normal(900), np.full(100, -np.inf)])
    assert 0 < _k_hat(log_w) < 0.7


def test_the_tail_of_a_billion_rows_is_fitted_in_little_memory():
    top = np.sort(2 * np.random.default_rng(0).standard_normal(pareto.tail_rows(10**9) + 1))[::-1]
    tracemalloc.start()
    found = pareto.k_hat(top)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert math.isfinite(found)
    assert peak_bytes < 50e6


def test_denormal_weights_give_a_number():
    assert math.isfinite(_k_hat(np.linspace(-744, 0, 1000)))
