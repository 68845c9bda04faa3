"""Three folds, two members and both inputs, from the data to the weights, on Ray: any cut, any accident, same bytes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_toys import SHAPE, flip_bit, images

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.forms import Form
from lfiw_ray.engine import estimate, fill_pool, weights_gain
from lfiw_ray.engine.committee import CALIBRATION, tuning_log_w
from lfiw_ray.engine.features import build_extractor, gather_features
from lfiw_ray.engine.fit_classifier import fit_classifier
from lfiw_ray.engine.fit_domain import fit_domain
from lfiw_ray.engine.fit_generator import fit_generator
from lfiw_ray.engine.pool import Step
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.repair import repair
from lfiw_ray.engine.run import Real, Run, prepare
from lfiw_ray.errors import ConfigError, DataError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

POOL = 16_384 + 1000
PARTS = [f"fold-{fold}-member-{member}" for fold in range(3) for member in range(2)]
TRAIN = {"epochs": 2, "batch_size": 60, "num_workers": 0}


class Done(NamedTuple):
    """A run up to its weights."""

    run: Run
    real: Real
    figures: dict[str, Any]


def config_of(data: Path, url: Path, rows_per_shard: int) -> PipelineConfig:
    return PipelineConfig.model_validate(
        {
            "run": str(url),
            "data": {"name": "parquet", "path": str(data), "label_column": "label"},
            "generator": {"vae": {"latents": 2, "width": 2}, "train": TRAIN},
            "generate": {"num_samples": POOL, "rows_per_shard": rows_per_shard},
            "classifier": {"input": "both", "folds": 3, "members": 2, "width": 2, "train": TRAIN},
            "weights": {"num_tuning_rows": 301},
            "resample": {"k": 500},
            "evaluate": {"num_repeats": 2, "num_rows": 100, "extractor_epochs": 1},
        }
    )


def one_after_the_other(
    what: str,  # noqa: ARG001
    shards: Sequence[int],
    steps: Sequence[Step],
    weighed: object,  # noqa: ARG001
) -> dict[str, float]:
    """The steps of `run_shards` in this process."""
    for step in steps:
        worker = step.worker()
        for shard in shards:
            worker.run_shard(shard)
    return {}


def weighed(config: PipelineConfig) -> Done:
    """Train what is not trained yet, and fill the pool."""
    run, real = prepare(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fill_pool, "run_shards", one_after_the_other)
        fit_generator(run, real)
        fill_pool.fill_fit_samples(run)
        fit_domain(run, real)
        assert fill_pool.needs_training_rows(run)
        fill_pool.fill_training_rows(run, real)
        figures = fit_classifier(run, real)
        fit_classifier(run, real, "naive_classifier")
        fill_pool.fill_pool(run)
    return Done(run, real, figures)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 images of 8 x 8 with four classes."""
    path = tmp_path_factory.mktemp("data") / "data.parquet"
    rows = pa.FixedSizeBinaryArray.from_buffers(pa.binary(64), 1200, [None, pa.py_buffer(images(1200))])
    schema = pa.schema([("image", rows.type), ("label", pa.int64())], metadata={"shape": json.dumps(SHAPE)})
    pq.write_table(pa.Table.from_arrays([rows, pa.array(np.arange(1200) % 4)], schema=schema), path)
    return path


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return weighed(config_of(data, tmp_path_factory.mktemp("run"), 8192))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and "tfevents" not in p.name
    }


def test_each_classifier_and_each_table_has_its_folder(done: Done) -> None:
    folder = Path(done.run.url)
    assert sorted(p.name for p in (folder / "classifier").iterdir() if p.is_dir()) == PARTS
    for name in ("features/samples", "features/fit_samples", "samples", "weights", "fit_samples"):
        assert list((folder / name).glob("*.parquet"))
    fit = done.run.fit_rows  # the naive classifier is trained outside the pool
    assert done.run.table("fit_samples").layout.num_rows == fit.train + fit.held_out + 301
    body = json.loads((folder / "classifier" / CALIBRATION).read_text())
    assert [c["name"] for c in body["classifiers"]] == PARTS
    assert body["after"] == done.figures
    assert {"calibration", "candidates", "before", "after", "log_prior_odds", "warnings"} <= body.keys()
    assert (folder / "classifier" / "history.json").is_file()
    weights = {(folder / "classifier" / part / "model.safetensors").read_bytes() for part in PARTS}
    assert len(weights) == len(PARTS)
    log_w = read_log_w(done.run.table("weights"), 0, POOL)
    assert np.isfinite(log_w).all()
    assert log_w.std() > 0
    assert tuning_log_w(done.run).shape == (301,)


def test_the_tables_of_features_are_what_extraction_gives(done: Done) -> None:
    ids = np.array([0, 5000, 9000, POOL - 1])
    found = gather_features(done.run.table("features/samples"), ids)
    wanted = build_extractor(done.run, "domain").extract(gather_images(done.run.table("samples"), ids))
    assert np.array_equal(found.features, wanted.features)
    assert np.array_equal(found.probabilities, wanted.probabilities)


def test_wider_shards_give_the_same_weights(done: Done, data: Path, tmp_path: Path) -> None:
    for stage in ("generator", "domain"):
        shutil.copytree(done.run.folder(stage).url, tmp_path / stage)
    wide = weighed(config_of(data, tmp_path, 16_384))
    assert wide.figures == done.figures
    log_w = [read_log_w(found.run.table("weights"), 0, POOL) for found in (done, wide)]
    assert np.array_equal(*log_w)
    assert np.array_equal(tuning_log_w(wide.run), tuning_log_w(done.run))


