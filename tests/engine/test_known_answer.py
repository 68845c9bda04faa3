"""From scored samples to the evaluation, where the answer is known; then damage, and its repair.

Two kinds of images, bright on the left or on the right.  Real rows are half and half, the generator makes 80 % left,
so the true weights are 0.5 / 0.8 and 0.5 / 0.2.
"""

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
from engine_toys import flip_bit

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core import frechet, moments
from lfiw_ray.core.digest import digest
from lfiw_ray.core.forms import Form
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.data.splits import split
from lfiw_ray.engine.evaluate import evaluate
from lfiw_ray.engine.extremes import extremes
from lfiw_ray.engine.gather import gather
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.resample import resample
from lfiw_ray.engine.run import FitRows, Real, Run
from lfiw_ray.models import extractors
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.tables import images_of, samples_table, to_parquet, weights_table

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

POOL, K = 49_152, 20_000
SHARE_OF_RIGHT = 0.2


def two_kinds(right: np.ndarray, seed: int) -> np.ndarray:
    """(N, 8, 8, 1) uint8: bright on the right where `right` is true, else on the left."""
    x = np.random.default_rng(seed).integers(0, 120, (len(right), 8, 8, 1))
    x[~right, :, :4] += 120
    x[right, :, 4:] += 120
    return x.astype(np.uint8)


def is_right(x: np.ndarray) -> np.ndarray:
    """The kind of each image; the two differ by more than any noise."""
    return x[:, :, 4:].mean(axis=(1, 2, 3)) > x[:, :, :4].mean(axis=(1, 2, 3))


class Known(NamedTuple):
    """A run up to its weights."""

    run: Run
    real: Real
    right: np.ndarray
    x: np.ndarray


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    url = str(tmp_path_factory.mktemp("known"))
    config = PipelineConfig.model_validate(
        {
            "run": url,
            "generate": {"num_samples": POOL, "rows_per_shard": 8192},
            "resample": {"k": K},
            "evaluate": {
                "extractors": ["random"],
                "num_repeats": 3,
                "num_rows": 1000,
                "naive": False,
                "whole_pool": True,
                "infinity": True,
                "num_kid_subsets": 2,
                "kid_subset_size": 100,
            },
        }
    )
    y = np.arange(4000) % 2
    data = ImageData(two_kinds(y == 1, 1), y, "known", None)
    splits = split(4000, config.data, 0, y)
    run = Run(config, url, stage_plans(config, digest("known")), (8, 8, 1), FitRows(1, 1, 1), 1, len(splits.evaluation))
    right = np.random.default_rng(2).random(POOL) < SHARE_OF_RIGHT
    x = two_kinds(right, 3)
    write_pool(run, x, np.where(right, math.log(0.5 / 0.2), math.log(0.5 / 0.8)).astype(np.float32))
    return Known(run, Real(data, splits), right, x)


def write_pool(run: Run, x: np.ndarray, log_w: np.ndarray) -> None:
    samples, weights = run.table("samples"), run.table("weights")
    for shard in range(samples.layout.num_shards):
        start, stop = samples.layout.bounds(shard)
        ids, rows = np.arange(start, stop), slice(start, stop)
        for table, body in (
            (samples, samples_table(ids, x[rows])),
            (weights, weights_table(ids, log_w[rows], log_w[rows])),
        ):
            shards.commit(Folder(table.url), shard, table.plan, stop - start, to_parquet(body))


@pytest.fixture(scope="module")
def resampled(known: Known) -> dict[str, Any]:
    """The gathered rows of both schemes, as one table each."""
    sizes = resample(known.run, Form().apply)
    files = gather(known.run)
    assert {name: size["rows"] for name, size in sizes.items()} == {name: f["rows"] for name, f in files.items()}
    return {
        name: pq.read_table(sorted(Path(known.run.url, "resampled", name).glob("*.parquet")))
        for name in ("sir", "gumbel")
    }


