"""Selection at the far end of 10^10 rows, and gathering that stays balanced when hits are skewed."""

from pathlib import Path

import numpy as np
import pytest
from engine_toys import images, write_samples

from lfiw_ray.core import blocks, noise, sir, topk
from lfiw_ray.core.forms import Form
from lfiw_ray.core.selection import Selection
from lfiw_ray.engine import gather as stage
from lfiw_ray.engine.draw import runs
from lfiw_ray.engine.look import Pool, look, merge_all
from lfiw_ray.engine.wanted import Wanted
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table, groups
from lfiw_ray.store.tables import from_parquet, images_of, weights_parquet

N = 10_000_000_001
ROWS = 16_384


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """The last three shards of a pool of 10^10 + 1 rows."""
    table = Table(str(tmp_path), "far", Layout(N, ROWS))
    for shard in last_shards(table):
        ids = np.arange(*table.layout.bounds(shard))
        log_w = noise.generator(0, "test", shard).standard_normal(len(ids), np.float32)
        shards.commit(Folder(table.url), shard, "far", len(ids), weights_parquet(ids, log_w, log_w))
    return Pool(table, None)


def last_shards(table: Table) -> list[int]:
    return list(range(table.layout.num_shards - 3, table.layout.num_shards))


def test_ids_beyond_32_bits(pool: Pool) -> None:
    """Top-k and draws at the end of the pool, where ids need 34 bits and the last block is short."""
    some, first = last_shards(pool.weights), pool.weights.layout.bounds(last_shards(pool.weights)[0])[0]
    log_w = np.concatenate([pool.rows(shard, False)[1] for shard in some])
    asked = [Wanted(scheme, scheme, 50, 1, Form().apply, None, 1) for scheme in ("gumbel", "top_k")]
    a, b = look(pool, asked, some[:1]), look(pool, asked, some[1:])
    gumbel, heaviest = merge_all(asked, a, b)
    assert np.array_equal(gumbel.keys, topk.init(log_w, first, 50, 1).keys)
    assert np.array_equal(heaviest.sample_ids[:50], first + np.argsort(-log_w, kind="stable")[:50])
    assert gumbel.sample_ids.dtype == np.int64
    assert first > 2**33
    last_block = (N - 1) // blocks.WEIGHT_BLOCK
    draws = sir.Draws(np.full(3, last_block), np.array([0.0, 0.5, 0.999]))
    ((start, rows),) = runs(pool, asked[0], [last_block])
    assert (start, len(rows)) == (last_block * blocks.WEIGHT_BLOCK, N - last_block * blocks.WEIGHT_BLOCK)
    assert np.all((sir.draw_rows(rows, draws, start) >= start) & (sir.draw_rows(rows, draws, start) < N))


def test_a_task_keeps_only_what_reaches_the_bar(pool: Pool) -> None:
    one = Wanted("gumbel", "gumbel", 5000, 1, Form().apply, None, 1)
    (all_,), (few,) = (look(pool, [w], last_shards(pool.weights)) for w in (one, one._replace(bar=6.0)))
    assert (len(all_.keys), few.bar) == (5001, 6.0)
    assert np.array_equal(few.keys, all_.keys[all_.keys >= 6.0])
    assert 0 < len(few.keys) < 500


def test_noise_at_the_far_end_depends_on_the_id_alone() -> None:
    leading = noise.coarse(3, "gumbel", N - 40, N)
    assert np.array_equal(leading[-7:], noise.coarse(3, "gumbel", N - 7, N))
    u = noise.refined(3, "gumbel", np.arange(N - 40, N), leading)
    assert len(np.unique(u)) == 40


def test_gathering_is_balanced_when_hits_are_skewed(tmp_path: Path, monkeypatch) -> None:
    """All but one of the rows lie in one of three shards: tasks still write the same number of rows."""
    monkeypatch.setattr(stage, "ROWS_PER_FILE", 500)
    x = images(3 * 8192, 5)
    samples = write_samples(tmp_path, x, 8192)
    ids = np.append(np.arange(0, 7998, 2), 20_000)
    chosen = Selection(ids, None, np.ones(4000, np.int64), np.ones(4000))
    out = Table(str(tmp_path / "out"), "p", Layout(4000, 500))
    rows = []
    for files in groups(shards.pending(out), 4):
        stage._gather_files(samples, out, chosen, x.shape[1:], files)
        rows.append(sum(out.mark(file).rows for file in files))
    assert rows == [1000] * 4
    found = np.concatenate([images_of(from_parquet(out.read(file))) for file in range(8)])
    assert np.array_equal(found, x[ids])
