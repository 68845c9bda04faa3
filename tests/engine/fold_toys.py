"""A run whose images and features carry their own ids, so that a test sees which rows reached a classifier."""

from pathlib import Path
from typing import Any

import numpy as np

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Run
from lfiw_ray.store import shards, stages
from lfiw_ray.store.tables import features_table, samples_table, to_parquet

SHAPE = (8, 8, 1)
POOL = 10_500  # the last shard and the last block are short
FIT = FitRows(600, 120, 300)
FIRST = {"samples": 0, "fit_samples": 1 << 20, "classifier": 1 << 21, "calibration": 1 << 22}  # tells tables apart


def labelled(table: str, count: int) -> np.ndarray:
    """(count, 8, 8, 1) uint8 images whose first bytes are table and row."""
    x = np.zeros((count, *SHAPE), np.uint8)
    x.reshape(count, -1)[:, :4] = (FIRST[table] + np.arange(count, dtype="<u4")).view(np.uint8).reshape(count, 4)
    return x


def ids_in(x: np.ndarray) -> np.ndarray:
    """What `labelled` wrote."""
    return np.ascontiguousarray(x.reshape(len(x), -1)[:, :4]).view("<u4")[:, 0].astype(np.int64)


def as_features(ids: np.ndarray) -> np.ndarray:
    """(n, 3) float32 features of images with these ids; each holds the id exactly."""
    return np.stack([ids, -ids, ids % 7], axis=1).astype(np.float32)


def labelled_run(folder: Path, **classifier: Any) -> Run:
    """A run with its pool, rows outside of it and real features on disk, and no classifier."""
    config = PipelineConfig.model_validate(
        {
            "run": str(folder),
            "generate": {"num_samples": POOL, "rows_per_shard": 8192},
            "classifier": {"width": 2, "calibrators": ["platt"], **classifier},
            "weights": {"num_tuning_rows": FIT.tuning},
            "resample": {"k": 10},
            "evaluate": {"naive": False},
        }
    )
    run = Run(config, str(folder), stage_plans(config, digest("folds")), SHAPE, FIT, FIT.train, 1)
    for name in ("samples", "fit_samples"):
        _write(run, name)
    if run.reads_features:
        files = {}
        for split, count in (("classifier", FIT.train), ("calibration", FIT.held_out)):
            values = as_features(FIRST[split] + np.arange(count))
            files[f"{split}.parquet"] = bytes(to_parquet(features_table(np.arange(count), values, None)))
        about = {"name": "toy", "num_features": 3, "weights_sha256": "ab"}
        stages.finish(run.folder("features/real"), run.plans["features/real"], files, about)
    return run


def _write(run: Run, name: str) -> None:
    table = run.table(name)
    x = labelled(name, table.layout.num_rows)
    for shard in range(table.layout.num_shards):
        start, stop = table.layout.bounds(shard)
        ids, part = np.arange(start, stop), x[start:stop]
        shards.commit(table.folder, shard, table.plan, stop - start, to_parquet(samples_table(ids, part)))
        if run.reads_features:
            features = run.table(f"features/{name}")
            data = to_parquet(features_table(ids, as_features(ids_in(part)), None))
            shards.commit(features.folder, shard, features.plan, stop - start, data)
