"""Bootstrap intervals: agreement with scipy, coverage by simulation, pairs, few repeats."""

import numpy as np
import pytest
from scipy import stats

from lfiw_ray.core import intervals
from lfiw_ray.errors import NonFiniteError


def test_agreement_with_scipy() -> None:
    values = np.random.default_rng(0).exponential(1, 12)
    rng = np.random.default_rng(1)
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, random_state=rng)
    found = intervals.of_mean(values, seed=0, num_resamples=20_000)
    assert found == pytest.approx(tuple(peer.confidence_interval), abs=0.02)
    assert intervals.of_mean(values, seed=0) == intervals.of_mean(values, seed=0)
    assert intervals.of_mean(values, seed=0) != intervals.of_mean(values, seed=1)


def test_coverage_is_what_the_module_says() -> None:
    """89 % of normal samples of 10 at 95 %: 1,000 samples, 4.5 standard errors (false alarm 7 in a million)."""
    samples = np.random.default_rng(2).standard_normal((1000, 10))
    ends = [intervals.of_mean(values, seed=i, num_resamples=400) for i, values in enumerate(samples)]
    held = np.mean([low <= 0 <= high for low, high in ends])
    assert abs(held - 0.89) < 4.5 * np.sqrt(0.89 * 0.11 / 1000)


def test_pairs_cancel_what_they_share() -> None:
    rng = np.random.default_rng(3)
    shared = 10 * rng.standard_normal(10)
    a, b = shared + 1 + 0.1 * rng.standard_normal(10), shared + 0.1 * rng.standard_normal(10)
    low, high = intervals.of_paired_difference(a, b, seed=0)
    assert 0.85 < low < a.mean() - b.mean() < high < 1.1
    assert (low, high) == intervals.of_mean(a - b, seed=0)
    with pytest.raises(ValueError, match=r"\(10,\) and \(9,\)"):
        intervals.of_paired_difference(a, b[1:], seed=0)


def test_level() -> None:
    values = np.arange(20.0)
    (a, b), (c, d) = (intervals.of_mean(values, seed=0, level=level) for level in (0.5, 0.99))
    assert c < a < 9.5 < b < d


def test_few_and_equal_repeats() -> None:
    assert intervals.of_mean(np.array([1.0, 2.0]), seed=0) is None
    assert intervals.of_paired_difference(np.ones(2), np.zeros(2), seed=0) is None
    assert intervals.of_mean(np.full(5, 3.0), seed=0) == (3, 3)
    low, high = intervals.of_mean(np.array([1.0, 2.0, 3.0]), seed=0)
    assert 1 <= low < 2 < high <= 3


def test_bad_input() -> None:
    with pytest.raises(NonFiniteError, match="row 1"):
        intervals.of_mean(np.array([1.0, np.nan, 2.0]), seed=0)
    with pytest.raises(ValueError, match="level 1"):
        intervals.of_mean(np.arange(4.0), seed=0, level=1)
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        intervals.of_mean(np.zeros((2, 2)), seed=0)
