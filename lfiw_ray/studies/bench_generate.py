"""The generate stage end to end (Ray, Parquet, checksums, fsync) beside the bare sampling loop that keeps nothing.

The bare loop calls the same model for the same batches with as many torch threads as an actor has.  The stage's time is
taken from the done marks: from the first shard's (with two actors, the second's) to the last's.  So it holds
everything that a further shard costs, and not the start of the actors, which is paid once and has a row of its own.
"""

import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import ray
import torch

from lfiw_ray.config_generators import VAEConfig
from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.generate import AT_ONCE, GenerateWorker
from lfiw_ray.engine.models import WEIGHTS, finish_model, load_model
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.models.checkpoint import Description, tensors_to_bytes
from lfiw_ray.models.registry import build
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row

SHAPE = (28, 28, 1)
BATCH_SIZE = 1024
ROWS_PER_SHARD = 16_384
GOAL = 0.9
GOAL_OF_TWO = 1.8
_CORES_OF_TWO = 4  # two that compute, one that writes, one for the driver and Ray


def rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer shards and repetitions, and the default model alone."""
    num_shards, repeats = (4, 2) if quick else (9, 5)
    models = {"default VAE": VAEConfig()} | ({} if quick else {"VAE of width 64": VAEConfig(width=64)})
    with tempfile.TemporaryDirectory(prefix="lfiw-bench-") as here:
        found: list[Row] = []
        for name, config in models.items():
            stage = _Stage(f"{here}/{config.width}", config)
            found += _beside_the_bare_loop(name, stage, num_shards, repeats)
        stage = _Stage(f"{here}/two", VAEConfig())
        return [*found, _two_actors(stage, num_shards, repeats)]


def seconds_a_row(marked_s: list[float], actors: int, rows_per_shard: int) -> float:
    """Cost of a further row while all actors work.

    Parameters
    ----------
    marked_s : when each shard of equal size was marked as done, in any order; more than there are actors.
    """
    if len(marked_s) <= actors:
        raise ValueError(f"{len(marked_s)} shards do not show how fast {actors} actors are")
    ordered = sorted(marked_s)
    return (ordered[-1] - ordered[actors - 1]) / ((len(ordered) - actors) * rows_per_shard)


class _Stage:
    """A finished generator with fresh parameters; each run of the stage goes into a folder of its own."""

    def __init__(self, url: str, config: VAEConfig):
        self._url, self._numbers = url, count()
        description = Description("vae", config.model_dump(), SHAPE, {})
        folder = Folder(f"{url}/generator")
        finish_model(folder, "bench", description, {WEIGHTS: tensors_to_bytes(build(description).state_dict())}, {})

    def run(self, num_shards: int, actors: int) -> tuple[float, float]:
        """Seconds a further row, and seconds until the first shard was done less those of a shard."""
        layout = Layout(num_shards * ROWS_PER_SHARD, ROWS_PER_SHARD)
        table = Table(f"{self._url}/{next(self._numbers)}", "bench", layout)
        worker = partial(GenerateWorker, f"{self._url}/generator", table, "samples", 0, BATCH_SIZE, "cpu")
        began = time.time()
        run_shards("generate", range(num_shards), [Step("generate", worker, _pool(actors), 0.0, AT_ONCE)])
        marked = [(Path(table.url) / shards.mark_name(s)).stat().st_mtime for s in range(num_shards)]
        for shard in range(num_shards):
            shards.discard(table.folder, shard)
        each = seconds_a_row(marked, actors, ROWS_PER_SHARD)
        return each, min(marked) - began - each * actors * ROWS_PER_SHARD

    def bare(self, num_rows: int) -> float:
        """Seconds a row of the model alone, in this process."""
        torch.set_num_threads(_pool(1).num_threads)
        model = load_model(f"{self._url}/generator")
        model.sample(np.arange(BATCH_SIZE), 0, "samples")  # type: ignore[operator]
        began = time.perf_counter()
        for low in range(0, num_rows, BATCH_SIZE):
            model.sample(np.arange(low, low + BATCH_SIZE), 0, "samples")  # type: ignore[operator]
        return (time.perf_counter() - began) / num_rows


def _pool(actors: int) -> PoolConfig:
    return PoolConfig(min_actors=actors, max_actors=actors)


def _beside_the_bare_loop(name: str, stage: _Stage, num_shards: int, repeats: int) -> list[Row]:
    pairs, starts = [], []
    for _ in range(repeats):
        each, start = stage.run(num_shards, 1)
        starts.append(start)
        pairs.append((1e6 * each, 1e6 * stage.bare((num_shards - 1) * ROWS_PER_SHARD)))
    work = f"generate, {name}, 28 x 28, {num_shards - 1} shards of {ROWS_PER_SHARD:,}, 1 actor"
    return [
        bench.paired(work, "us/image", pairs, "bare loop", GOAL),
        bench.measured(f"start of the actor, {name}", "s", median(starts)),
    ]


def _two_actors(stage: _Stage, num_shards: int, repeats: int) -> Row:
    """Two actors beside one; a goal only where there are cores for both, their writers and the driver."""
    pairs = [(1e6 * stage.run(num_shards + 1, 2)[0], 1e6 * stage.run(num_shards, 1)[0]) for _ in range(repeats)]
    cores = int(ray.cluster_resources()["CPU"])
    goal = GOAL_OF_TWO if cores >= _CORES_OF_TWO else None
    return bench.paired(f"generate, default VAE, 2 actors on {cores} cores", "us/image", pairs, "1 actor", goal)
