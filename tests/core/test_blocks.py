"""core/blocks.py: sums per block of 8,192 ids, the same for every sharding."""

import json

import numpy as np
import pytest
from scipy.special import logsumexp

from lfiw_ray.core import blocks
from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.errors import NonFiniteError

LOG_W = (2 * np.random.default_rng(1).standard_normal(5 * WEIGHT_BLOCK + 17)).astype(np.float32)


@pytest.mark.parametrize("alpha", [0.0, 0.35, 1.0])
def test_agrees_with_scipy(alpha):
    stats = blocks.block_stats(LOG_W, 0, alpha)
    parts = [alpha * LOG_W[i : i + WEIGHT_BLOCK].astype(float) for i in range(0, len(LOG_W), WEIGHT_BLOCK)]
    assert stats.alpha == alpha
    np.testing.assert_allclose(stats.peak, [p.max() for p in parts], rtol=1e-7)
    np.testing.assert_allclose(stats.log_sum, [logsumexp(p) for p in parts], atol=3e-7)
    np.testing.assert_allclose(stats.log_sum_sq, [logsumexp(2 * p) for p in parts], atol=6e-7)
    whole = alpha * LOG_W.astype(float)
    assert blocks.total(stats.log_sum) == pytest.approx(logsumexp(whole), abs=2e-7)
    assert blocks.ess(stats) == pytest.approx(np.exp(2 * logsumexp(whole) - logsumexp(2 * whole)), rel=1e-6)


@pytest.mark.parametrize("shard_blocks", [1, 2, 3])
def test_bit_identical_for_every_sharding(shard_blocks):
    rows = shard_blocks * WEIGHT_BLOCK
    parts = [blocks.block_stats(LOG_W[i : i + rows], i, 0.35) for i in range(0, len(LOG_W), rows)]
    for got, whole in zip(blocks.concatenate(parts), blocks.block_stats(LOG_W, 0, 0.35), strict=True):
        assert np.array_equal(got, whole)


def test_json_keeps_every_bit():
    log_w = np.concatenate([LOG_W, np.full(2 * WEIGHT_BLOCK, -np.inf)])
    log_w[-1] = -745.1
    stats = blocks.block_stats(log_w[: 6 * WEIGHT_BLOCK], 0, 1 / 3)
    stats = blocks.concatenate([stats, blocks.block_stats(np.full(9, -np.inf), 6 * WEIGHT_BLOCK, 1 / 3)])
    again = blocks.from_json(json.loads(json.dumps(blocks.to_json(stats), allow_nan=False)))
    assert again.alpha == stats.alpha
    assert stats.log_sum[-1] == -np.inf
    for a, b in zip(again[1:], stats[1:], strict=True):
        assert a.tobytes() == b.tobytes()


def test_bad_json_is_refused():
    good = blocks.to_json(blocks.block_stats(LOG_W, 0))
    with pytest.raises(ValueError, match="without log_sum_sq"):
        blocks.from_json({k: v for k, v in good.items() if k != "log_sum_sq"})
    with pytest.raises(ValueError, match="unequal length"):
        blocks.from_json(good | {"peak": [0.0]})
    for odd in (float("nan"), float("inf"), "9", 10**400, [0.0]):
        with pytest.raises(ValueError, match=r"peak holds something other than finite numbers|inhomogeneous"):
            blocks.from_json(good | {"peak": [odd, *good["peak"][1:]]})


def test_blocks_without_weight():
    stats = blocks.block_stats(np.full(10, -np.inf), 0)
    assert all(column.tolist() == [-np.inf] for column in stats[1:])
    assert blocks.ess(stats) == 0
    assert len(blocks.block_stats(np.empty(0), 0).peak) == 0


def test_one_weight_dominates_by_e_700():
    stats = blocks.block_stats(np.concatenate([[700.0], np.zeros(WEIGHT_BLOCK)]), 0)
    assert stats.log_sum.tolist() == [700, 0]
    assert blocks.ess(stats) == 1


def test_refusals():
    with pytest.raises(ValueError, match="100"):
        blocks.block_stats(LOG_W, 100)
    with pytest.raises(NonFiniteError, match="8195"):
        blocks.block_stats(np.array([0, 0, 0, np.nan]), WEIGHT_BLOCK)
    with pytest.raises(ValueError, match=r"0\.5, 1\.0"):
        blocks.concatenate([blocks.block_stats(LOG_W, 0), blocks.block_stats(LOG_W, 0, 0.5)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parts_add_up_to_their_block(dtype):
    log_w = LOG_W.astype(dtype)
    peak, parts = blocks.part_sums(log_w)
    np.testing.assert_array_equal(peak + np.log(parts.sum(axis=1)), blocks.block_stats(log_w, 0).log_sum)
    rows = np.pad(LOG_W.astype(float), (0, -len(LOG_W) % WEIGHT_BLOCK), constant_values=-np.inf)
    exact = np.exp(rows.reshape(len(peak), -1) - peak[:, None]).reshape(len(peak), blocks.PARTS, -1).sum(axis=2)
    np.testing.assert_allclose(parts, exact, rtol=1e-6)


@pytest.mark.parametrize("offset", [-300.0, -100.0, -60.0, -45.0, -30.0, 30.0, 45.0, 60.0, 80.0, 100.0, 300.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_out_of_the_range_of_single_precision(offset, dtype):
    """Every second block; its neighbours are as they would be without it."""
    log_w = LOG_W.astype(dtype)
    log_w[WEIGHT_BLOCK : 2 * WEIGHT_BLOCK] += dtype(offset)
    stats = blocks.block_stats(log_w, 0)
    parts = [log_w[i : i + WEIGHT_BLOCK].astype(float) for i in range(0, len(log_w), WEIGHT_BLOCK)]
    np.testing.assert_allclose(stats.log_sum, [logsumexp(p) for p in parts], atol=1e-6)
    np.testing.assert_allclose(stats.log_sum_sq, [logsumexp(2 * p) for p in parts], atol=2e-6)
    others = np.arange(len(parts)) != 1
    assert np.array_equal(stats.log_sum[others], blocks.block_stats(LOG_W.astype(dtype), 0).log_sum[others])
