"""core/pareto.py: k_hat against an independent implementation and against known shapes."""

import math

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


def test_denormal_weights_give_a_number():
    assert math.isfinite(_k_hat(np.linspace(-744, 0, 1000)))
