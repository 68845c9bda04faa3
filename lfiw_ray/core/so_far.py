"""ESS and k_hat of the rows weighed so far, from the block sums of finished shards alone, in constant memory.

The effective sample size needs the two sums of all blocks (`core.blocks`), and is exact.  k_hat is fitted to the
largest block peaks instead of the largest rows: the largest of m weights with the tail P(w > x) exceeds a high x with
probability m P(w > x) to first order, so both tails have one shape (de Haan & Ferreira 2006, Extreme Value Theory,
section 1.1).  It is rougher than the k_hat of the whole pool, which needs the weights themselves: a few dozen peaks
tell the shape to about 0.2.

`of` a shard, `merge` in any order; the weights are those at alpha = 1, as they are scored.

| symbol | meaning | dtype, unit |
|---|---|---|
| rows | rows weighed | int |
| log_sum, log_sum_sq | log of sum w and of sum w^2 | float, nats |
| num_blocks | blocks seen | int |
| peaks | the largest block peaks, largest first | float64 (<= 1025,), nats |
"""

import math
from typing import NamedTuple

import numpy as np

from lfiw_ray.core import blocks, pareto
from lfiw_ray.core.blocks import BlockStats

KEPT_PEAKS = 1025
FEWEST_BLOCKS = 64  # a tail of 12 peaks


class SoFar(NamedTuple):
    """Sums over the rows weighed so far; see the module docstring."""

    rows: int = 0
    log_sum: float = -np.inf
    log_sum_sq: float = -np.inf
    num_blocks: int = 0
    peaks: np.ndarray = np.empty(0)


NOTHING = SoFar()
"""Before the first row."""


def of(stats: BlockStats, rows: int) -> SoFar:
    """State of one shard of so many rows."""
    sums = blocks.total(stats.log_sum), blocks.total(stats.log_sum_sq)
    return SoFar(rows, *sums, len(stats.peak), _largest(stats.peak))


def merge(a: SoFar, b: SoFar) -> SoFar:
    """State of disjoint rows."""
    return SoFar(
        a.rows + b.rows,
        float(np.logaddexp(a.log_sum, b.log_sum)),
        float(np.logaddexp(a.log_sum_sq, b.log_sum_sq)),
        a.num_blocks + b.num_blocks,
        _largest(np.concatenate([a.peaks, b.peaks])),
    )


def ess(state: SoFar) -> float | None:
    """Effective sample size (sum w)^2 / sum w^2, rows; None before the first weight above zero."""
    return None if state.log_sum == -np.inf else math.exp(2 * state.log_sum - state.log_sum_sq)


def k_hat(state: SoFar) -> float | None:
    """Pareto shape of the tail so far; None before 64 blocks are weighed, and where no shape can be told."""
    if state.num_blocks < FEWEST_BLOCKS or state.log_sum == -np.inf:
        return None
    tail = min(pareto.tail_rows(state.num_blocks), KEPT_PEAKS - 1)
    shape = pareto.k_hat(state.peaks[: tail + 1])
    return shape if shape is not None and math.isfinite(shape) else None


def _largest(peaks: np.ndarray) -> np.ndarray:
    return np.sort(peaks)[::-1][:KEPT_PEAKS]
