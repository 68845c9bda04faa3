"""The generate stage end to end (Ray, Parquet, checksums, fsync) beside the bare sampling loop that keeps nothing.

The bare loop calls the same model for the same batches with as many torch threads as an actor has.  The stage's time is
taken from the done marks: from the first shard's (with two actors, the second's) to the last's.  So it holds
everything that a further shard costs, and not the start of the actors, which is paid once and has a row of its own.

Beside each time are two numbers of an image, from which one sees what a machine could do at best: the multiplications
and additions of its layers, and the bytes that are written for it.  A machine with a GPU has more rows, of the SNGAN of
the paper's size.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import ray
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lfiw_ray.config_generators import SNGANConfig, VAEConfig
from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.generate import AT_ONCE, GenerateWorker
from lfiw_ray.engine.models import WEIGHTS, finish_model, load_model
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.checkpoint import Description, tensors_to_bytes
from lfiw_ray.models.fast_sampling import EAGER, FastSampler, Speed
from lfiw_ray.models.registry import build
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row

log = logging.getLogger(__name__)

BATCH_SIZE = 1024
ROWS_PER_SHARD = 16_384
GOAL = 0.9
GOAL_ON_A_GPU = 0.85
GOAL_OF_TWO = 1.8
_CORES_OF_TWO = 4  # two that compute, one that writes, one for the driver and Ray
_GPU_SHARD = 65_536  # what a GPU makes in about a second
_COUNTED = 8  # images whose operations are counted

Sample = Callable[[np.ndarray, int, str], np.ndarray]


class Work(NamedTuple):
    """A model on a device, and the size of its shards."""

    name: str
    description: Description
    device: str = "cpu"
    speed: Speed = EAGER
    goal: float = GOAL
    rows_per_shard: int | None = None  # None: ROWS_PER_SHARD


def rows(quick: bool) -> list[Row]:
    """All rows; `quick` takes fewer shards and repetitions, and the default model alone."""
    num_shards, repeats = (4, 2) if quick else (9, 5)
    default = _vae("default VAE", VAEConfig())
    works = [default] if quick else [default, _vae("VAE of width 64", VAEConfig(width=64))]
    if torch.cuda.is_available():
        works += gpu_works()
    with tempfile.TemporaryDirectory(prefix="lfiw-bench-") as here:
        found: list[Row] = []
        for number, work in enumerate(works):
            found += _beside_the_bare_loop(_Stage(f"{here}/{number}", work), num_shards, repeats)
        found += _compiled(_Stage(f"{here}/compiled", default), num_shards, repeats)
        return [*found, _two_actors(_Stage(f"{here}/two", default), num_shards, repeats)]


def _vae(name: str, config: VAEConfig) -> Work:
    return Work(name, Description("vae", config.model_dump(), (28, 28, 1), {}))


def gpu_works() -> list[Work]:
    """The SNGAN of the paper's size in bfloat16 with channels last, a layer at a time and compiled."""
    description = Description("sngan", SNGANConfig().model_dump(), (32, 32, 3), {})
    speeds = {"bf16, channels last": Speed(bf16=True), "bf16, channels last, compiled": Speed(True, True)}
    return [
        Work(f"SNGAN on a GPU, {how}", description, "cuda", speed, GOAL_ON_A_GPU, _GPU_SHARD)
        for how, speed in speeds.items()
    ]


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


def operations_an_image(model: Any) -> float:
    """Multiplications and additions of the convolutions and matrix products of a sample."""
    with FlopCounterMode(display=False) as counter:
        model.sample(np.arange(_COUNTED), 0, "samples")
    return float(counter.get_total_flops()) / _COUNTED


class Cost(NamedTuple):
    """Of one run of the stage."""

    row_s: float  # of a further row
    start_s: float  # until the first shard was done, less the shard
    row_bytes: float  # written, of the shard and its mark