def test_the_resampled_shares_are_the_real_ones(resampled: dict[str, Any]) -> None:
    """Half and half within 4.5 standard errors (false alarm: 7 in a million each).

    Of the pool: its share p of right ones is off by sqrt(p (1 - p) / N), and half moves by (1/2) (1/2) / (p (1 - p))
    times as much.  Of the draws: sqrt(1/4 / k), which bounds the Horvitz-Thompson set's, drawn without replacement.
    """
    p = SHARE_OF_RIGHT
    se = math.hypot(math.sqrt(p * (1 - p) / POOL) * 0.25 / (p * (1 - p)), math.sqrt(0.25 / K))
    for scheme, column in (("sir", "multiplicity"), ("gumbel", "weight")):
        table = resampled[scheme]
        weight = table.column(column).to_numpy()
        assert weight.sum() == pytest.approx(K)
        share = weight[is_right(images_of(table))].sum() / K
        assert abs(share - 0.5) / se < 4.5, (scheme, share)
    # Without its weights the top-k at k / N = 0.4 stays between pool and target: 0.38 by its inclusion probabilities.
    assert is_right(images_of(resampled["gumbel"])).mean() == pytest.approx(0.383, abs=0.02)


def test_gathered_images_are_those_of_their_ids(known: Known, resampled: dict[str, Any]) -> None:
    for table in resampled.values():
        ids = table.column("sample_id").to_numpy()
        assert (np.diff(ids) > 0).all()
        assert np.array_equal(images_of(table), known.x[ids])
    assert resampled["gumbel"].num_rows == K


