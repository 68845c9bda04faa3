"""Block sums out of the done marks of a table of weights: those of the rows, or an error that names the shard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfiw_ray.core import blocks
from lfiw_ray.engine.read import marked_blocks
from lfiw_ray.errors import ShardError
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Layout, Table

LAYOUT = Layout(40_000, 16_384)
LOG_W = np.random.default_rng(0).normal(size=40_000).astype(np.float32)


def sums_of(shard: int) -> dict[str, Any]:
    low, high = LAYOUT.bounds(shard)
    return blocks.to_json(blocks.block_stats(LOG_W[low:high], low))


def table_of(folder: Path, *given: dict[str, Any] | None) -> Table:
    """Weights whose marks hold what is given, one a shard."""
    table = Table(str(folder), "plan", LAYOUT)
    for shard, sums in enumerate(given):
        low, high = LAYOUT.bounds(shard)
        extra = {} if sums is None else {"blocks": sums}
        shards.commit(table.folder, shard, "plan", high - low, b"rows", extra)
    return table


def test_they_are_those_of_the_rows(tmp_path: Path) -> None:
    found, wanted = marked_blocks(table_of(tmp_path, *map(sums_of, range(3)))), blocks.block_stats(LOG_W, 0)
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("sums", "told"),
    [
        (None, r"holds no block sums \(KeyError\('blocks'\)\)"),
        ({"alpha": 1.0}, r"holds no block sums \(ValueError\('block statistics without peak, log_sum, log_sum_sq'\)\)"),
        (sums_of(1) | {"peak": ["9" * 10_000] * 2}, "holds no block sums .*peak holds something other than finite num"),
        (sums_of(1) | {"alpha": "x" * 10_000}, r"holds no block sums \(ValueError\(.{,300}\)\)"),
        (sums_of(1) | {"alpha": 330}, "holds sums of 2 blocks at alpha 330, not of 2 at alpha 1"),
        (sums_of(2), "holds sums of 1 blocks at alpha 1, not of 2 at alpha 1"),
        ({name: [v] if name != "alpha" else v for name, v in sums_of(1).items()}, "holds sums of 1 blocks"),
    ],
)
def test_others_are_refused_by_their_shard(tmp_path: Path, sums: dict[str, Any] | None, told: str) -> None:
    table = table_of(tmp_path, sums_of(0), sums, sums_of(2))
    with pytest.raises(ShardError, match=rf"^{tmp_path}/00001\.json {told}.*; remove it and run again$"):
        marked_blocks(table)


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"00001\.parquet is not committed; run the stage that writes it"):
        marked_blocks(table_of(tmp_path, sums_of(0)))
