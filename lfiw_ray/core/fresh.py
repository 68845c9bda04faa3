"""One row of each group of m fresh candidates: what pool-wise SIR and Metropolis-Hastings chains have in common.

Output j sees the candidates with sample ids first + j m .. first + (j + 1) m and no others, so that outputs are
independent and no row is chosen twice.  How a group's row is chosen is a function of its weights and sample ids
(`Pick`).  Groups that lie inside the rows at hand are settled at once; rows of groups that a shard cuts wait, at
most 2 m - 2 for a range of rows, until `merge` has their group together.  Results do not depend on the cuts.

| symbol | meaning | dtype, unit |
|---|---|---|
| m | candidates of each group | int |
| first | sample id of the first candidate of group 0 | int |
| sample_ids | rows chosen so far, increasing | int64 |
| loose_ids, loose_log_w | rows of groups that are not whole yet, increasing | int64, float64 nats |
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import largest
from lfiw_ray.errors import ConfigError

Pick = Callable[[np.ndarray, int], np.ndarray]
"""From log weights (G, m) of G groups and the sample id of their first row to the chosen columns, int64 (G,)."""


class Fresh(NamedTuple):
    """See the module docstring."""

    m: int
    first: int
    sample_ids: np.ndarray
    loose_ids: np.ndarray
    loose_log_w: np.ndarray


def init(log_w: np.ndarray, start: int, m: int, pick: Pick, first: int = 0) -> Fresh:
    """Settle the groups inside rows start .. start + N.

    Parameters
    ----------
    log_w : (N,) floats, nats; already flattened.
    start : sample id of row 0, at least `first`.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    ConfigError
        All candidates of a group have weight zero.
    """
    if m < 1 or start < first:
        raise ValueError(f"m must be at least 1 and start at least {first}, got m = {m} and start = {start}")
    largest(log_w, start)
    log_w, stop = np.asarray(log_w, np.float64), start + len(log_w)
    low, high = first - (first - start) // m * m, first + (stop - first) // m * m  # the groups' edges in the range
    if high < low:
        low = high = stop
    chosen = _settle(log_w[low - start : high - start].reshape(-1, m), low, first, pick)
    loose = np.concatenate([np.arange(start, low), np.arange(high, stop)])
    return Fresh(m, first, chosen, loose, log_w[loose - start])


def _settle(log_w: np.ndarray, start: int, first: int, pick: Pick) -> np.ndarray:
    """Sample ids chosen from whole groups (G, m) whose first row is `start`."""
    num_groups, m = log_w.shape
    empty = np.flatnonzero((log_w == -np.inf).all(axis=1))
    if len(empty):
        low = start + int(empty[0]) * m
        raise ConfigError(
            f"all {m} candidates of group {(low - first) // m} (sample ids {low} to {low + m - 1}) have weight zero, "
            f"as have those of {len(empty) - 1} other groups here; take more candidates for each output"
        )
    chosen: np.ndarray = start + m * np.arange(num_groups, dtype=np.int64) + pick(log_w, start)
    return chosen


def merge(a: Fresh, b: Fresh, pick: Pick) -> Fresh:
    """Settle the groups that two disjoint sets of rows complete; associative and commutative."""
    if a[:2] != b[:2]:
        raise ValueError(f"states of different groups cannot be merged: (m, first) are {a[:2]} and {b[:2]}")
    m, first = a[:2]
    ids, log_w = np.concatenate([a.loose_ids, b.loose_ids]), np.concatenate([a.loose_log_w, b.loose_log_w])
    order = np.argsort(ids)
    ids, log_w = ids[order], log_w[order]
    groups, where, sizes = np.unique((ids - first) // m, return_inverse=True, return_counts=True)
    whole = sizes[where] == m
    pairs = zip(groups[sizes == m].tolist(), log_w[whole].reshape(-1, 1, m), strict=True)
    new = [_settle(rows, first + group * m, first, pick) for group, rows in pairs]
    return Fresh(m, first, np.sort(np.concatenate([a.sample_ids, b.sample_ids, *new])), ids[~whole], log_w[~whole])


def finish(state: Fresh) -> Selection:
    """The chosen rows, one a group, each of weight 1.

    Raises
    ------
    ValueError
        Some groups are not whole: the number of rows given was no multiple of m, or rows were left out.
    """
    if len(state.loose_ids):
        raise ValueError(
            f"sample id {state.loose_ids[0]} and {len(state.loose_ids) - 1} more belong to groups that are not whole; "
            f"give a multiple of m = {state.m} rows, all of them"
        )
    count = len(state.sample_ids)
    return Selection(state.sample_ids, None, np.ones(count, np.int64), np.ones(count))
