"""First pass over the weights: what each selection needs to see of all rows, as small states that merge.

| schemes | state | after the pass |
|---|---|---|
| gumbel, top_k, uniform, reversed | the k + 1 best keys | done |
| pool, mh | rows chosen, and rows of groups that a cut divides | done |
| sir, systematic, stratified, residual | sums of each block of 8,192 rows | draws, in the blocks that were hit |

(drs and obrs, which reject, need passes of their own: `reject`.)  All selections share one reading of each shard.
States of neighbouring groups of shards are merged in their order.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.core import blocks, fresh, ranks, topk
from lfiw_ray.core.rivals import FRESH
from lfiw_ray.core.weights import flatten, largest
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
    seen = [_Seen(one) for one in wanted]
    labelled = any(one.label is not None for one in wanted)
    for shard in shards:
        start, log_w, labels = pool.rows(shard, labelled)
        for one in seen:
            one.add(of_class(log_w, labels, one.wanted.label), start)
    return [one.state() for one in seen]


def merge_all(wanted: list[Wanted], a: list[Any], b: list[Any]) -> list[Any]:
    """States of two neighbouring groups, one for each selection."""
    return [_merged(one, x, y) for one, x, y in zip(wanted, a, b, strict=True)]


class _Seen:
    """One selection's view of shard after shard; what need not be merged at once waits for the end."""

    def __init__(self, wanted: Wanted):
        self.wanted = wanted
        self._search = _search(wanted) if wanted.scheme in ("gumbel", "uniform") else None
        self._parts: list[Any] = []

    def add(self, log_w: np.ndarray, start: int) -> None:
        """One more shard."""
        if self._search:
            self._search.look(log_w, start)
            return
        self._parts.append(_alone(self.wanted, log_w, start))
        if self.wanted.scheme not in REPLACED and len(self._parts) > 1:
            self._parts = [_merged(self.wanted, *self._parts)]

    def state(self) -> Any:
        """The state of all shards."""
        if self._search:
            return self._search.finish()
        return blocks.concatenate(self._parts) if self.wanted.scheme in REPLACED else self._parts[0]


def _search(one: Wanted) -> topk.Search:
    if one.scheme == "uniform":
        return topk.Search(topk.empty(one.k), one.seed, "uniform", partial(flatten, alpha=0.0))
    return topk.Search(topk.empty(one.k, one.bar), one.seed, form=one.form)


def _alone(one: Wanted, log_w: np.ndarray, start: int) -> Any:
    largest(log_w, start)
    used = one.form(log_w)
    if one.scheme in RANKED:
        return (ranks.heaviest if one.scheme == "top_k" else ranks.lightest)(used, start, one.k)
    if one.scheme in REPLACED:
        return blocks.block_stats(used, start)
    candidates = max(one.k * one.num_candidates - start, 0)  # rows beyond the last whole group are none
    return fresh.init(used[:candidates], start, one.num_candidates, FRESH[one.scheme](one.seed, one.scheme))


def _merged(one: Wanted, a: Any, b: Any) -> Any:
    if one.scheme in RANKED:
        return topk.merge(a, b)
    if one.scheme in REPLACED:
        return blocks.concatenate([a, b])
    return fresh.merge(a, b, FRESH[one.scheme](one.seed, one.scheme))