def test_the_evaluation_sees_the_gain(known: Known) -> None:
    """Raw samples are far from the real rows, resampled and weighted ones are as near as other real rows."""
    found = evaluate(known.run, known.real, Form())
    space = found["extractors"]["random"]
    fid = {arm: figures["fid"]["mean"] for arm, figures in space["arms"].items()}
    assert found["improvement"]["random"]["difference"]["z"] > 10
    for arm in ("sir", "weighted", "gumbel_ht", "sir_naive", "pool", "mh", "drs", "obrs"):
        assert fid[arm] < 0.1 * fid["raw"], arm
    assert min(fid["top_k"], fid["reversed"]) > 0.3 * fid["raw"]  # rows of one kind only
    assert fid["uniform"] == pytest.approx(fid["raw"], rel=0.2)
    assert list(found["arms"]) == space["arm_order"] == list(fid)
    assert {figures["distinct"]["mean"] for arm, figures in space["arms"].items() if "gumbel" in arm} == {1000.0}
    assert space["arms"]["sir"]["distinct"]["mean"] < 1000
    assert space["arms"]["weighted"]["ess"]["mean"] < 1000
    assert (found["num_rows"], found["pool_rows"], found["class_histograms"]) == (1000, POOL // 3, {})
    assert evaluate(known.run, known.real, Form(0.5)) == found  # it is done: nothing is measured again


def test_what_stands_beside_the_numbers(known: Known) -> None:
    found = evaluate(known.run, known.real, Form())
    space = found["extractors"]["random"]
    for arm, figures in space["arms"].items():
        assert (figures["num_rows"], figures["extractor"]) == (1000, "random"), arm
        assert figures["weights_sha256"] == extractors.random((8, 8, 1)).weights_sha256
        assert figures["rank_deficient"] == (min(figures["ess"]["values"]) <= space["num_features"]), arm
        for name in ("fid", "kid", "kid_subsets", "fid_infinity", "c2st_accuracy", "kl_reduction_bins_nats"):
            assert figures[name]["low"] <= figures[name]["mean"] <= figures[name]["high"], (arm, name)
            assert len(figures[name]["values"]) == 3
    assert found["kl_reduction_nats"] is None  # these weights are not a classifier's


def test_the_other_metrics_see_the_gain(known: Known) -> None:
    arms = evaluate(known.run, known.real, Form())["extractors"]["random"]["arms"]
    mean = {
        arm: {name: f["mean"] for name, f in figures.items() if isinstance(f, dict)} for arm, figures in arms.items()
    }
    for arm in ("sir", "weighted", "gumbel_ht"):
        assert mean[arm]["fid_infinity"] < 0.1 * mean["raw"]["fid_infinity"], arm
        assert mean[arm]["kid_subsets"] < 0.1 * mean["raw"]["kid_subsets"], arm
        # half of 0.8 and of 0.5 are called right by whether they are bright on the left
        assert mean["raw"]["c2st_accuracy"] == pytest.approx(0.65, abs=0.05)
        assert mean[arm]["c2st_accuracy"] < 0.56
        # the divergence of (1/2, 1/2) from (0.8, 0.2) is 0.223 nats; smoothed bins see a little less
        assert 0.15 < mean[arm]["kl_reduction_bins_nats"] < 0.26, arm
    assert mean["raw"]["kl_reduction_bins_nats"] == 0.0
    assert mean["reversed"]["kl_reduction_bins_nats"] < -0.1


def test_the_whole_pool_is_one_set(known: Known) -> None:
    found = evaluate(known.run, known.real, Form())["whole_pool"]["random"]
    extractor, log_w = extractors.random((8, 8, 1)), np.where(known.right, math.log(2.5), math.log(0.625))
    real, pool = (extractor.extract(x).features for x in (known.real.x("evaluation"), known.x))
    for side, used in (("raw", None), ("weighted", log_w)):
        direct = frechet.distance(moments.of(real), moments.of(pool, used))
        assert found[side]["fid"] == pytest.approx(direct, rel=1e-6)
        assert found[side]["num_rows"] == POOL
    w = np.exp(log_w)
    assert found["weighted"]["ess"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-6)
    with np.load(Path(known.run.url, "evaluation", "reference-random.npz"), allow_pickle=False) as kept:
        assert np.allclose(kept["mu"], real.mean(axis=0, dtype=np.float64))
        assert np.allclose(kept["sigma"], np.cov(real.astype(np.float64), rowvar=False))


def test_what_is_damaged_in_an_evaluation_is_made_again(known: Known, tmp_path: Path) -> None:
    """The same bytes, of the reference's moments, the features, the rows of the arms and the sums of the pool."""
    evaluate(known.run, known.real, Form())
    folder = tmp_path / "run"
    shutil.copytree(known.run.url, folder)
    run, whole = known.run._replace(url=str(folder)), contents(known)
    damaged = {
        "evaluation": "evaluation/reference-random.npz",
        "embedded/random/real/00000": "embedded/random/real/00000.parquet",
        "embedded/random/pool/00001": "embedded/random/pool/00001.parquet",
        "evaluation_rows/00002": "evaluation_rows/00002.parquet",
        "whole_pool/random/00000": "whole_pool/random/00000.parquet",
    }
    for path in damaged.values():
        flip_bit(folder / path, 2000)
    assert {line.split(":")[0] for line in repair(run)} == set(damaged)
    found = evaluate(run, known.real, Form())
    assert found == evaluate(known.run, known.real, Form())
    for path in (*damaged.values(), "evaluation/results.json"):
        assert (folder / path).read_bytes() == whole[path], path


def test_the_heaviest_and_the_lightest_rows(known: Known) -> None:
    found = extremes(known.run, 5)
    assert np.array_equal(found.top_ids, np.flatnonzero(known.right)[:5])
    assert np.array_equal(found.low_ids, np.flatnonzero(~known.right)[:5])
    assert is_right(gather_images(known.run.table("samples"), found.top_ids)).all()


def contents(known: Known) -> dict[str, bytes]:
    folder = Path(known.run.url)
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.usefixtures("resampled")
def test_repair_finds_exactly_what_was_damaged(known: Known) -> None:
    assert repair(known.run) == []
    whole, folder = contents(known), Path(known.run.url)
    flip_bit(folder / "samples" / "00003.parquet", 20_000)
    flip_bit(folder / "weights" / "00001.json", 30)
    flip_bit(folder / "resampled" / "sir" / "00000.parquet", 20_000)
    flip_bit(folder / "selection" / "gumbel.parquet", 1000)
    lines = repair(known.run)
    assert [line.split(":")[0] for line in lines] == ["samples/00003", "weights/00001", "selection"]
    left = contents(known)
    gone = {"samples/00003.parquet", "samples/00003.json", "weights/00001.parquet", "weights/00001.json"}
    assert whole.keys() - left.keys() == gone | {"selection/done.json"}


@pytest.mark.usefixtures("resampled")
def test_a_damaged_gathered_file_is_made_again(known: Known) -> None:
    """After the other damage was mended: the selection is made again, and then vouches for the gathered rows."""
    write_pool(known.run, known.x, np.where(known.right, math.log(0.5 / 0.2), math.log(0.5 / 0.8)).astype(np.float32))
    resample(known.run, Form().apply)
    lines = repair(known.run)
    assert [line.split(":")[0] for line in lines] == ["resampled/sir/00000"]
    before = contents(known)
    assert "resampled/done.json" not in before
    gather(known.run)
    assert repair(known.run) == []
    after = contents(known)
    made = {"resampled/sir/00000.parquet", "resampled/sir/00000.json", "resampled/done.json"}
    assert after.keys() - before.keys() == made
    assert all(after[name] == before[name] for name in before)
    table = pq.read_table(Path(known.run.url, "resampled", "sir", "00000.parquet"))
    assert np.array_equal(images_of(table), known.x[table.column("sample_id").to_numpy()])
