"""Where the evaluation's curves are kept: `curves/`, for whoever draws them.

Their plan is of what they were computed from, and not part of the run's: they may be added to a finished run.
"""

import json
from typing import Any

import numpy as np

from lfiw_ray.core.digest import digest
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.tables import from_parquet, images_of, samples_table, to_parquet

STAGE, NAME, IMAGES = "curves", "results.json", "neighbours.parquet"
FORMAT = 1  # raised when they are computed otherwise


def finished(run: Run) -> dict[str, Any] | None:
    """The results; None when they are not computed."""
    return stages.finished(_folder(run), _plan(run))


def write(run: Run, results: dict[str, Any], x: np.ndarray) -> dict[str, Any]:
    """Keep plain finite values, and images (n, H, W, C) uint8; returns the values."""
    body = json.dumps(results, indent=1, allow_nan=False).encode()
    files = {NAME: body, IMAGES: bytes(to_parquet(samples_table(np.arange(len(x)), x)))}
    return stages.finish(_folder(run), _plan(run), files, results)


def images(run: Run) -> np.ndarray:
    """The images that were kept; StoreError when there are none."""
    return images_of(from_parquet(stages.read(_folder(run), IMAGES)))


def _folder(run: Run) -> Folder:
    return run.folder(STAGE)


def _plan(run: Run) -> str:
    before = [run.plans[name] for name in ("generator", "evaluation")]
    return digest({"stage": STAGE, "before": before, "format": FORMAT})
