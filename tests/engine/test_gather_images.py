"""Gathering returns exactly the wanted images, from whole shards only, reading no more than it needs."""

from pathlib import Path

import numpy as np
import pytest
from engine_toys import flip_bit, images, write_samples

from lfiw_ray.engine.read import gather_images
from lfiw_ray.errors import ShardError

X = images(20_000, 5)
WANTED = np.array([0, 1, 2047, 2048, 8191, 8192, 16383, 19_999])


def test_gather_returns_the_wanted_images(tmp_path: Path) -> None:
    for rows_per_shard in (8192, 16384):
        table = write_samples(tmp_path, X, rows_per_shard)
        assert np.array_equal(gather_images(table, WANTED), X[WANTED])
        assert np.array_equal(gather_images(table, np.arange(20_000)), X)


def test_gather_reads_only_marked_shards_and_only_those_it_needs(tmp_path: Path) -> None:
    table = write_samples(tmp_path, X, 8192)
    folder = Path(table.url)
    (folder / "00001.json").unlink()
    assert np.array_equal(gather_images(table, WANTED[:5]), X[WANTED[:5]])
    with pytest.raises(ShardError, match=r"00001.json is not committed"):
        gather_images(table, WANTED)


def test_gather_leaves_the_other_row_groups_unread(tmp_path: Path) -> None:
    """A damaged page does not matter to rows of other groups, and is noticed by rows of its own."""
    table = write_samples(tmp_path, X, 8192)
    path = Path(table.url) / "00000.parquet"
    flip_bit(path, 3000)  # in the first of four row groups
    assert np.array_equal(gather_images(table, WANTED[3:]), X[WANTED[3:]])
    with pytest.raises(ShardError, match=r"00000.parquet cannot be read .*--repair"):
        gather_images(table, WANTED)


@pytest.mark.parametrize("lost", [1, 5000])
def test_gather_refuses_a_torn_shard(tmp_path: Path, lost: int) -> None:
    table = write_samples(tmp_path, X, 8192)
    path = Path(table.url) / "00002.parquet"
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ShardError, match=r"00002.parquet .*--repair"):
        gather_images(table, WANTED)
