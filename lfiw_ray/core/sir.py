"""Sampling importance resampling with replacement, exact and distributed, in pure steps.

Each of k numbers is sent through the inverse of the cumulative weight (Rubin 1987).  The inversion is split:
`allocate` finds the block of 8,192 sample ids from the blocks' sums, which are small enough for one process;
`draw_rows` finds the row inside the blocks that were hit, wherever they lie; `collect` counts.  Blocks are cut by
sample id, so the result is the same for any number of shards and workers.

| scheme | the k numbers | variance |
|---|---|---|
| multinomial | independent and uniform | the largest |
| stratified | one uniform in each of k equal parts | at most multinomial's |
| systematic | the same uniform in each of k equal parts | usually the least; no guarantee (Douc et al. 2005) |
| residual | floor(k p_i) copies of row i, the rest multinomial in proportion to what is left | at most multinomial's |

All are unbiased: row i is drawn k p_i times on average.  Resolution: uniforms have 53 bits, and the sums of 64 rows
are right to about 1e-7 (see `blocks`).

| symbol | meaning | dtype, unit |
|---|---|---|
| block_log_sums | log of the sum of w of each block, in the order of sample ids; -inf: no weight | float64 (B,), nats |
| blocks | block of each draw, not decreasing | int64 (k,) |
| positions | where inside its block's cumulative weight a draw falls, in [0, 1) | float64 (k,) |
"""

from typing import Literal, NamedTuple, get_args

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.blocks import PART, PARTS, WEIGHT_BLOCK, part_sums, total
from lfiw_ray.core.selection import Selection
from lfiw_ray.errors import NonFiniteError

Scheme = Literal["multinomial", "systematic", "stratified", "residual"]
NAMED: dict[str, Scheme] = {
    "sir": "multinomial",
    "systematic": "systematic",
    "stratified": "stratified",
    "residual": "residual",
}
"""schemes by the name of a selection: plain `sir` is multinomial, as published"""
_BELOW_ONE = np.nextafter(1.0, 0.0)
_DRAWS_AT_ONCE = 4096
_EIGHT = 8  # squared, the rows of a part


class Draws(NamedTuple):
    """One entry per draw, sorted by block, then by position; see the module docstring."""

    blocks: np.ndarray
    positions: np.ndarray

    def within(self, first: int, last: int) -> "Draws":
        """The draws that fall into blocks first .. last, last excluded."""
        low, high = np.searchsorted(self.blocks, [first, last])
        return Draws(self.blocks[low:high], self.positions[low:high])


