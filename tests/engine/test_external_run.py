"""Runs with a generator made elsewhere: its mistakes, resuming after them, and a folder of samples as the pool."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import user_generators
from engine_toys import write_labelled_samples, write_samples
from user_generators import SIDE, Told, pixels

from lfiw_ray.config import PipelineConfig
from lfiw_ray.engine.classifier_rows import generated_rows
from lfiw_ray.engine.estimate import describe
from lfiw_ray.engine.external import Source
from lfiw_ray.engine.fill_pool import fill_fit_samples, fill_samples
from lfiw_ray.engine.fit_generator import fit_generator
from lfiw_ray.engine.generate import GenerateWorker
from lfiw_ray.engine.read import gather_images, shard_labels
from lfiw_ray.engine.run import Run, prepare
from lfiw_ray.errors import ConfigError, GeneratorError
from lfiw_ray.models.external_import import table_seed
from lfiw_ray.store.shards import pending

SHAPE = (SIDE, SIDE, 1)
TUNING = 300


def config_of(folder: Path, model: str, external: dict[str, Any], **sections: Any) -> PipelineConfig:
    """A run on 200 real images of 4 x 4."""
    x = np.random.default_rng(0).integers(0, 256, (200, SIDE * SIDE)).astype(np.uint8)
    rows = pa.array([row.tobytes() for row in x], pa.binary(SIDE * SIDE))
    table = pa.table({"image": rows}).replace_schema_metadata({"shape": json.dumps(list(SHAPE))})
    pq.write_table(table, folder / "real.parquet")
    usual: dict[str, Any] = {
        "run": str(folder / "run"),
        "data": {"name": "parquet", "path": str(folder / "real.parquet")},
        "generator": {"model": model, "external": external},
        "generate": {"num_samples": 75_000, "rows_per_shard": 8192},
        "classifier": {"folds": 3},
        "weights": {"num_tuning_rows": TUNING},
        "resample": {"k": 10},
        "evaluate": {"naive": False, "num_rows": 20, "extractors": ["random"]},
    }
    return PipelineConfig.model_validate(usual | sections)


def opened(config: PipelineConfig) -> Run:
    """A run with its generator's stage done."""
    run, real = prepare(config)
    fit_generator(run, real)
    return run


def worker(run: Run, stage: str = "samples") -> GenerateWorker:
    config, outside = run.config, run.table("fit_samples").layout.num_rows
    source = Source(config.generator.external, outside)
    return GenerateWorker(run.folder("generator").url, run.table(stage), stage, config.seed, 1024, "cpu", source)


def imported(name: str) -> dict[str, Any]:
    return {"path": f"user_generators:{name}", "allowed": ["user_generators"]}


