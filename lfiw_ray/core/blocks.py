"""Weight sums per fixed block of 8,192 consecutive sample ids: what a weights shard's done mark holds.

With them the total weight, its ESS and the number of draws that fall into each block are known without
reading a weight, so that resampling with replacement reads only the blocks that were hit.  Blocks are cut
by sample id and each is summed on its own, hence the numbers are bit-identical for every way of cutting the
ids into shards whose length is a multiple of the block.

Exponentials are taken in single precision below the block's largest weight, 64 rows are added in single precision
and those parts in double: one pass at memory speed, and sums right to about 1e-7.

| symbol | meaning | dtype, unit |
|---|---|---|
| alpha | exponent the sums were taken at: w means exp(alpha log_w) | float |
| peak | largest alpha log_w of a block, -inf when the block has no weight | float64 (B,), nats |
| log_sum, log_sum_sq | log of sum w and of sum w^2 of a block | float64 (B,), nats |
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.core.weights import flatten, largest

WEIGHT_BLOCK = 8192
PART = 64
PARTS = WEIGHT_BLOCK // PART  # of a block
_BLOCKS_AT_ONCE = 16  # their exponentials fit the L2 cache


class BlockStats(NamedTuple):
    """Sums of consecutive blocks; see the module docstring."""

    alpha: float
    peak: np.ndarray
    log_sum: np.ndarray
    log_sum_sq: np.ndarray


def block_stats(log_w: np.ndarray, start: int, alpha: float = 1.0) -> BlockStats:
    """Sums of the blocks of rows start .. start + N.

    Parameters
    ----------
    log_w : (N,) floats, nats, not yet flattened.
    start : sample id of row 0; a multiple of 8,192.  Only the pool's last block may be shorter.
    alpha : exponent the weights will be used with.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    if start % WEIGHT_BLOCK:
        raise ValueError(f"start must be a multiple of {WEIGHT_BLOCK}, got {start}")
    largest(log_w, start)
    peak, v = np.empty(0), [np.empty((0, 2))]
    peaks = []
    for low in range(0, len(log_w), _BLOCKS_AT_ONCE * WEIGHT_BLOCK):
        chunk = log_w[low : low + _BLOCKS_AT_ONCE * WEIGHT_BLOCK]
        peak, parts, squares = _relative(chunk if alpha == 1 else flatten(chunk, alpha), squares=True)
        assert squares is not None
        peaks.append(peak)
        v.append(np.stack([parts.sum(axis=1), squares.sum(axis=1)], axis=1))
    peak = np.concatenate([np.empty(0), *peaks])
    with np.errstate(divide="ignore"):  # a block without weight has the logarithm -inf
        log_sum, log_sum_sq = np.log(np.concatenate(v)).T
    return BlockStats(alpha, peak, peak + log_sum, 2 * peak + log_sum_sq)


def part_sums(log_w: np.ndarray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The largest weight of each block, and the sums of its parts relative to it.

    Parameters
    ----------
    log_w : (N,) floats, nats, in the form that is used; the first row begins a block.
    start : sample id of row 0, for messages.

    Returns
    -------
    peak : (B,) float64, nats; -inf: no weight.
    sums : (B, 128) float64, sum of exp(log_w - peak) over each 64 rows; 0 where there is no weight.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    largest(log_w, start)
    step = _BLOCKS_AT_ONCE * WEIGHT_BLOCK
    found = [_relative(log_w[low : low + step], squares=False) for low in range(0, len(log_w), step)]
    peaks, sums = [f[0] for f in found], [f[1] for f in found]
    return np.concatenate([np.empty(0), *peaks]), np.concatenate([np.empty((0, PARTS)), *sums])


def _relative(log_w: np.ndarray, squares: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Peaks (B,), part sums of v = exp(log_w - peak) and, when asked for, of v^2 (B, 128); float64."""
    missing = -len(log_w) % WEIGHT_BLOCK
    if missing:
        log_w = np.concatenate([log_w, np.full(missing, -np.inf, log_w.dtype)])
    rows = log_w.reshape(-1, WEIGHT_BLOCK)
    peak = np.maximum.reduceat(log_w, np.arange(0, len(log_w), WEIGHT_BLOCK))
    below = rows - np.where(peak == -np.inf, 0, peak)[:, None]
    v = np.exp(below.astype(np.float32, copy=False)).reshape(-1, PART)
    sums = np.einsum("ij->i", v).reshape(-1, PARTS).astype(np.float64)
    squared = np.einsum("ij,ij->i", v, v).reshape(-1, PARTS).astype(np.float64) if squares else None
    return peak.astype(np.float64), sums, squared


def concatenate(parts: Sequence[BlockStats]) -> BlockStats:
    """The blocks of several shards, given in the order of their sample ids."""
    alphas = sorted({part.alpha for part in parts})
    if len(alphas) != 1:
        raise ValueError(f"block sums taken at different alpha cannot be joined: {alphas}")
    return BlockStats(alphas[0], *(np.concatenate(columns) for columns in zip(*(p[1:] for p in parts), strict=True)))


def total(log_sums: np.ndarray) -> float:
    """Log of the sum of all blocks' sums, nats; -inf when there is no weight."""
    peak = float(np.max(log_sums, initial=-np.inf))
    return peak if peak == -np.inf else peak + float(np.log(np.exp(log_sums - peak).sum()))


def ess(stats: BlockStats) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of all blocks together; 0 when there is no weight."""
    log_sum = total(stats.log_sum)
    return 0.0 if log_sum == -np.inf else float(np.exp(2 * log_sum - total(stats.log_sum_sq)))


def to_json(stats: BlockStats) -> dict[str, Any]:
    """Plain values for a done mark.  Finite floats survive bit by bit; null stands for -inf (no weight)."""
    columns = {name: [None if v == -np.inf else v for v in column.tolist()] for name, column in _columns(stats)}
    return {"alpha": stats.alpha, **columns}


def from_json(value: dict[str, Any]) -> BlockStats:
    """The inverse of `to_json`.

    Raises
    ------
    ValueError
        A column is missing, is not a list of numbers, or differs in length from the others.
    """
    names = BlockStats._fields[1:]
    missing = [name for name in BlockStats._fields if name not in value]
    if missing:
        raise ValueError(f"block statistics without {', '.join(missing)}")
    columns = [np.array([-np.inf if v is None else v for v in value[name]], np.float64) for name in names]
    if len({column.shape for column in columns}) != 1:
        raise ValueError(f"block statistics of unequal length: {dict(zip(names, map(len, columns), strict=True))}")
    return BlockStats(float(value["alpha"]), *columns)


def _columns(stats: BlockStats) -> list[tuple[str, np.ndarray]]:
    return [("peak", stats.peak), ("log_sum", stats.log_sum), ("log_sum_sq", stats.log_sum_sq)]