def allocate(
    block_log_sums: np.ndarray, k: int, seed: int, scheme: Scheme = "multinomial", stream: str = "sir"
) -> Draws:
    """Send k draws to the blocks.

    Parameters
    ----------
    scheme : for "residual" the sums are those of the residual weights, and k is what the copies leave.

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
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme must be one of {', '.join(get_args(Scheme))}, got {scheme!r}")
    u = noise.uniforms(seed, stream, 0, 1 if scheme == "systematic" else k)
    if scheme in ("multinomial", "residual"):
        return np.sort(u)
    targets: np.ndarray = np.minimum((np.arange(k) + u) / k, _BELOW_ONE)
    return targets


def draw_rows(log_w: np.ndarray, draws: Draws, start: int = 0) -> np.ndarray:
    """Sample ids that draws fall on, one entry a draw, in their order.

    Parameters
    ----------
    log_w : (n,) floats, nats: whole consecutive blocks, in the form their sums were taken in.
    draws : from `allocate`, only such as fall into these blocks.
    start : sample id of row 0, a multiple of 8,192.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf, or a block that was drawn has no weight.
    """
    base, sums = part_sums(log_w, start)
    local = draws.blocks - start // WEIGHT_BLOCK
    empty = local[sums[local].sum(axis=1) == 0] if len(local) else local
    if len(empty):
        at = start + int(empty[0]) * WEIGHT_BLOCK
        raise NonFiniteError(f"the block at sample id {at} was drawn but has no weight; its statistics are wrong")
    return start + _rows(log_w, base, sums, Draws(local, draws.positions))


def _rows(log_w: np.ndarray, base: np.ndarray, sums: np.ndarray, draws: Draws) -> np.ndarray:
    """Row of each draw by the inverse of cumulative sums: first its part of 64 rows, then 8 of them, then the row.

    base, sums : of all blocks, from `part_sums`.
    """
    part, inside = _invert(np.cumsum(sums, axis=1), draws.blocks, draws.positions)
    part += draws.blocks * PARTS
    out = np.empty(len(part), np.int64)
    for low in range(0, len(part), _DRAWS_AT_ONCE):
        some = slice(low, low + _DRAWS_AT_ONCE)
        v = np.exp(_part_rows(log_w, part[some]) - base[draws.blocks[some], None]).reshape(-1, _EIGHT, _EIGHT)
        each = np.arange(len(v))
        eight, position = _invert(np.cumsum(np.einsum("ijk->ij", v), axis=1), each, inside[some])
        out[some] = _EIGHT * eight + _invert(np.cumsum(v[each, eight], axis=1), each, position)[0]
    return part * PART + out


def _part_rows(log_w: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(n, 64) float64 log weights of some parts; the last part may be short, and is filled up with -inf."""
    whole = log_w[: len(log_w) // PART * PART].reshape(-1, PART)
    cut = part == len(whole)
    if not cut.any():
        return np.asarray(whole[part], np.float64)
    rows = np.empty((len(part), PART))
    rows[~cut] = whole[part[~cut]]
    rows[cut] = np.pad(np.asarray(log_w[len(whole) * PART :], np.float64), (0, PART), constant_values=-np.inf)[:PART]
    return rows


def _invert(ends: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column on which a position in [0, 1) of a row's total falls, and the position inside that column.

    Parameters
    ----------
    ends : (R, 2^m), cumulative sums of each row, whose last is positive.
    rows, positions : (n,), which row, and where.
    """
    last = ends.shape[1] - 1
    targets = positions * ends[rows, last]  # less than the last end, in float64 too
    column = np.zeros(len(rows), np.int64)
    step = ends.shape[1] // 2
    while step:  # the first column that ends beyond the target; one without weight ends where the one before it does
        column += step * (ends[rows, column + step - 1] <= targets)
        step //= 2
    before = np.where(column > 0, ends[rows, column - 1], 0.0)
    return column, np.clip((targets - before) / (ends[rows, column] - before), 0, _BELOW_ONE)


def copies(log_w: np.ndarray, log_unit: float) -> np.ndarray:
    """int64 rows of (n,) weights, each repeated floor(w / unit) times: residual resampling, unit = sum of w / k."""
    heavy = np.flatnonzero(log_w >= log_unit)
    return np.repeat(heavy, np.floor(np.exp(log_w[heavy].astype(np.float64) - log_unit)).astype(np.int64))


def residual(log_w: np.ndarray, log_unit: float) -> np.ndarray:
    """(n,) log of what the copies leave, w - unit floor(w / unit), dtype kept; rows without a copy are left alone."""
    left = log_w.copy()
    heavy = np.flatnonzero(log_w >= log_unit)
    share = np.exp(log_w[heavy].astype(np.float64) - log_unit)
    with np.errstate(divide="ignore"):  # nothing left: -inf
        left[heavy] = log_unit + np.log(share - np.floor(share))
    return left


def log_unit_of(block_log_sums: np.ndarray, k: int) -> float:
    """Log of the weight that one of k draws stands for, nats."""
    return total(block_log_sums) - float(np.log(k))


def collect(sample_ids: np.ndarray) -> Selection:
    """Count the draws: distinct sample ids, sorted, with their multiplicities, which are also their weights."""
    distinct, multiplicity = np.unique(np.asarray(sample_ids, np.int64), return_counts=True)
    return Selection(distinct, None, multiplicity.astype(np.int64), multiplicity.astype(np.float64))


def resample(
    log_w: np.ndarray, k: int, seed: int, scheme: Scheme = "multinomial", start: int = 0, stream: str = "sir"
) -> Selection:
    """k draws with replacement from (N,) log weights, nats, that are all at hand; row 0 has sample id start.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf, or all are zero while k > 0.
    """
    base, sums = part_sums(log_w, start)
    certain = np.empty(0, np.int64)
    if scheme == "residual" and k and sums.any():
        unit = log_unit_of(_log_sums(base, sums), k)
        certain = start + copies(log_w, unit)
        log_w = residual(log_w, unit)
        base, sums = part_sums(log_w, start)
    draws = allocate(_log_sums(base, sums), k - len(certain), seed, scheme, stream)
    return collect(np.concatenate([certain, start + _rows(log_w, base, sums, draws)]))


def _log_sums(base: np.ndarray, sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):  # no weight: -inf
        logs: np.ndarray = base + np.log(sums.sum(axis=1))
    return logs
