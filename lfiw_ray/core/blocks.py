"""Weight sums per fixed block of 8,192 consecutive sample ids: what a weights shard's done mark holds.

With them the total weight, its ESS and the number of draws that fall into each block are known without
reading a weight, so that resampling with replacement reads only the blocks that were hit.  Blocks are cut
by sample id and each is summed on its own, hence the numbers are bit-identical for every way of cutting the
ids into shards whose length is a multiple of the block.

Exponentials are taken in single precision, in a unit of the block's own where they would not fit; 64 rows are added
in single precision and those parts in double: one pass at memory speed, and sums right to about 1e-7.

| symbol | meaning | dtype, unit |
|---|---|---|
| alpha | exponent the sums were taken at: w means exp(alpha log_w) | float |
| peak | largest alpha log_w of a block, -inf when the block has no weight | float64 (B,), nats |
| log_sum, log_sum_sq | log of sum w and of sum w^2 of a block | float64 (B,), nats |
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.core.weights import flatten, largest

WEIGHT_BLOCK = 8192
PART = 64
PARTS = WEIGHT_BLOCK // PART  # of a block
_BLOCKS_AT_ONCE = 32  # their exponentials fit the L2 cache
_LEAST, _MOST = 1e-12, 1e16  # of a block's sum: squares of its terms are then in the range of single precision


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
    used = log_w if alpha == 1 else flatten(log_w, alpha)
    peaks, bases, sums = [np.empty(0)], [np.empty(0)], [np.empty((0, 2))]
    for some in _summed(used, start):
        peaks.append(some.rows.max(axis=1).astype(np.float64))
        bases.append(some.base)
        sums.append(np.stack([some.sums.sum(axis=1), some.squares().sum(axis=1)], axis=1))
    base = np.concatenate(bases)
    with np.errstate(divide="ignore"):  # a block without weight has the logarithm -inf
        log_sum, log_sum_sq = np.log(np.concatenate(sums)).T
    return BlockStats(alpha, np.concatenate(peaks), base + log_sum, 2 * base + log_sum_sq)


def part_sums(log_w: np.ndarray, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The unit of each block, and the sums of its parts in that unit.

    Parameters
    ----------
    log_w : (N,) floats, nats, in the form that is used; the first row begins a block.
    start : sample id of row 0, for messages.

    Returns
    -------
    base : (B,) float64, nats.
    sums : (B, 128) float64, sum of exp(log_w - base) over each 64 rows; 0 where there is no weight.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    found = list(_summed(log_w, start))
    bases, sums = [f.base for f in found], [f.sums for f in found]
    return np.concatenate([np.empty(0), *bases]), np.concatenate([np.empty((0, PARTS)), *sums])


class _Summed(NamedTuple):
    """Some blocks: log weights (b, 8192), base (b,), part sums (b, 128) and v = exp(log_w - base), (128 b, 64)."""

    rows: np.ndarray
    base: np.ndarray
    sums: np.ndarray
    v: np.ndarray

    def squares(self) -> np.ndarray:
        """Part sums of v^2, float64 (b, 128)."""
        sums: np.ndarray = np.einsum("ij,ij->i", self.v, self.v).reshape(-1, PARTS).astype(np.float64)
        return sums


def _summed(log_w: np.ndarray, start: int) -> Iterator[_Summed]:
    """A few blocks at a time; what is given is overwritten by the next.

    The base is 0, which saves two passes, unless the block's sum shows that exponentials left the range of single
    precision or might in their squares; then it is the block's peak.  It depends on the block alone.
    """
    step = _BLOCKS_AT_ONCE * WEIGHT_BLOCK
    buffer = np.empty((_BLOCKS_AT_ONCE, WEIGHT_BLOCK), np.float32)
    for low in range(0, len(log_w), step):
        chunk = log_w[low : low + step]
        missing = -len(chunk) % WEIGHT_BLOCK
        if missing:
            chunk = np.concatenate([chunk, np.full(missing, -np.inf, log_w.dtype)])
        rows = chunk.reshape(-1, WEIGHT_BLOCK)
        v = buffer[: len(rows)]
        with np.errstate(over="ignore"):  # seen in the sum
            np.exp(rows.astype(np.float32, copy=False), out=v)
        sums, base = _added(v), np.zeros(len(rows))
        total = sums.sum(axis=1)
        far = np.flatnonzero(~((total > _LEAST) & (total < _MOST)))
        if len(far):
            largest(chunk, start + low)
            peak = rows[far].max(axis=1).astype(np.float64)
            base[far] = np.where(peak == -np.inf, 0.0, peak)
            v[far] = np.exp(rows[far] - base[far, None])
            sums[far] = _added(v[far])
        yield _Summed(rows, base, sums, v.reshape(-1, PART))


def _added(v: np.ndarray) -> np.ndarray:
    """Part sums (b, 128) float64 of (b, 8192) float32."""
    sums: np.ndarray = np.einsum("ij->i", v.reshape(-1, PART)).reshape(-1, PARTS).astype(np.float64)
    return sums


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
        A column is missing, is not a list of numbers below infinity, or differs in length from the others.
    """
    names = BlockStats._fields[1:]
    missing = [name for name in BlockStats._fields if name not in value]
    if missing:
        raise ValueError(f"block statistics without {', '.join(missing)}")
    columns = [_numbers(name, value[name]) for name in names]
    if len({column.shape for column in columns}) != 1:
        raise ValueError(f"block statistics of unequal length: {dict(zip(names, map(len, columns), strict=True))}")
    return BlockStats(float(value["alpha"]), *columns)


def _numbers(name: str, values: list[float | None]) -> np.ndarray:
    column = np.array([-np.inf if v is None else v for v in values])
    if column.dtype.kind not in "if" or not (column < np.inf).all():
        raise ValueError(f"block statistics: {name} holds something other than finite numbers and null")
    return column.astype(np.float64)


def _columns(stats: BlockStats) -> list[tuple[str, np.ndarray]]:
    return [("peak", stats.peak), ("log_sum", stats.log_sum), ("log_sum_sq", stats.log_sum_sq)]
