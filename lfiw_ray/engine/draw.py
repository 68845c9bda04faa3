"""Second step of selection with replacement: draws, inside the blocks that were hit.

Only the row groups of those blocks are read.  Residual resampling first reads the blocks whose heaviest row stands
for at least one draw, takes the certain copies there, and corrects those blocks' sums.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from lfiw_ray.core import blocks, sir
from lfiw_ray.core.blocks import WEIGHT_BLOCK, BlockStats
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.sir import Draws
from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.look import Pool, of_class
from lfiw_ray.engine.read import block_log_w, shard_labels
from lfiw_ray.engine.wanted import REPLACED, Wanted
from lfiw_ray.store.shards import groups

T = TypeVar("T")


class Copies(NamedTuple):
    """Certain draws of residual resampling in some blocks, and the log sums of what they leave."""

    sample_ids: np.ndarray
    blocks: np.ndarray
    log_sums: np.ndarray


def draw(pool: Pool, one: Wanted, stats: BlockStats, num_tasks: int) -> Selection:
    """k draws with replacement.

    Parameters
    ----------
    stats : sums of all blocks of the pool, in the form of `one`.
    """
    log_sums, unit, certain = stats.log_sum, None, np.empty(0, np.int64)
    if one.scheme == "residual" and one.k and blocks.total(log_sums) > -np.inf:
        unit = sir.log_unit_of(log_sums, one.k)
        heavy = np.flatnonzero(stats.peak >= unit - 1e-6)  # the sums that gave the unit are right to 1e-7
        found = _over(heavy, partial(_copies, pool, one, unit), num_tasks)
        certain = np.concatenate([certain, *(part.sample_ids for part in found)])
        log_sums = log_sums.copy()
        for part in found:
            log_sums[part.blocks] = part.log_sums
    draws = sir.allocate(log_sums, one.k - len(certain), one.seed, REPLACED[one.scheme])
    drawn = _over(np.unique(draws.blocks), partial(_rows, pool, one, unit, draws), num_tasks)
    return sir.collect(np.concatenate([certain, *drawn]))


def _over(hit: np.ndarray, task: Callable[[list[int]], T], num_tasks: int) -> list[T]:
    """Run a task over groups of the blocks that were hit."""
    return list(over_groups("resample", task, groups(hit.tolist(), num_tasks)))


def _copies(pool: Pool, one: Wanted, unit: float, hit: list[int]) -> Copies:
    ids, sums = [], []
    for start, log_w in runs(pool, one, hit):
        ids.append(start + sir.copies(log_w, unit))
        sums.append(blocks.block_stats(sir.residual(log_w, unit), start).log_sum)
    return Copies(np.concatenate(ids), np.array(hit), np.concatenate(sums))


def _rows(pool: Pool, one: Wanted, unit: float | None, draws: Draws, hit: list[int]) -> np.ndarray:
    """Sample ids of the draws that fall into some blocks, one entry a draw."""
    out = []
    for start, log_w in runs(pool, one, hit):
        first = start // WEIGHT_BLOCK
        there = draws.within(first, first - (-len(log_w) // WEIGHT_BLOCK))
        out.append(sir.draw_rows(log_w if unit is None else sir.residual(log_w, unit), there, start))
    return np.concatenate(out)


def runs(pool: Pool, one: Wanted, hit: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """First sample id and weights, in the form of `one`, of each run of neighbouring blocks of a shard."""
    blocks_per_shard = pool.weights.layout.rows_per_shard // WEIGHT_BLOCK
    wanted = np.array(hit)
    shards = wanted // blocks_per_shard
    breaks = np.flatnonzero((np.diff(wanted) > 1) | (np.diff(shards) > 0)) + 1
    for run in np.split(wanted, breaks):
        shard = int(run[0]) // blocks_per_shard
        first, last = int(run[0]) - shard * blocks_per_shard, int(run[-1]) + 1 - shard * blocks_per_shard
        log_w = block_log_w(pool.weights, shard, first, last)
        if one.label is not None and pool.samples is not None:
            rows = slice(first * WEIGHT_BLOCK, first * WEIGHT_BLOCK + len(log_w))
            log_w = of_class(log_w, shard_labels(pool.samples, shard)[rows], one.label)
        yield int(run[0]) * WEIGHT_BLOCK, one.form(log_w)
