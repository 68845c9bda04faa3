"""Read rows of sharded tables by sample id, checked against the done marks."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from lfiw_ray.core import blocks
from lfiw_ray.core.blocks import WEIGHT_BLOCK, BlockStats
from lfiw_ray.errors import ConfigError, ShardError
from lfiw_ray.places import shown
from lfiw_ray.store.shards import Mark, Table, done_marks, mark_name
from lfiw_ray.store.tables import has_column, images_of, read_column, read_rows


def read_log_w(table: Table, start: int, stop: int) -> np.ndarray:
    """(stop - start,) float32 log weights of consecutive sample ids, nats."""
    parts = []
    for shard in shards_of(table, start, stop):
        low, high = table.layout.bounds(shard)
        parts.append(shard_log_w(table, shard)[max(start, low) - low : min(stop, high) - low])
    return np.concatenate(parts)


def shard_log_w(table: Table, shard: int) -> np.ndarray:
    """(n,) float32 log weights of a shard, nats; reads that column alone."""
    with table.open(shard) as file:
        return read_column(file, "log_w", table.path(shard))


def block_log_w(table: Table, shard: int, first: int, last: int) -> np.ndarray:
    """(n,) float32 log weights, nats, of a shard's blocks first .. last (counted within it, last excluded)."""
    with table.open(shard) as file:
        return read_column(file, "log_w", table.path(shard), range(first, last))


def marked_blocks(table: Table) -> BlockStats:
    """Sums of all blocks of a weights table as they are in its done marks, at alpha 1; reads no weight.

    Raises
    ------
    ShardError
        A shard is missing, or its mark holds no such sums.
    """
    parts = []
    for shard, mark in enumerate(done_marks(table)):
        if mark.shard != shard:
            break
        parts.append(marked_sums(table, mark))
    if len(parts) < table.layout.num_shards:
        raise ShardError(f"shard {table.path(len(parts))} is not committed; run the stage that writes it")
    return blocks.concatenate(parts)


def marked_sums(table: Table, mark: Mark) -> BlockStats:
    """Sums of the blocks of one shard of weights as they are in its done mark, at alpha 1.

    Raises
    ------
    ShardError
        The mark holds no such sums.
    """
    where, num_blocks = f"{table.folder.url}/{mark_name(mark.shard)}", -(-mark.rows // WEIGHT_BLOCK)
    try:
        found = blocks.from_json(mark.extra["blocks"])
    except (KeyError, ValueError, TypeError) as err:
        raise ShardError(f"{where} holds no block sums ({shown(err)}); remove it and run again") from err
    if found.alpha != 1 or found.peak.shape != (num_blocks,):
        raise ShardError(
            f"{where} holds sums of {len(found.peak)} blocks at alpha {found.alpha:g}, not of {num_blocks} at alpha 1; "
            "remove it and run again"
        )
    return found


def spread_log_w(table: Table, num_blocks: int = 16) -> np.ndarray:
    """(n,) float32 log weights, nats, of some blocks spread evenly over all sample ids."""
    total = -(-table.layout.num_rows // WEIGHT_BLOCK)
    blocks_per_shard = table.layout.rows_per_shard // WEIGHT_BLOCK
    parts = []
    for block in np.unique(np.linspace(0, total - 1, num_blocks).astype(np.int64)).tolist():
        shard, first = divmod(block, blocks_per_shard)
        parts.append(block_log_w(table, shard, first, first + 1))
    return np.concatenate(parts)


def shard_labels(samples: Table, shard: int) -> np.ndarray:
    """(n,) int64 labels of a shard of samples.

    Raises
    ------
    ConfigError
        The samples have no label column.
    """
    with samples.open(shard) as file:
        if not has_column(file, "label"):
            raise ConfigError(
                f"resample.per_class: {samples.path(shard)} has no column `label`; "
                "budgets per class need labelled samples"
            )
        file.seek(0)
        return read_column(file, "label", samples.path(shard)).astype(np.int64)


def shards_of(table: Table, start: int, stop: int) -> range:
    """Shards that hold sample ids start .. stop."""
    return range(start // table.layout.rows_per_shard, -(-stop // table.layout.rows_per_shard))


def gather_images(table: Table, sample_ids: np.ndarray) -> np.ndarray:
    """(n, H, W, C) uint8 images of sorted, distinct sample ids; reads only the row groups that hold them."""
    out: np.ndarray | None = None
    for where, part in gather_rows(table, sample_ids):
        x = images_of(part.select(["x"]))
        out = np.empty((len(sample_ids), *x.shape[1:]), np.uint8) if out is None else out
        out[where] = x
    assert out is not None
    return out


def gather_rows(table: Table, sample_ids: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Rows of sorted, distinct sample ids, a row group at a time: which of the ids, and their rows in that order.

    Raises
    ------
    ValueError
        When there is no id.
    """
    if len(sample_ids) == 0:
        raise ValueError("no sample ids to gather")
    owners = sample_ids // table.layout.rows_per_shard
    for shard in np.unique(owners):
        where = np.flatnonzero(owners == shard)
        with table.open(int(shard)) as file:
            rows = sample_ids[where] - table.layout.bounds(int(shard))[0]
            for positions, part in read_rows(file, rows, table.path(int(shard))):
                yield where[positions], part
