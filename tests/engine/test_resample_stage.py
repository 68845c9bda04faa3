"""Selection over shards and tasks equals selection from weights at hand, for every scheme, to the last bit."""

from pathlib import Path

import numpy as np
import pytest
from engine_toys import flip_bit, write_labelled_samples, write_weights

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core import rivals, sir, topk
from lfiw_ray.core.blocks import block_stats
from lfiw_ray.core.forms import Form
from lfiw_ray.core.selection import Selection, joined
from lfiw_ray.engine import resample as stage
from lfiw_ray.engine.look import Pool
from lfiw_ray.engine.resample import select
from lfiw_ray.engine.wanted import FRESH, RANKED, REJECTED, REPLACED, Wanted, even_budgets
from lfiw_ray.errors import ConfigError, NonFiniteError, ShardError
from lfiw_ray.store.shards import Table

N, K, SEED = 60_000, 700, 11
SCHEMES = [*RANKED, *REPLACED, *FRESH, *REJECTED]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def log_w() -> np.ndarray:
    """(N,) float32, a tenth of them weight zero, one block without any weight."""
    rng = np.random.default_rng(0)
    log_w = rng.normal(0, 1.5, N).astype(np.float32)
    log_w[rng.random(N) < 0.1] = -np.inf
    log_w[16384 : 2 * 8192 + 8192] = -np.inf
    log_w[::85] = 0.1  # so that every group of candidates has a weight
    return log_w


