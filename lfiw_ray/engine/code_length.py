"""Stage: bits per pixel value of the generator on evaluation rows, which nothing has been trained on.

Each batch has noise of its own from (seed, batch), so the figure is a function of the model, the rows and the seed.
The standard error is over batches of equal size.
"""

import json
import math
from typing import Any

import numpy as np
import ray
import torch

from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.models import load_model
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.registry import CODE_LENGTHS, learns_labels
from lfiw_ray.models.transfer import to_device
from lfiw_ray.store import stages

NAME = "results.json"
_BATCH_ROWS = 32
_MAX_BATCHES = 64
_NOISE = 1 << 41  # first step number of this noise, beyond that of any training


def measure_code_length(run: Run, real: Real) -> dict[str, Any]:
    """Measure, unless it is done, a generator that `registry.CODE_LENGTHS` names.

    Returns
    -------
    {"metric", "meaning", "mean_bpd", "se_bpd" (None: a single batch), "num_rows"}
    """
    folder, plan = run.folder("code_length"), run.plans["code_length"]
    if (done := stages.finished(folder, plan)) is not None:
        return done
    rows = min(len(real.splits.evaluation), _BATCH_ROWS * _MAX_BATCHES)
    parts = [real.x("evaluation")[:rows]]
    if learns_labels(run.config.generator):
        parts.append(real.labels("evaluation")[:rows])
    with unwrapped("likelihood of test rows"):
        task = _measure.options(num_gpus=run.config.num_gpus)
        found: dict[str, Any] = ray.get(task.remote(run, *real.share(*parts)))
    return stages.finish(folder, plan, {NAME: json.dumps(found, indent=1, allow_nan=False).encode()}, found)


@ray.remote
def _measure(run: Run, *parts: np.ndarray) -> dict[str, Any]:
    model = load_model(run.folder("generator").url).to(run.device)
    metric, meaning = CODE_LENGTHS[run.config.generator.model]
    values = batch_bpd(model, parts, metric, run.config.seed, run.device)
    se = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    rows = len(values) * min(len(parts[0]), _BATCH_ROWS)
    return {"metric": metric, "meaning": meaning, "mean_bpd": float(values.mean()), "se_bpd": se, "num_rows": rows}


@torch.no_grad()
def batch_bpd(
    model: torch.nn.Module, parts: tuple[np.ndarray, ...], metric: str, seed: int, device: str = "cpu"
) -> np.ndarray:
    """(B,) float64: the metric of each whole batch of the rows (all rows when they are fewer), in evaluation mode."""
    size = min(len(parts[0]), _BATCH_ROWS)
    values = []
    for index in range(len(parts[0]) // size):
        batch = tuple(to_device(part[index * size : (index + 1) * size].copy(), device) for part in parts)
        noise = BatchNoise(seed, _NOISE + index, 0, size, size, device)
        values.append(float(model.loss(batch, noise)[1][metric]))  # type: ignore[operator]
    return np.array(values)
