"""ESS and k_hat of the rows weighed so far: exact where they are, right on known tails, and of constant size."""

from functools import reduce

import numpy as np
import pytest

from lfiw_ray.core import blocks, so_far
from lfiw_ray.core.so_far import NOTHING, SoFar

BLOCK = blocks.WEIGHT_BLOCK


def state(log_w: np.ndarray) -> SoFar:
    return so_far.of(blocks.block_stats(log_w, 0), len(log_w))


def pareto_peaks(k: float, num_blocks: int, seed: int) -> SoFar:
    """Peaks of blocks of weights with P(w > x) = x^(-1/k): the largest of a block is u^(-k) with u = 1 - v^(1/8192)."""
    v = np.random.Generator(np.random.Philox(seed)).random(num_blocks)
    peaks = -k * np.log(-np.expm1(np.log(v) / BLOCK))
    return SoFar(num_blocks * BLOCK, 0.0, 0.0, num_blocks, np.sort(peaks)[::-1][: so_far.KEPT_PEAKS])


def test_ess_is_that_of_all_rows_in_any_order() -> None:
    log_w = np.random.Generator(np.random.Philox(0)).normal(-700, 3, 5 * BLOCK)
    w = np.exp(log_w - log_w.max())
    parts = [state(log_w[low : low + BLOCK]) for low in (0, 3 * BLOCK, BLOCK, 4 * BLOCK, 2 * BLOCK)]
    for order in (parts, parts[::-1]):
        merged = reduce(so_far.merge, order, NOTHING)
        assert merged.rows == len(log_w)
        assert so_far.ess(merged) == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-5)
        assert merged.num_blocks == 5
        assert merged.peaks[0] == log_w.max()


def test_equal_weights_count_all_rows_and_have_no_tail() -> None:
    merged = reduce(so_far.merge, [state(np.zeros(BLOCK))] * 80)
    assert so_far.ess(merged) == pytest.approx(80 * BLOCK)
    assert so_far.k_hat(merged) is None


def test_nothing_is_said_before_there_is_something() -> None:
    none = state(np.full(BLOCK, -np.inf))
    for early in (NOTHING, none, reduce(so_far.merge, [none] * 100)):
        assert so_far.ess(early) is None
        assert so_far.k_hat(early) is None
    few = pareto_peaks(0.5, so_far.FEWEST_BLOCKS - 1, 0)
    assert so_far.k_hat(few) is None
    assert so_far.k_hat(pareto_peaks(0.5, so_far.FEWEST_BLOCKS, 0)) is not None


@pytest.mark.parametrize("k", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("num_blocks", "tolerance"), [(128, 0.45), (20_000, 0.2)])
def test_k_hat_of_known_tails(k: float, num_blocks: int, tolerance: float) -> None:
    """Single fits within four standard errors (1 + k) / sqrt(M); their mean over 50 seeds within a quarter of it.

    The second allows for the pull to 0.5 by 10 rows, and for peaks that stand for two heavy rows of a block.
    """
    found = np.array([so_far.k_hat(pareto_peaks(k, num_blocks, seed)) for seed in range(50)])
    tail = min(num_blocks // 5, 3 * np.sqrt(num_blocks))
    assert np.abs(found - k).max() < 4 * (1 + k) / np.sqrt(tail)
    assert abs(found.mean() - k) < tolerance / 2


def test_its_size_does_not_grow() -> None:
    merged = NOTHING
    for low in range(4):
        peaks = np.arange(1000.0) + 1000 * low
        merged = so_far.merge(merged, SoFar(1, 0.0, 0.0, 1000, np.sort(peaks)[::-1]))
    assert merged.num_blocks == 4000
    assert len(merged.peaks) == so_far.KEPT_PEAKS
    assert np.array_equal(merged.peaks, np.arange(4000.0)[::-1][: so_far.KEPT_PEAKS])