def wanted(scheme: str, alpha: float = 1.0, k: int = K, **others: object) -> Wanted:
    form = Form(alpha).apply
    return Wanted(scheme, scheme, k, SEED, form, None, N // max(k, 1))._replace(**others)  # type: ignore[arg-type]


def at_hand(one: Wanted, log_w: np.ndarray) -> Selection:
    """The same by the core's functions on one array."""
    used = one.form(log_w)
    if one.scheme == "gumbel":
        return topk.finish(topk.init(used, 0, one.k, one.seed))
    if one.scheme in REPLACED:
        return sir.resample(used, one.k, one.seed, REPLACED[one.scheme])
    return rivals.select(one.scheme, used, 0, one.k, one.seed)


def same(a: Selection, b: Selection) -> bool:
    """Equal to the last bit."""
    keys = a.keys is b.keys is None or np.array_equal(a.keys, b.keys)  # type: ignore[arg-type]
    return keys and all(np.array_equal(x, y) for x, y in zip((a[0], *a[2:]), (b[0], *b[2:]), strict=True))


@pytest.mark.parametrize(("rows_per_shard", "num_tasks"), [(8192, 1), (8192, 3), (16384, 2), (65536, 4)])
def test_shards_and_tasks_do_not_matter(tmp_path: Path, log_w: np.ndarray, rows_per_shard: int, num_tasks: int) -> None:
    """All schemes in one pass, at two exponents."""
    pool = Pool(write_weights(tmp_path, log_w, rows_per_shard), None)
    asked = [wanted(scheme, alpha, name=f"{scheme}-{alpha}") for alpha in (1.0, 0.3) for scheme in SCHEMES]
    found = select(pool, asked, num_tasks)
    assert list(found) == [one.name for one in asked]
    for one in asked:
        assert same(found[one.name], at_hand(one, log_w)), one.name
        assert found[one.name].multiplicity.sum() == K
        assert not np.isinf(log_w[found[one.name].sample_ids]).any()


def test_several_seeds_and_sizes_in_one_pass(tmp_path: Path, log_w: np.ndarray) -> None:
    """Budgets of one seed are nested, seeds differ."""
    pool = Pool(write_weights(tmp_path, log_w, 8192), None)
    asked = [wanted("gumbel", k=k, seed=seed, name=f"{k}/{seed}") for k in (10, 1000) for seed in (1, 2)]
    found = select(pool, asked, 2)
    assert set(found["10/1"].sample_ids) < set(found["1000/1"].sample_ids)
    assert set(found["10/1"].sample_ids) != set(found["10/2"].sample_ids)
    assert [len(one.sample_ids) for one in found.values()] == [10, 10, 1000, 1000]


@pytest.mark.parametrize("scheme", ["gumbel", "sir", "residual"])
def test_a_bar_that_misleads_changes_nothing(tmp_path: Path, log_w: np.ndarray, scheme: str, monkeypatch) -> None:
    monkeypatch.setattr(stage, "guess_bar", lambda *_: 50.0)
    pool = Pool(write_weights(tmp_path, log_w, 8192), None)
    assert same(select(pool, [wanted(scheme)], 2)[scheme], at_hand(wanted(scheme), log_w))


@pytest.mark.parametrize("scheme", ["gumbel", "systematic", "residual", "top_k"])
def test_budgets_per_class(tmp_path: Path, log_w: np.ndarray, scheme: str) -> None:
    """Each class gets its share, selected as if the others were not there."""
    labels = np.random.default_rng(2).integers(0, 3, N) * 5
    pool = Pool(write_weights(tmp_path, log_w, 16384), write_labelled_samples(tmp_path, labels, 16384))
    parts = [wanted(scheme, k=k, label=label) for label, k in even_budgets(K, [0, 5, 10]).items()]
    found = select(pool, parts, 2)[scheme]
    alone = [at_hand(one, np.where(labels == one.label, log_w, np.float32(-np.inf))) for one in parts]
    assert same(found, joined(alone))
    drawn = np.bincount(labels[found.sample_ids], weights=found.multiplicity, minlength=11)
    assert drawn[[0, 5, 10]].tolist() == [234, 233, 233]
    assert np.all(np.diff(found.sample_ids) > 0)


def test_budgets_per_class_need_labels(tmp_path: Path, log_w: np.ndarray) -> None:
    samples = write_weights(tmp_path / "other", log_w, 16384)
    pool = Pool(write_weights(tmp_path, log_w, 16384), samples)
    with pytest.raises(ConfigError, match=r"resample.per_class: .* has no column `label`"):
        select(pool, [wanted("gumbel", label=3)], 2)


@pytest.mark.parametrize("scheme", ["sir", "systematic", "stratified", "residual"])
def test_only_blocks_that_are_hit_are_read(tmp_path: Path, log_w: np.ndarray, scheme: str) -> None:
    """With the sums of the blocks known, damage in blocks that were not hit goes unnoticed, in others not."""
    table = write_weights(tmp_path, log_w, 65536)
    one = wanted(scheme, k=2, sums="diagnostics")
    expected = at_hand(one, log_w)
    hit = np.unique(expected.sample_ids // 8192)
    other = next(block for block in range(7) if block not in hit)
    spoil(table, other)
    stats = block_stats(log_w, 0)
    assert same(select(Pool(table, None), [one], 2, kept=stats)[scheme], expected)
    spoil(table, int(hit[0]))
    with pytest.raises(ShardError, match=r"00000.parquet cannot be read .*--repair"):
        select(Pool(table, None), [one], 2, kept=stats)


@pytest.mark.parametrize("scheme", ["sir", "residual"])
def test_sums_in_the_marks_are_as_good(tmp_path: Path, log_w: np.ndarray, scheme: str) -> None:
    table = write_weights(tmp_path, log_w, 8192)
    one = wanted(scheme, sums="marks")
    assert same(select(Pool(table, None), [one], 2)[scheme], at_hand(one, log_w))
    (Path(table.url) / "00003.json").unlink()
    with pytest.raises(ShardError, match=r"00003.parquet is not committed"):
        select(Pool(table, None), [one], 2)


def spoil(table: Table, block: int) -> None:
    """Flip a bit of a block's log weights in the only shard."""
    import pyarrow.parquet as pq

    path = Path(table.url) / "00000.parquet"
    column = pq.ParquetFile(path).metadata.row_group(block).column(2)
    flip_bit(path, column.data_page_offset + column.total_compressed_size // 2)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_names_its_sample(
    tmp_path: Path, log_w: np.ndarray, bad: float, scheme: str
) -> None:
    broken = log_w.copy()
    broken[41_234] = bad
    with pytest.raises(NonFiniteError, match=r"NaN or .inf in sample id 41234;"):
        select(Pool(write_weights(tmp_path, broken, 16384), None), [wanted(scheme)], 2)


def test_more_rows_than_have_a_weight_are_refused(tmp_path: Path) -> None:
    few = np.full(9000, -np.inf, np.float32)
    few[:50] = 0
    pool = Pool(write_weights(tmp_path, few, 8192), None)
    with pytest.raises(ConfigError, match=r"k = 51 rows .* only 50 rows have a positive weight"):
        select(pool, [wanted("gumbel", k=51)], 2)
    assert np.array_equal(select(pool, [wanted("gumbel", k=50)], 2)["gumbel"].sample_ids, np.arange(50))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_asked_for(tmp_path: Path, log_w: np.ndarray, scheme: str) -> None:
    pool = Pool(write_weights(tmp_path, log_w, 65536), None)
    assert len(select(pool, [wanted(scheme, k=0)], 2)[scheme].sample_ids) == 0


def test_even_budgets() -> None:
    assert even_budgets(7, [3, 4, 9]) == {3: 3, 4: 2, 9: 2}
    assert even_budgets(1, [3, 4]) == {3: 1, 4: 0}


def test_selections_of_the_same_name_are_refused() -> None:
    more = [{"scheme": "gumbel", "k": 10}, {"scheme": "gumbel", "k": 10}]
    with pytest.raises(ValueError, match="asked for twice: gumbel-k10"):
        PipelineConfig.model_validate({"resample": {"more": more}})
