"""Selection over shards equals selection on the whole array; gathering returns exactly the selected images."""

from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from engine_toys import flip_bit, images, write_samples, write_weights

from lfiw_ray.core import sir, topk
from lfiw_ray.core.blocks import block_stats
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import flatten
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.resample import draw_in_shards, look, select
from lfiw_ray.errors import ConfigError, NonFiniteError, ShardError
from lfiw_ray.store.shards import groups

N, K, SEED = 60_000, 700, 11


@pytest.fixture(scope="module")
def log_w() -> np.ndarray:
    """(N,) float32, a tenth of them weight zero, one block without any weight."""
    rng = np.random.default_rng(0)
    log_w = rng.normal(0, 1.5, N).astype(np.float32)
    log_w[rng.random(N) < 0.1] = -np.inf
    log_w[16384 : 2 * 8192 + 8192] = -np.inf
    return log_w


def whole(log_w: np.ndarray, alpha: float) -> dict[str, Selection]:
    """Both selections by the core's functions on one array."""
    top = topk.finish(topk.init(flatten(log_w, alpha), 0, K, SEED))
    draws = sir.allocate(block_stats(log_w, 0, alpha).log_sum, K, SEED)
    rows = [
        low + sir.draw_in_block(flatten(log_w[low : low + 8192], alpha), draws.positions[draws.blocks == low // 8192])
        for low in range(0, N, 8192)
        if (draws.blocks == low // 8192).any()
    ]
    return {"gumbel": top, "sir": sir.collect(np.concatenate(rows))}


def same(a: Selection, b: Selection) -> bool:
    """Equal to the last bit."""
    keys = a.keys is b.keys is None or np.array_equal(a.keys, b.keys)
    return keys and all(np.array_equal(x, y) for x, y in zip((a[0], *a[2:]), (b[0], *b[2:]), strict=True))


@pytest.mark.parametrize("alpha", [1.0, 0.3, 0.0])
@pytest.mark.parametrize(("rows_per_shard", "num_tasks"), [(8192, 1), (8192, 3), (16384, 2), (65536, 4)])
def test_shards_and_tasks_do_not_matter(
    tmp_path: Path, log_w: np.ndarray, alpha: float, rows_per_shard: int, num_tasks: int
) -> None:
    table = write_weights(tmp_path, log_w, rows_per_shard)
    cuts = groups(range(table.layout.num_shards), num_tasks)
    seen = [look(table, alpha, K, SEED, cut) for cut in cuts]
    expected = whole(log_w, alpha)
    assert same(topk.finish(reduce(topk.merge, (part.top for part in reversed(seen)))), expected["gumbel"])
    draws = sir.allocate(np.concatenate([part.log_sums for part in seen]), K, SEED)
    found = np.concatenate([draw_in_shards(table, alpha, draws, cut) for cut in reversed(cuts)])
    assert same(sir.collect(found), expected["sir"])
    assert expected["sir"].multiplicity.sum() == K
    assert not np.isinf(log_w[found]).any()


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_same_on_the_cluster(tmp_path: Path, log_w: np.ndarray) -> None:
    table = write_weights(tmp_path, log_w, 8192)
    found = select(table, 0.7, K, SEED, num_tasks=3)
    expected = whole(log_w, 0.7)
    assert same(found["gumbel"], expected["gumbel"])
    assert same(found["sir"], expected["sir"])


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_names_its_sample(tmp_path: Path, log_w: np.ndarray, bad: float) -> None:
    broken = log_w.copy()
    broken[41_234] = bad
    with pytest.raises(NonFiniteError, match=r"NaN or .inf in sample id 41234;"):
        select(write_weights(tmp_path, broken, 16384), 1.0, K, SEED, num_tasks=2)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_more_rows_than_have_a_weight_are_refused(tmp_path: Path) -> None:
    few = np.full(9000, -np.inf, np.float32)
    few[:50] = 0
    table = write_weights(tmp_path, few, 8192)
    with pytest.raises(ConfigError, match=r"k = 51 rows .* only 50 rows have a positive weight"):
        select(table, 1.0, 51, SEED, num_tasks=2)
    assert np.array_equal(select(table, 1.0, 50, SEED, num_tasks=2)["gumbel"].sample_ids, np.arange(50))


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
