"""The heaviest and the lightest rows of the pool, for looking at."""

from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.read import shard_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.store.shards import Table, groups


class Extremes(NamedTuple):
    """Sample ids, int64, and log weights, nats, of the n heaviest (heaviest first) and lightest rows."""

    top_ids: np.ndarray
    top_log_w: np.ndarray
    low_ids: np.ndarray
    low_log_w: np.ndarray


def extremes(run: Run, n: int) -> Extremes:
    """One pass over the weights by tasks."""
    table = run.table("weights")
    cuts = groups(range(table.layout.num_shards), run.config.resample.num_tasks)
    return reduce(partial(_merge, n=n), over_groups("heaviest rows", partial(_of_shards, table, n), cuts))


def _of_shards(table: Table, n: int, shards: list[int]) -> Extremes:
    return reduce(partial(_merge, n=n), (_of_shard(table, n, shard) for shard in shards))


def _of_shard(table: Table, n: int, shard: int) -> Extremes:
    start, log_w = table.layout.bounds(shard)[0], shard_log_w(table, shard)
    top, low = np.argsort(-log_w, kind="stable")[:n], np.argsort(log_w, kind="stable")[:n]  # ties: smaller ids first
    return Extremes(start + top, log_w[top], start + low, log_w[low])


def _merge(a: Extremes, b: Extremes, n: int) -> Extremes:
    ids, log_w = np.concatenate([a.top_ids, b.top_ids]), np.concatenate([a.top_log_w, b.top_log_w])
    top = np.lexsort((ids, -log_w))[:n]
    low_ids, low_log_w = np.concatenate([a.low_ids, b.low_ids]), np.concatenate([a.low_log_w, b.low_log_w])
    low = np.lexsort((low_ids, low_log_w))[:n]
    return Extremes(ids[top], log_w[top], low_ids[low], low_log_w[low])
