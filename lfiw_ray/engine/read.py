"""Read rows of sharded tables by sample id, checked against the done marks."""

import numpy as np

from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import from_parquet, images_of, read_rows


def read_images(table: Table, start: int, stop: int) -> np.ndarray:
    """(stop - start, H, W, C) uint8 images of consecutive sample ids."""
    parts = []
    for shard in shards_of(table, start, stop):
        low, high = table.layout.bounds(shard)
        x = images_of(from_parquet(table.read(shard), ["x"]))
        parts.append(x[max(start, low) - low : min(stop, high) - low])
    return np.concatenate(parts)


def read_log_w(table: Table, start: int, stop: int) -> np.ndarray:
    """(stop - start,) float32 log weights of consecutive sample ids, nats."""
    parts = []
    for shard in shards_of(table, start, stop):
        low, high = table.layout.bounds(shard)
        parts.append(shard_log_w(table, shard)[max(start, low) - low : min(stop, high) - low])
    return np.concatenate(parts)


def shard_log_w(table: Table, shard: int) -> np.ndarray:
    """(n,) float32 log weights of a shard, nats."""
    log_w: np.ndarray = from_parquet(table.read(shard), ["log_w"]).column("log_w").to_numpy()
    return log_w


def shards_of(table: Table, start: int, stop: int) -> range:
    """Shards that hold sample ids start .. stop."""
    return range(start // table.layout.rows_per_shard, -(-stop // table.layout.rows_per_shard))


def gather_images(table: Table, sample_ids: np.ndarray) -> np.ndarray:
    """(n, H, W, C) uint8 images of sorted, distinct sample ids; reads only the row groups that hold them."""
    out: np.ndarray | None = None
    owners = sample_ids // table.layout.rows_per_shard
    for shard in np.unique(owners):
        where = np.flatnonzero(owners == shard)
        with table.open(int(shard)) as file:
            rows = sample_ids[where] - table.layout.bounds(int(shard))[0]
            for positions, part in read_rows(file, rows, table.path(int(shard))):
                x = images_of(part.select(["x"]))
                out = np.empty((len(sample_ids), *x.shape[1:]), np.uint8) if out is None else out
                out[where[positions]] = x
    if out is None:
        raise ValueError("no sample ids to gather")
    return out