def test_a_run_resumes_with_the_first_classifier_that_is_not_finished(done: Done, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(done.run.url, folder)
    whole, part = contents(folder), folder / "classifier" / PARTS[3]
    shutil.rmtree(part)
    (folder / "classifier" / "done.json").unlink()
    run = done.run._replace(url=str(folder))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert fit_classifier(run, done.real) == done.figures
    touched = {path for path in before if path.stat().st_mtime_ns != before[path]}
    assert {path.parent.name for path in touched} <= {"classifier"}
    assert contents(folder) == whole


def test_repair_knows_the_tables_of_features_and_each_classifier(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(done.run.url, folder)
    run = done.run._replace(url=str(folder))
    assert repair(run) == []
    whole = contents(folder)
    flip_bit(folder / "features" / "samples" / "00001.parquet", 20_000)
    flip_bit(folder / "features" / "fit_samples" / "00000.parquet", 2000)
    flip_bit(folder / "features" / "real" / "classifier.parquet", 2000)
    flip_bit(folder / "classifier" / PARTS[2] / "model.safetensors", 900)
    lines = [line.split(": ")[0] for line in repair(run)]
    assert lines == ["features/fit_samples/00000", "features/samples/00001", "features/real", f"classifier/{PARTS[2]}"]
    assert not (folder / "classifier" / "done.json").exists()
    monkeypatch.setattr(fill_pool, "run_shards", one_after_the_other)
    fill_pool.fill_training_rows(run, done.real)
    fit_classifier(run, done.real)
    fill_pool.fill_pool(run)
    assert contents(folder) == whole


def test_four_kinds_of_actors_stream_the_same_bytes(done: Done, tmp_path: Path) -> None:
    """Generate, extract, score and score naively, at once: one actor each fill two CPUs."""
    folder = tmp_path / "run"
    shutil.copytree(done.run.url, folder)
    whole = contents(folder)
    for name in done.run.pool_tables:
        shutil.rmtree(folder / name)
    totals = fill_pool.fill_pool(done.run._replace(url=str(folder)))
    assert {totals[f"{step}_rows"] for step in ("generate", "extract", "score", "naive")} == {POOL}
    assert contents(folder) == whole


def test_the_estimate_names_tables_and_classifiers(data: Path, tmp_path: Path) -> None:
    run, _ = prepare(config_of(data, tmp_path / "none", 8192))
    lines = estimate.describe(run)
    text = "\n".join(lines)
    for words in ("features/samples", "6 classifiers", "MB features", "time         extract", "time         score"):
        assert words in text
    assert not (tmp_path / "none").exists()


def test_real_rows_are_weighed_by_the_fold_of_their_turn(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    x, committee = done.real.x("evaluation"), weights_gain.committee_of(done.run)
    found = weights_gain.real_log_w(done.run, x)
    assert found.shape == (len(x),)
    assert found.std() > 0
    monkeypatch.setattr(weights_gain, "committee_of", lambda _: (committee[1],) * 3)
    alike = weights_gain.real_log_w(done.run, x) == found
    assert alike[1::3].all()
    assert not alike[::3].all()  # single rows may share their odds
    assert not alike[2::3].all()


def test_the_gain_of_the_weights_in_nats(done: Done) -> None:
    """The pool is smaller than what is read of one: all its weights count."""
    real, pool = (
        weights_gain.real_log_w(done.run, done.real.x("evaluation")),
        read_log_w(done.run.table("weights"), 0, POOL),
    )
    for alpha in (1.0, 0.5):
        found = weights_gain.weights_gain(done.run, done.real, Form(alpha))
        assert found is not None
        assert found["value"] == pytest.approx(alpha * real.mean() - np.log(np.exp(alpha * pool.astype(float)).mean()))
        assert (found["alpha"], found["num_real_rows"], found["num_pool_rows"]) == (alpha, len(real), POOL)
        assert 0 < found["se"] < 1


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        ({"infinity": True, "num_rows": 99}, r"evaluate\.infinity: 99 rows cannot be extrapolated from, at least 100"),
        ({"num_kid_subsets": 1}, r"evaluate\.kid_subset_size: subsets of 1000 rows of sets of 100; use fewer"),
        ({"reference": "test"}, r"evaluate\.reference: .* set data\.test_rows = apart"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_before_any_work(
    data: Path, tmp_path: Path, evaluate: dict[str, Any], message: str
) -> None:
    config = config_of(data, tmp_path, 8192)
    with pytest.raises(ConfigError, match=message):
        prepare(config.model_copy(update={"evaluate": config.evaluate.model_copy(update=evaluate)}))


def test_moments_of_others_that_are_torn_are_refused_before_any_work(data: Path, tmp_path: Path) -> None:
    (tmp_path / "m.npz").write_bytes(b"PK")
    config = config_of(data, tmp_path, 8192)
    evaluate = config.evaluate.model_copy(update={"reference_npz": {"domain": str(tmp_path / "m.npz")}})
    with pytest.raises(DataError, match=r"m\.npz: not a whole \.npz file"):
        prepare(config.model_copy(update={"evaluate": evaluate}))


def test_more_folds_than_blocks_are_refused(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path, 8192)
    many = config.model_copy(update={"classifier": config.classifier.model_copy(update={"folds": 17})})
    with pytest.raises(ConfigError, match=r"classifier.folds: 17 folds .* need 17408 samples"):
        prepare(many)
