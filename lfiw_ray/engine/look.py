"""First pass over the weights: what each selection needs to see of all rows, as small states that merge.

| schemes | state | after the pass |
|---|---|---|
| gumbel, top_k, uniform, reversed | the k + 1 best keys | done |
| pool, mh | rows chosen, and rows of groups that a cut divides | done |
| sir, systematic, stratified, residual | sums of each block of 8,192 rows | draws, in the blocks that were hit |

(drs and obrs, which reject, need passes of their own: `reject`.)  All selections share one reading of each shard.
States of neighbouring groups of shards are merged in their order.
"""

from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.core import blocks, poolwise, ranks, rivals_mh, topk
from lfiw_ray.core.weights import largest
from lfiw_ray.engine.read import shard_labels, shard_log_w
from lfiw_ray.engine.wanted import RANKED, REPLACED, Wanted
from lfiw_ray.store.shards import Table


class Pool(NamedTuple):
    """Where the pool lies: weights, and the samples whose labels the selections per class need."""

    weights: Table
    samples: Table | None

    def rows(self, shard: int, labelled: bool) -> tuple[int, np.ndarray, np.ndarray | None]:
        """First sample id of a shard, its log weights, and its labels when asked for."""
        labels = shard_labels(self.samples, shard) if labelled and self.samples else None
        return self.weights.layout.bounds(shard)[0], shard_log_w(self.weights, shard), labels


def of_class(log_w: np.ndarray, labels: np.ndarray | None, label: int | None) -> np.ndarray:
    """The weights with those of other classes zero."""
    return log_w if label is None or labels is None else np.where(labels == label, log_w, np.float32(-np.inf))


def look(pool: Pool, wanted: list[Wanted], shards: list[int]) -> list[Any]:
    """States of some consecutive shards, one for each selection."""
    states: list[Any] = [None] * len(wanted)
    labelled = any(one.label is not None for one in wanted)
    for shard in shards:
        start, log_w, labels = pool.rows(shard, labelled)
        for position, one in enumerate(wanted):
            states[position] = _seen(one, states[position], of_class(log_w, labels, one.label), start)
    return states


def merge_all(wanted: list[Wanted], a: list[Any], b: list[Any]) -> list[Any]:
    """States of two neighbouring groups, one for each selection."""
    return [_merged(one, x, y) for one, x, y in zip(wanted, a, b, strict=True)]


def _seen(one: Wanted, state: Any, log_w: np.ndarray, start: int) -> Any:
    """The state after one more shard."""
    if one.scheme == "gumbel":
        return topk.extend(state or topk.empty(one.k, one.bar), log_w, start, one.seed, form=one.form)
    new = _alone(one, log_w, start)
    return new if state is None else _merged(one, state, new)


def _alone(one: Wanted, log_w: np.ndarray, start: int) -> Any:
    if one.scheme == "uniform":
        return ranks.uniform(log_w, start, one.k, one.seed)
    largest(log_w, start)
    used = one.form(log_w)
    if one.scheme in RANKED:
        return (ranks.heaviest if one.scheme == "top_k" else ranks.lightest)(used, start, one.k)
    if one.scheme in REPLACED:
        return blocks.block_stats(used, start)
    candidates = max(one.k * one.num_candidates - start, 0)  # rows beyond the last whole group are none
    init = poolwise.init if one.scheme == "pool" else rivals_mh.init
    return init(used[:candidates], start, one.num_candidates, one.seed, one.scheme)


def _merged(one: Wanted, a: Any, b: Any) -> Any:
    if one.scheme in RANKED:
        return topk.merge(a, b)
    if one.scheme in REPLACED:
        return blocks.concatenate([a, b])
    return (poolwise if one.scheme == "pool" else rivals_mh).merge(a, b, one.seed, one.scheme)
