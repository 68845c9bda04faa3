"""What a run would do and what it would cost, before it does it.

Times come from running untrained models of the run's own size for a moment on this machine, on one worker with the
configured threads; another kind of machine, or a busy one, takes another time.
"""

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from lfiw_ray.config import TrainConfig
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.score import score
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.registry import build, generator_description
from lfiw_ray.store import runs, shards
from lfiw_ray.store.folder import Folder

_PARQUET_OVERHEAD = 1.02  # of images that cannot be compressed; real ones are smaller
_MOMENT_S = 0.5


def describe(run: Run) -> list[str]:
    """Lines: plan per stage, shards to do, storage, time; StoreError when the folder is of another plan."""
    config = run.config
    runs.open_run(Folder(run.url), config.planned(), run.plans, {}, dry=True)
    lines = [f"run folder   {run.url}"]
    lines += [f"plan         {stage:12s} {plan}" for stage, plan in run.plans.items()]
    todo = {name: len(shards.pending(run.table(name))) for name in run.tables}
    for name, count in todo.items():
        layout = run.table(name).layout
        lines.append(f"would run    {name:12s} {count} of {layout.num_shards} shards, {layout.num_rows:,} rows in all")
    return [*lines, _storage(run), *_times(run)]


def _storage(run: Run) -> str:
    config, image_bytes = run.config, math.prod(run.image_shape)
    samples = config.generate.num_samples * (image_bytes + 8) * _PARQUET_OVERHEAD
    weights = config.generate.num_samples * 16 * _PARQUET_OVERHEAD
    resampled = len(config.resample.schemes) * config.resample.k * (image_bytes + 24) * _PARQUET_OVERHEAD
    return (
        f"storage      at most {samples / 1e6:,.0f} MB samples, {weights / 1e6:,.0f} MB weights, "
        f"{resampled / 1e6:,.0f} MB resampled"
    )


def _times(run: Run) -> list[str]:
    """Estimates for the two trainings, generating and scoring, as if nothing were done yet."""
    if run.config.num_gpus:
        return ["time         not estimated for GPUs; look at the rates in the log of the first minutes"]
    config = run.config
    generator = build(generator_description(config.generator, run.image_shape))
    lines = [_training("generator", generator, config.generator.train, run, _generator_rows(run))]
    torch.set_num_threads(config.generate.pool.num_threads)
    ids, size = np.arange(config.generate.batch_size, dtype=np.int64), config.generate.batch_size
    rate = size / _seconds(lambda: generator.eval().sample(ids, 0, "estimate"))  # type: ignore[operator]
    lines.append(_rate("generate", rate, config.generate.num_samples, config.generate.pool.max_actors))
    if config.classifier.input == "features":
        return [*lines, "time         scoring on frozen features is not estimated"]
    classifier = Classifier(config.classifier, run.image_shape)
    lines.append(_training("classifier", classifier, config.classifier.train, run, 2 * run.num_classifier_rows))
    torch.set_num_threads(config.score.pool.num_threads)
    x = np.zeros((config.score.batch_size, *run.image_shape), np.uint8)
    ids = np.arange(len(x), dtype=np.int64)
    rate = len(x) / _seconds(lambda: score(classifier.eval(), x, ids, 0, len(x)))
    return [*lines, _rate("score", rate, config.generate.num_samples, config.score.pool.max_actors)]


def _generator_rows(run: Run) -> int:
    fractions = run.config.data
    return round(run.num_classifier_rows * fractions.generator_fraction / fractions.classifier_fraction)


def _training(name: str, model: torch.nn.Module, config: TrainConfig, run: Run, num_rows: int) -> str:
    torch.set_num_threads(config.num_threads)
    x = torch.zeros((config.batch_size, *run.image_shape), dtype=torch.uint8)
    batch, noise = (x, torch.zeros(len(x))), BatchNoise(0, 0, 0, len(x), len(x))

    def step() -> None:
        model.train().loss(batch, noise)[0].backward()  # type: ignore[operator]

    steps = config.epochs * (num_rows // config.batch_size)
    seconds = steps * _seconds(step) / max(config.num_workers, 1)
    return (
        f"time         {name:12s} about {seconds:,.0f} s for at most {steps:,} steps on {config.num_workers} worker(s)"
    )


def _rate(name: str, rows_per_s: float, num_rows: int, actors: int) -> str:
    seconds = num_rows / rows_per_s / actors
    return f"time         {name:12s} about {seconds:,.0f} s at {rows_per_s:,.0f} rows/s an actor, {actors} actor(s)"


def _seconds(work: Callable[[], object]) -> float:
    """Seconds of one call, the least over a moment of calls after a first one."""
    work()
    least, began = math.inf, time.monotonic()
    while time.monotonic() - began < _MOMENT_S:
        start = time.monotonic()
        work()
        least = min(least, time.monotonic() - start)
    return least
