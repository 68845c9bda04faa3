"""Weight sums per fixed block of 8,192 consecutive sample ids: what a weights shard's done mark holds.

With them the total weight, its ESS and the number of draws that fall into each block are known without
reading a weight, so that resampling with replacement reads only the blocks that were hit.  Blocks are cut
by sample id and each is summed on its own, hence the numbers are bit-identical for every way of cutting the
ids into shards whose length is a multiple of the block.

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
    log_w = flatten(log_w, alpha)
    # one call a block, not one reduction over a table: the order of the additions must not depend on N
    rows = [_sums(log_w[low : low + WEIGHT_BLOCK]) for low in range(0, len(log_w), WEIGHT_BLOCK)]
    return BlockStats(alpha, *np.array(rows, np.float64).reshape(-1, 3).T.copy())


def _sums(log_w: np.ndarray) -> tuple[float, float, float]:
    peak = float(log_w.max())
    if peak == -np.inf:
        return peak, peak, peak
    w = np.exp(log_w - peak)
    return peak, peak + float(np.log(w.sum())), 2 * peak + float(np.log((w * w).sum()))


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