MISTAKES = {
    "raise": r"failed for sample ids 69632\.\.70655 \(.* run again\): ValueError: no idea for this one",
    "floats": r"gave float32 of shape \(1024, 4, 4, 1\) for sample ids 69632\.\.70655, \(1024, 4, 4, 1\) uint8",
    "count": r"gave uint8 of shape \(1023, 4, 4, 1\) for sample ids 69632\.\.70655, \(1024, 4, 4, 1\) uint8",
    "shape": r"gave uint8 of shape \(1024, 3, 4, 1\) for sample ids 69632\.\.70655, \(1024, 4, 4, 1\) uint8 is needed",
    "list": r"gave a list for sample ids 69632\.\.70655, \(1024, 4, 4, 1\) uint8 is needed",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_at_sample_70000_names_its_ids_and_costs_nothing_but_its_shard(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "note"
    note.write_text(mistake)
    monkeypatch.setattr(user_generators, "told", Told(note), raising=False)
    run = opened(config_of(tmp_path, "import", imported("told")))
    table = run.table("samples")
    for shard in range(8):
        worker(run).run_shard(shard)
    before = {path: path.stat().st_mtime_ns for path in Path(table.url).iterdir()}
    with pytest.raises(GeneratorError, match=MISTAKES[mistake]) as caught:
        worker(run).run_shard(8)
    assert isinstance(caught.value.__cause__, ValueError) == (mistake == "raise")
    assert pending(table) == [8, 9]
    note.write_text("")
    for shard in range(10):
        worker(run).run_shard(shard)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    ids = np.arange(75_000)
    assert np.array_equal(gather_images(table, ids), pixels(ids, table_seed(0, "samples")))


def test_images_of_another_shape_than_the_real_ones_are_refused_at_once(tmp_path: Path) -> None:
    external = imported("Sound")
    run = opened(config_of(tmp_path, "import", external))._replace(image_shape=(8, 8, 1), url=str(tmp_path / "other"))
    fit_generator(run, None)  # type: ignore[arg-type]
    with pytest.raises(GeneratorError, match=r"for sample ids 0\.\.1023, \(1024, 8, 8, 1\) uint8 is needed"):
        worker(run).run_shard(0)


def test_an_import_that_is_not_allowed_ends_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"generator\.external\.allowed \(\[\]\) does not name it"):
        prepare(config_of(tmp_path, "import", {"path": "user_generators:Sound"}))
    with pytest.raises(ConfigError, match=r"external\.path: needed for a generator made elsewhere"):
        prepare(config_of(tmp_path, "import", {}))


def test_an_edited_module_is_another_plan_unless_its_version_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    plans = {}
    for text in ("made = 1", "made = 2"):
        (tmp_path / "edited.py").write_text(text)
        for version in (None, "v1", "v2"):
            external = {"path": "edited:made", "allowed": ["edited"], "version": version}
            plans[text, version] = prepare(config_of(tmp_path, "import", external))[0].plans["samples"]
    assert plans["made = 1", "v1"] == plans["made = 2", "v1"]
    assert len(set(plans.values())) == 4


def test_a_file_travels_with_the_run(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 4, 4)))
    rows = torch.export.Dim("rows", min=1, max=4096)
    program = torch.export.export(module, (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, tmp_path / "net.pt2")
    config = config_of(tmp_path, "torchscript", {"path": str(tmp_path / "net.pt2"), "latents": 3})
    run = opened(config)
    (tmp_path / "net.pt2").rename(tmp_path / "moved.pt2")
    worker(run).run_shard(9)
    x = gather_images(run.table("samples"), np.arange(9 * 8192, 75_000))
    assert len(np.unique(x.reshape(len(x), -1), axis=0)) > 0.99 * len(x)
    moved = config_of(tmp_path, "torchscript", {"path": str(tmp_path / "moved.pt2"), "latents": 3})
    assert prepare(moved)[0].plans == run.plans
    with pytest.raises(ConfigError, match=r"external\.latents: needed for a file generator"):
        prepare(config_of(tmp_path, "torchscript", {"path": str(tmp_path / "moved.pt2")}))


def folder_config(tmp_path: Path, num_samples: int = 19_700, **sections: Any) -> PipelineConfig:
    """20,000 ready samples of which 300 are set aside."""
    ready = tmp_path / "ready"
    if not ready.exists():
        write_samples(ready, pixels(np.arange(20_000), 0), 8192)
    external = {"path": str(ready)}
    return config_of(
        tmp_path, "folder", external, **{"generate": {"num_samples": num_samples, "rows_per_shard": 8192}, **sections}
    )


def rows_in(run: Run, stage: str) -> np.ndarray:
    """Which rows of the folder a table holds."""
    for shard in range(run.table(stage).layout.num_shards):
        worker(run, stage).run_shard(shard)
    x = gather_images(run.table(stage), np.arange(run.table(stage).layout.num_rows))
    rows: np.ndarray = np.ascontiguousarray(x[:, 0, :, 0]).view("<u4")[:, 0].astype(np.int64)
    return rows


@pytest.mark.parametrize("naive", [False, True])
def test_a_folders_first_rows_are_set_aside_and_the_pool_is_the_rest(tmp_path: Path, naive: bool) -> None:
    evaluate = {"naive": naive, "num_rows": 20, "extractors": ["random"]}
    run = opened(folder_config(tmp_path, 16_500, evaluate=evaluate))
    outside, pool = rows_in(run, "fit_samples"), rows_in(run, "samples")
    fit = run.fit_rows
    assert fit.tuning == TUNING
    assert len(outside) == TUNING + naive * (fit.train + fit.held_out)
    assert np.array_equal(np.concatenate([outside, pool]), np.arange(len(outside) + 16_500))
    rows = generated_rows(run, run.config.classifier, 0)
    assert rows.table == "samples"  # the classifier learns from the pool, by cross-fitting
    assert len(rows.tuning) == TUNING / 3


def test_a_folder_needs_cross_fitting_and_rows_enough(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"classifier\.folds: a folder of samples cannot .* at least 3 folds"):
        prepare(folder_config(tmp_path, classifier={"folds": 0}))
    with pytest.raises(ConfigError, match=r"holds 20000 samples; the first 300 are .* has at most 19700"):
        prepare(folder_config(tmp_path, 19_701))
    evaluate = {"naive": False, "num_rows": 20, "extractors": ["inception"]}  # the others do not take 4 x 4 pixels
    assert any("samples" in line for line in describe(prepare(folder_config(tmp_path, evaluate=evaluate))[0]))


def test_the_pool_of_a_folder_hangs_on_the_rows_set_aside(tmp_path: Path) -> None:
    plans = prepare(folder_config(tmp_path, 16_500))[0].plans
    other = prepare(folder_config(tmp_path, 16_500, weights={"num_tuning_rows": 400}))[0].plans
    assert plans["generator"] == other["generator"]
    assert plans["samples"] != other["samples"]


def test_labels_of_a_folder_stay_with_their_samples(tmp_path: Path) -> None:
    real = config_of(tmp_path, "folder", {})
    labels = np.arange(17_000) % 7
    write_labelled_samples(tmp_path / "ready", labels, 8192)
    sections = {"data": real.data.model_dump(), "generate": {"num_samples": 16_700, "rows_per_shard": 8192}}
    config = config_of(tmp_path, "folder", {"path": str(tmp_path / "ready"), "labels": True}, **sections)
    run = opened(config)._replace(image_shape=(1, 1, 1), url=str(tmp_path / "other"))
    fit_generator(run, None)  # type: ignore[arg-type]
    worker(run).run_shard(1)
    assert np.array_equal(shard_labels(run.table("samples"), 1), labels[TUNING + 8192 : TUNING + 2 * 8192])


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_the_pool_of_actors_ends_with_the_users_error_and_keeps_what_is_done(tmp_path: Path) -> None:
    sections = {"generate": {"num_samples": 16_500, "rows_per_shard": 8192}}
    run = opened(config_of(tmp_path, "import", imported("Poisoned"), **sections))
    fill_fit_samples(run)
    with pytest.raises(GeneratorError, match=r"for sample ids 8192\.\.9215 .* ArithmeticError: divided by a sample"):
        fill_samples(run)
    assert 1 in pending(run.table("samples"))
    assert np.array_equal(
        gather_images(run.table("fit_samples"), np.arange(TUNING)),
        pixels(np.arange(TUNING), table_seed(0, "fit_samples")),
    )
