"""Sampling importance resampling with replacement, exact and distributed, in three pure steps.

Each of k uniform numbers is sent through the inverse of the cumulative weight (Rubin 1987).  The inversion is
split in two: `allocate` finds the block of 8,192 sample ids from the blocks' sums, which are small enough for
one process; `draw_in_block` finds the row inside a block that was hit, wherever that block lies; `collect`
counts.  Blocks are cut by sample id, so the result is the same for any number of shards and workers.

Resolution: uniforms have 53 bits, so a block of share s of the total weight is cut into about s 2^53 steps.

| symbol | meaning | dtype, unit |
|---|---|---|
| block_log_sums | log of the sum of w of each block, in the order of sample ids; -inf: no weight | float64 (B,), nats |
| blocks | block of each draw, not decreasing | int64 (k,) |
| positions | where inside its block's cumulative weight a draw falls, in [0, 1) | float64 (k,) |
"""

from typing import Literal, NamedTuple

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import largest
from lfiw_ray.errors import NonFiniteError

Scheme = Literal["multinomial", "systematic"]
_BELOW_ONE = np.nextafter(1.0, 0.0)


class Draws(NamedTuple):
    """One entry per draw, sorted by block, then by position; see the module docstring."""

    blocks: np.ndarray
    positions: np.ndarray


def allocate(
    block_log_sums: np.ndarray, k: int, seed: int, scheme: Scheme = "multinomial", stream: str = "sir"
) -> Draws:
    """Send k draws to the blocks.

    Raises
    ------
    NonFiniteError
        A block's sum is NaN or +inf, or all of them are zero while k > 0.
    """
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    if k == 0:
        return Draws(np.empty(0, np.int64), np.empty(0))
    bad = np.flatnonzero(~(block_log_sums < np.inf))
    if len(bad):
        raise NonFiniteError(f"the weight sum of block {bad[0]} is {block_log_sums[bad[0]]}; score its shard again")
    peak = float(np.max(block_log_sums, initial=-np.inf))
    if peak == -np.inf:
        raise NonFiniteError(f"all {len(block_log_sums):,} blocks have weight zero, so that no row can be drawn")
    ends = np.cumsum(np.exp(block_log_sums - peak))
    targets = _targets(k, seed, scheme, stream) * ends[-1]
    blocks = np.searchsorted(ends, targets, side="right")
    starts = np.concatenate([[0.0], ends])[blocks]
    positions = np.minimum((targets - starts) / (ends[blocks] - starts), _BELOW_ONE)
    return Draws(blocks.astype(np.int64), positions)


def _targets(k: int, seed: int, scheme: Scheme, stream: str) -> np.ndarray:
    """(k,) float64 in [0, 1), sorted; u < 1 leaves u * total < total in float64 too, so the last end is never met."""
    if scheme == "multinomial":
        return np.sort(noise.uniforms(seed, stream, 0, k))
    if scheme == "systematic":
        targets: np.ndarray = np.minimum((np.arange(k) + noise.uniforms(seed, stream, 0, 1)) / k, _BELOW_ONE)
        return targets
    raise ValueError(f"scheme must be multinomial or systematic, got {scheme!r}")


def draw_in_block(log_w: np.ndarray, positions: np.ndarray, start: int = 0) -> np.ndarray:
    """Rows of one block that its draws fall on.

    Parameters
    ----------
    log_w : (n,) floats, nats: the whole block, flattened with the alpha its sum was taken at.
    positions : (d,) float64 in [0, 1), from `allocate`.
    start : sample id of row 0, for error messages.

    Returns
    -------
    (d,) int64 row indices inside the block, never one of weight zero.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf, or all are zero.
    """
    peak = largest(log_w, start)
    if peak == -np.inf:
        raise NonFiniteError(f"the block at sample id {start} was drawn but has no weight; its statistics are wrong")
    ends = np.cumsum(np.exp(np.asarray(log_w, np.float64) - peak))
    # the first row whose end lies beyond the target; a row without weight ends where the one before it does
    return np.asarray(np.searchsorted(ends, positions * ends[-1], side="right"), np.int64)


def collect(sample_ids: np.ndarray) -> Selection:
    """Count the draws: distinct sample ids, sorted, with their multiplicities, which are also their weights."""
    distinct, multiplicity = np.unique(np.asarray(sample_ids, np.int64), return_counts=True)
    return Selection(distinct, None, multiplicity.astype(np.int64), multiplicity.astype(np.float64))
