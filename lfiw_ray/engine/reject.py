"""Rejection samplers on the pool: the first k accepted rows, by passes over the weights.

The first pass counts the weights (for discriminator rejection sampling: the scores, once the largest weight is
known), which gives the constant that meets the budget; the second accepts.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from lfiw_ray.core import rejection, rivals_drs, rivals_obrs, score_counts
from lfiw_ray.core.rejection import Accepted
from lfiw_ray.core.score_counts import ScoreCounts
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import largest
from lfiw_ray.engine.groups import merged
from lfiw_ray.engine.look import Pool, of_class
from lfiw_ray.engine.wanted import Wanted


def reject(pool: Pool, one: Wanted, cuts: list[list[int]]) -> Selection:
    """The first k accepted rows.

    Parameters
    ----------
    cuts : groups of shards, one a task.

    Raises
    ------
    ConfigError
        Fewer than k rows are accepted.
    NonFiniteError
        A weight is NaN or +inf; names the sample id.
    """
    expected = rejection.expected_for(one.k)
    peak = merged("resample", partial(_peak, pool, one), cuts, max) if one.scheme == "drs" else 0.0
    seen = merged("resample", partial(_counted, pool, one, peak), cuts, score_counts.merge)
    constant = rivals_drs.gamma_for(seen, expected) if one.scheme == "drs" else rivals_obrs.log_c_for(seen, expected)
    return rejection.finish(merged("resample", partial(_accepted, pool, one, peak, constant), cuts, rejection.merge))


def _peak(pool: Pool, one: Wanted, shards: list[int]) -> float:
    return max(float(np.max(used, initial=-np.inf)) for _, used in _rows(pool, one, shards))


def _counted(pool: Pool, one: Wanted, peak: float, shards: list[int]) -> ScoreCounts:
    seen: ScoreCounts | None = None
    for start, used in _rows(pool, one, shards):
        new = score_counts.of(rivals_drs.scores(used, peak, start) if one.scheme == "drs" else used, start)
        seen = new if seen is None else score_counts.merge(seen, new)
    assert seen is not None
    return seen


def _accepted(pool: Pool, one: Wanted, peak: float, constant: float, shards: list[int]) -> Accepted:
    state = Accepted(one.k, np.empty(0, np.int64))
    for start, used in _rows(pool, one, shards):
        if one.scheme == "drs":
            new = rivals_drs.draw(used, start, one.k, one.seed, peak, constant)
        else:
            new = rivals_obrs.draw(used, start, one.k, one.seed, constant)
        state = rejection.merge(state, new)
    return state


def _rows(pool: Pool, one: Wanted, shards: list[int]) -> Iterator[tuple[int, np.ndarray]]:
    """First sample id and weights, in the form of `one`, of each shard."""
    for shard in shards:
        start, log_w, labels = pool.rows(shard, one.label is not None)
        largest(log_w, start)
        yield start, one.form(of_class(log_w, labels, one.label))
