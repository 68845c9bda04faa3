"""A run up to its diagnosed weights, whose weights are exact, made in a second.

Two kinds of images, bright on the left or on the right.  Real rows are half and half, the generator makes 80 % left,
so that the true weights are 0.5 / 0.8 and 0.5 / 0.2.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lfiw_ray.config import PipelineConfig
from lfiw_ray.core.digest import digest
from lfiw_ray.core.forms import Form
from lfiw_ray.data.image_data import ImageData
from lfiw_ray.data.splits import split
from lfiw_ray.engine.diagnose import NAME as DIAGNOSTICS
from lfiw_ray.engine.plans import stage_plans
from lfiw_ray.engine.run import FitRows, Real, Run
from lfiw_ray.store import shards, stages
from lfiw_ray.store.tables import samples_table, to_parquet, weights_table

POOL, NUM_REAL, NUM_TEST = 24_576, 4000, 1000
SHARE_OF_RIGHT = 0.2


class Toy(NamedTuple):
    """The run, its data, and the images of its pool."""

    run: Run
    real: Real
    x: np.ndarray


def two_kinds(right: np.ndarray, seed: int) -> np.ndarray:
    """(N, 8, 8, 1) uint8: bright on the right where `right` is true, else on the left."""
    x = np.random.default_rng(seed).integers(0, 120, (len(right), 8, 8, 1))
    x[~right, :, :4] += 120
    x[right, :, 4:] += 120
    return x.astype(np.uint8)


def toy(folder: Path, copied: int = 0, **sections: Any) -> Toy:
    """The run in a folder.

    Parameters
    ----------
    copied : so many samples of the right kind repeat training rows pixel by pixel, and are a little the heaviest.
    sections : of the configuration, in place of the usual ones.
    """
    usual: dict[str, Any] = {
        "run": str(folder),
        "data": {"test_rows": "apart", "generator_fraction": 0.6, "classifier_fraction": 0.2},
        "generate": {"num_samples": POOL, "rows_per_shard": 8192},
        "evaluate": {"extractors": ["random"], "num_repeats": 3, "num_rows": 300, "naive": False},
    }
    config = PipelineConfig.model_validate(usual | sections)
    y = np.arange(NUM_REAL) % 2
    data = ImageData(two_kinds(y == 1, 1), y, "known", None, NUM_TEST)
    splits = split(NUM_REAL, config.data, 0, y, NUM_TEST)
    run = Run(config, str(folder), stage_plans(config, digest("toy")), (8, 8, 1), FitRows(1, 1, 1), 1, NUM_TEST)
    right = np.random.default_rng(2).random(POOL) < SHARE_OF_RIGHT
    x = two_kinds(right, 3)
    log_w = np.where(right, math.log(0.5 / 0.2), math.log(0.5 / 0.8)).astype(np.float32)
    heavy = np.flatnonzero(right)[:copied]
    x[heavy] = data.x[splits.generator[y[splits.generator] == 1][:copied]]
    log_w[heavy] += 1e-3
    _write_pool(run, x, log_w)
    _write_diagnostics(run)
    return Toy(run, Real(data, splits), x)


def _write_pool(run: Run, x: np.ndarray, log_w: np.ndarray) -> None:
    samples, weights = run.table("samples"), run.table("weights")
    for shard in range(samples.layout.num_shards):
        start, stop = samples.layout.bounds(shard)
        ids, rows = np.arange(start, stop), slice(start, stop)
        bodies = samples_table(ids, x[rows]), weights_table(ids, log_w[rows], log_w[rows])
        for table, body in zip((samples, weights), bodies, strict=True):
            shards.commit(table.folder, shard, table.plan, stop - start, to_parquet(body))


def _write_diagnostics(run: Run) -> None:
    """Those of weights that are used as they are."""
    body = {
        "alpha": {"alpha": 1.0, "auto": False},
        "form": Form().to_json(),
        "chosen": {"ess_fraction": 0.64, "k_hat": None},
        "verdict": {"passed": True, "reasons": [], "advice": []},
    }
    files = {DIAGNOSTICS: json.dumps(body).encode()}
    stages.finish(run.folder("diagnostics"), run.plans["diagnostics"], files, body)