class _Stage:
    """A finished generator with fresh parameters; each run of the stage goes into a folder of its own."""

    def __init__(self, url: str, work: Work):
        self.work, self.rows_per_shard = work, work.rows_per_shard or ROWS_PER_SHARD
        self._url, self._numbers = url, count()
        folder, weights = Folder(f"{url}/generator"), tensors_to_bytes(build(work.description).state_dict())
        finish_model(folder, "bench", work.description, {WEIGHTS: weights}, {})

    def run(self, num_shards: int, actors: int) -> Cost:
        """Generate so many shards by so many actors."""
        work, layout = self.work, Layout(num_shards * self.rows_per_shard, self.rows_per_shard)
        table = Table(f"{self._url}/{next(self._numbers)}", "bench", layout)
        generator = f"{self._url}/generator"
        worker = partial(GenerateWorker, generator, table, "samples", 0, BATCH_SIZE, work.device, speed=work.speed)
        gpus = 1.0 if work.device == "cuda" else 0.0
        began = time.time()
        run_shards("generate", range(num_shards), [Step("generate", worker, _pool(actors), gpus, AT_ONCE)])
        marked = [(Path(table.url) / shards.mark_name(s)).stat().st_mtime for s in range(num_shards)]
        size = sum(file.stat().st_size for file in Path(table.url).iterdir())
        for shard in range(num_shards):
            shards.discard(table.folder, shard)
        each = seconds_a_row(marked, actors, self.rows_per_shard)
        return Cost(each, min(marked) - began - each * actors * self.rows_per_shard, size / layout.num_rows)

    def model(self) -> nn.Module:
        """The model, on the device, in this process."""
        return load_model(f"{self._url}/generator").to(self.work.device)

    def sampler(self, speed: Speed) -> Sample:
        """The model alone, in this process."""
        model: Any = self.model()
        sample: Sample = (model if speed == EAGER else FastSampler(model, speed, BATCH_SIZE)).sample
        return sample

    def bare_s(self, sample: Sample, num_shards: int) -> float:
        """Seconds a row of the bare loop."""
        torch.set_num_threads(_pool(1).num_threads)
        sample(np.arange(BATCH_SIZE), 0, "samples")
        num_rows, began = num_shards * self.rows_per_shard, time.perf_counter()
        for low in range(0, num_rows, BATCH_SIZE):
            sample(np.arange(low, low + BATCH_SIZE), 0, "samples")
        return (time.perf_counter() - began) / num_rows


def _pool(actors: int) -> PoolConfig:
    return PoolConfig(min_actors=actors, max_actors=actors)


def _size(stage: _Stage) -> str:
    return f"{stage.work.name}, {' x '.join(str(n) for n in stage.work.description.image_shape)}"


def _beside_the_bare_loop(stage: _Stage, num_shards: int, repeats: int) -> list[Row]:
    sample, costs, bare = stage.sampler(stage.work.speed), list[Cost](), list[float]()
    for _ in range(repeats):
        costs.append(stage.run(num_shards, 1))
        bare.append(stage.bare_s(sample, num_shards - 1))
    pairs = [(1e6 * cost.row_s, 1e6 * row_s) for cost, row_s in zip(costs, bare, strict=True)]
    work = f"generate, {_size(stage)}, {num_shards - 1} shards of {stage.rows_per_shard:,}, 1 actor"
    operations, written = operations_an_image(stage.model()), median(cost.row_bytes for cost in costs)
    return [
        bench.paired(work, "us/image", pairs, "bare loop", stage.work.goal),
        bench.measured(f"operations, {_size(stage)}", "FLOP/image", operations),
        bench.measured(f"bytes written, {_size(stage)}", "bytes/image", written),
        bench.measured(f"start of the actor, {stage.work.name}", "s", median(cost.start_s for cost in costs)),
    ]


def _compiled(stage: _Stage, num_shards: int, repeats: int) -> list[Row]:
    """The bare loop compiled beside itself a layer at a time; no row where torch cannot compile."""
    ours, peer = stage.sampler(Speed(compiled=True)), stage.sampler(EAGER)
    try:
        pairs = [(1e6 * stage.bare_s(ours, num_shards), 1e6 * stage.bare_s(peer, num_shards)) for _ in range(repeats)]
    except ConfigError as err:
        log.warning("the row of the compiled loop is left out: %s", err)
        return []
    return [bench.paired(f"bare loop, {_size(stage)}, compiled", "us/image", pairs, "not compiled", None)]


def _two_actors(stage: _Stage, num_shards: int, repeats: int) -> Row:
    """Two actors beside one; a goal only where there are cores for both, their writers and the driver."""
    pairs = [(1e6 * stage.run(num_shards + 1, 2).row_s, 1e6 * stage.run(num_shards, 1).row_s) for _ in range(repeats)]
    cores = int(ray.cluster_resources()["CPU"])
    goal = GOAL_OF_TWO if cores >= _CORES_OF_TWO else None
    return bench.paired(f"generate, {stage.work.name}, 2 actors on {cores} cores", "us/image", pairs, "1 actor", goal)
