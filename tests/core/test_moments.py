"""Merged equals whole, agreement with numpy, extreme log weights, bad input."""

import functools

import numpy as np
import pytest

from lfiw_ray.core import moments
from lfiw_ray.errors import NonFiniteError


def _rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1e3  # a mean large beside the spread


def _merged(x: np.ndarray, log_w: np.ndarray | None, cuts: list[int]) -> moments.Moments:
    parts = zip(np.split(x, cuts), [None] * (len(cuts) + 1) if log_w is None else np.split(log_w, cuts), strict=True)
    return functools.reduce(moments.merge, [moments.of(a, b) for a, b in parts], moments.init(x.shape[1]))


def test_unweighted_equals_numpy_over_several_blocks() -> None:
    x = _rows(10_000, 5)
    mean, cov = moments.finish(moments.of(x))
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(x, rowvar=False), rtol=1e-9)
    assert mean.dtype == cov.dtype == np.float64
    np.testing.assert_array_equal(cov, cov.T)


def test_weighted_equals_numpy_aweights() -> None:
    x = _rows(5_000, 4)
    log_w = np.random.default_rng(1).normal(0, 2, len(x))
    mean, cov = moments.finish(moments.of(x, log_w))
    np.testing.assert_allclose(mean, np.average(x, axis=0, weights=np.exp(log_w)), rtol=1e-12)
    np.testing.assert_allclose(cov, np.cov(x, rowvar=False, aweights=np.exp(log_w)), rtol=1e-8)


@pytest.mark.parametrize("spread", [0.0, 2.0, 300.0])
def test_merged_equals_whole(spread: float) -> None:
    x = _rows(600, 3)
    log_w = np.random.default_rng(2).normal(0, spread, len(x))
    whole, merged = moments.of(x, log_w), _merged(x, log_w, [1, 2, 250, 599])
    assert merged.num_rows == whole.num_rows == 600
    assert merged.log_scale == whole.log_scale
    np.testing.assert_allclose(moments.ess(merged), moments.ess(whole), rtol=1e-12)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.scatter, whole.scatter, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("shift", [-5_000.0, 5_000.0])
def test_log_weights_far_outside_float64(shift: float) -> None:
    x, log_w = _rows(500, 3), np.random.default_rng(3).normal(0, 1, 500)
    expected = moments.finish(moments.of(x, log_w))
    for found, want in zip(moments.finish(_merged(x, log_w + shift, [100, 300])), expected, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-7)


def test_shards_of_very_different_scale() -> None:
    """A shard 10,000 nats below the rest changes nothing, on either side of the merge."""
    x = _rows(400, 3)
    heavy, light = moments.of(x[:200], np.full(200, 5_000.0)), moments.of(x[200:], np.full(200, -5_000.0))
    for merged in (moments.merge(heavy, light), moments.merge(light, heavy)):
        assert merged.num_rows == 400
        np.testing.assert_allclose(moments.finish(merged)[1], np.cov(x[:200], rowvar=False), rtol=1e-9)


def test_rows_of_weight_zero_do_not_count() -> None:
    x = _rows(300, 3)
    log_w = np.where(np.arange(300) < 100, 0.0, -np.inf)
    for found in (moments.of(x, log_w), _merged(x, log_w, [150]), _merged(x[::-1], log_w[::-1], [150])):
        np.testing.assert_allclose(moments.finish(found)[1], np.cov(x[:100], rowvar=False), rtol=1e-9)
        np.testing.assert_allclose(moments.ess(found), 100)
    nothing = _merged(x, np.full(300, -np.inf), [150])
    assert (nothing.num_rows, nothing.weight_sum, moments.ess(nothing)) == (300, 0, 0)


def test_integer_weights_against_repeated_rows() -> None:
    """Mean and scatter are those of repeated rows; the covariance is, once both divide by the same number."""
    x = _rows(200, 3)
    times = np.random.default_rng(4).integers(1, 5, len(x))
    weighted, repeated = moments.of(x, np.log(times)), moments.of(np.repeat(x, times, axis=0))
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.scatter * np.exp(weighted.log_scale), repeated.scatter, rtol=1e-7)
    total, total_sq = times.sum(), (times**2).sum()
    as_importances, as_repeats = moments.finish(weighted)[1], moments.finish(repeated)[1]
    np.testing.assert_allclose(as_importances * (total - total_sq / total), as_repeats * (total - 1), rtol=1e-7)
    np.testing.assert_allclose(as_repeats, np.cov(x, rowvar=False, fweights=times), rtol=1e-9)


def test_no_covariance_from_one_effective_row() -> None:
    with pytest.raises(ValueError, match="effective sample size of 1"):
        moments.finish(moments.of(_rows(1, 3)))
    with pytest.raises(ValueError, match="effective sample size of 1"):
        moments.finish(moments.of(_rows(3, 3), np.array([0.0, -900.0, -900.0])))
    with pytest.raises(ValueError, match="effective sample size of 0"):
        moments.finish(moments.init(3))


def test_bad_input_names_the_row() -> None:
    x = _rows(10, 3)
    x[7, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 7"):
        moments.of(x)
    with pytest.raises(NonFiniteError, match="3"):
        moments.of(_rows(5, 2), np.array([0, 0, 0, np.inf, 0]))
    with pytest.raises(ValueError, match=r"\(5,\)"):
        moments.of(_rows(5, 2), np.zeros(4))
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        moments.of(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="3 and of 2"):
        moments.merge(moments.init(3), moments.init(2))
