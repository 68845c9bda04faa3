"""core/tally.py: the one pass over the weights against direct sums."""

import numpy as np
import pytest

from lfiw_ray.core import histogram
from lfiw_ray.core.tally import Tally

LOG_W = np.random.default_rng(0).normal(0, 3, 1_000)


def _tally(log_w, cut=300):
    tally = Tally(float(log_w.max()), cut)
    for low in range(0, len(log_w), cut):
        tally.add(log_w[low : low + cut])
    return tally


@pytest.mark.parametrize("zeros", [0, 400])
@pytest.mark.parametrize("scale", [1.0, 30.0])  # 30: most rows lie more than 64 nats below the largest
def test_sums_are_the_direct_ones(scale, zeros):
    log_w = np.concatenate([np.full(zeros, -np.inf), scale * LOG_W])
    above = scale * (LOG_W - LOG_W.max())
    v = np.exp(above)
    got = _tally(log_w)
    np.testing.assert_allclose(got.sum_w, v.sum(), rtol=1e-13)
    np.testing.assert_allclose(got.sum_w2, (v**2).sum(), rtol=1e-13)
    np.testing.assert_allclose(got.sum_w_log_w, (v * above).sum(), rtol=1e-13)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_histogram_counts_by_fixed_edges(scale):
    log_w = scale * LOG_W
    got = _tally(log_w).histogram()
    bins = np.floor(log_w / histogram.BIN_NATS)
    for j in (0, 1, 50, 200, 2_047):
        inside = bins == bins.max() - j
        assert got.counts[j] == inside.sum()
        expected = np.exp(log_w[inside] - bins[inside] * histogram.BIN_NATS).sum()
        assert got.mass[j] == pytest.approx(expected, rel=1e-11)


def test_rows_come_back_as_float64_to_be_read_before_the_next_call():
    part = LOG_W[:7].astype(np.float32)
    x = Tally(float(part.max()), 10).add(part)
    assert x.dtype == np.float64
    assert np.array_equal(x, part)


def test_rows_without_weight_alone_are_nothing():
    tally = Tally(-np.inf, 3)
    assert np.array_equal(tally.add(np.full(3, -np.inf)), np.full(3, -np.inf))
    assert (tally.sum_w, tally.sum_w2, tally.sum_w_log_w) == (0, 0, 0)
    assert tally.histogram().counts.sum() == 0
