"""What a run would do and what it would cost, before it does it.

Times come from running untrained models of the run's own size for a moment on this machine, on one worker with the
configured threads; another kind of machine, or a busy one, takes another time.
"""

import math

import numpy as np
import torch

from lfiw_ray.config import TrainConfig
from lfiw_ray.engine import beside, estimate_evaluation
from lfiw_ray.engine.committee import parts_of
from lfiw_ray.engine.estimate_extractors import CLASSES, at_hand, floats_of, rows_per_s
from lfiw_ray.engine.estimate_time import ON_GPUS, Time, at_rate, seconds_of
from lfiw_ray.engine.external import is_external
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.score import score
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.players import players_of
from lfiw_ray.models.registry import build, generator_description, learns_labels
from lfiw_ray.store import runs, shards
from lfiw_ray.store.folder import Folder

_PARQUET_OVERHEAD = 1.02  # of images that cannot be compressed; real ones are smaller
_MOST_EXAMPLES = 1000  # rows that a generator may want to be made ready with


def describe(run: Run) -> list[str]:
    """Lines: plan per stage, shards to do, storage, time; StoreError when the folder is of another plan."""
    config = run.config
    runs.open_run(Folder(run.url), config.planned(), run.plans, {}, dry=True, free=beside.STAGES)
    lines = [f"run folder   {run.url}"]
    lines += [f"plan         {stage:20s} {plan}" for stage, plan in run.plans.items()]
    todo = {name: len(shards.pending(run.table(name))) for name in run.tables}
    for name, count in todo.items():
        layout = run.table(name).layout
        lines.append(f"would run    {name:20s} {count} of {layout.num_shards} shards, {layout.num_rows:,} rows in all")
    lines += [_storage(run), *estimate_evaluation.storage(run)]
    return lines + [time.line for time in times(run)]


def times(run: Run) -> list[Time]:
    """What each step of the run is expected to take, as if nothing were done yet; models train and sample a moment."""
    if run.config.num_gpus:
        return [Time("all steps", None, ON_GPUS)]
    return [*_model_times(run), *estimate_evaluation.times(run)]


def _storage(run: Run) -> str:
    config, image_bytes = run.config, math.prod(run.image_shape)
    samples = config.generate.num_samples * (image_bytes + 8) * _PARQUET_OVERHEAD
    weights = config.generate.num_samples * 16 * _PARQUET_OVERHEAD
    selected = len(config.resample.schemes) * config.resample.k + sum(one.k for one in config.resample.more)
    resampled = selected * (image_bytes + 24) * _PARQUET_OVERHEAD
    features = (
        config.generate.num_samples * (8 + 4 * sum(floats_of(config.classifier.extractor))) * _PARQUET_OVERHEAD
        if run.reads_features
        else 0
    )
    return (
        f"storage      at most {samples / 1e6:,.0f} MB samples, {weights / 1e6:,.0f} MB weights, "
        f"{resampled / 1e6:,.0f} MB resampled" + (f"; about {features / 1e6:,.0f} MB features" if features else "")
    )


def _model_times(run: Run) -> list[Time]:
    """Estimates for the two trainings, generating and scoring."""
    config = run.config
    found = [] if is_external(config.generator) else _generator_times(run)
    if run.reads_features and at_hand(run, config.classifier.extractor) is None:
        return [*found, Time(f"extracting by {config.classifier.extractor}, and a classifier of it", None, "")]
    return [*found, *_classifier_times(run)]


def _generator_times(run: Run) -> list[Time]:
    """Estimates for training the generator and generating; none for one that was made elsewhere."""
    config = run.config
    counts = [_MOST_EXAMPLES] * CLASSES if learns_labels(config.generator) else None
    generator = build(generator_description(config.generator, run.image_shape, counts))
    trained = _training("generator", generator, config.generator.train, run, _generator_rows(run))
    torch.set_num_threads(config.generate.pool.num_threads)
    ids, size = np.arange(config.generate.batch_size, dtype=np.int64), config.generate.batch_size
    rate = size / seconds_of(lambda: generator.eval().sample(ids, 0, "estimate"))  # type: ignore[operator]
    return [trained, at_rate("generate", rate, config.generate.num_samples, config.generate.pool.max_actors)]


def _classifier_times(run: Run) -> list[Time]:
    """Estimates for extracting, for training every classifier, and for scoring."""
    config, found = run.config, []
    extractor = at_hand(run, config.classifier.extractor) if run.reads_features else None
    torch.set_num_threads(config.score.pool.num_threads)
    if extractor is not None:
        rate = rows_per_s(extractor, run.image_shape)
        found.append(at_rate("extract", rate, config.generate.num_samples, config.score.pool.max_actors))
    classifier = Classifier(config.classifier, run.image_shape, extractor.num_features if extractor else None)
    count = len(parts_of(config.classifier))
    name = "classifier" if count == 1 else f"{count} classifiers"
    found.append(_training(name, classifier, config.classifier.train, run, 2 * run.num_classifier_rows, count))
    torch.set_num_threads(config.score.pool.num_threads)
    inputs = tuple(a.numpy() for a in _empty_inputs(classifier, config.score.batch_size))
    ids = np.arange(len(inputs[0]), dtype=np.int64)
    rate = len(ids) / seconds_of(lambda: score(classifier.eval(), inputs, ids, 0, len(ids))) / config.classifier.members
    return [*found, at_rate("score", rate, config.generate.num_samples, config.score.pool.max_actors)]


def _empty_inputs(model: Classifier, num_rows: int) -> tuple[torch.Tensor, ...]:
    """What the classifier sees, for rows of zeros."""
    found = []
    for name in model.inputs:
        first = model.head[0] if name == "features" else None
        shape = (first.in_features,) if isinstance(first, torch.nn.Linear) else model.image_shape
        found.append(torch.zeros((num_rows, *shape), dtype=torch.float32 if name == "features" else torch.uint8))
    return tuple(found)


def _generator_rows(run: Run) -> int:
    fractions = run.config.data
    return round(run.num_classifier_rows * fractions.generator_fraction / fractions.classifier_fraction)


def _prepared(model: torch.nn.Module, size: int, run: Run) -> tuple[torch.Tensor, ...]:
    """A batch of a generator's training rows, for which it is made ready as the training does."""
    labelled, shape = learns_labels(run.config.generator), (max(size, _MOST_EXAMPLES), *run.image_shape)
    x = (np.arange(math.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    data = (x, np.arange(len(x)) % CLASSES) if labelled else (x,)
    if hasattr(model, "prepare"):
        model.prepare(data, 0)  # type: ignore[operator]
    return tuple(torch.from_numpy(array[:size]) for array in data)


def _training(name: str, model: torch.nn.Module, config: TrainConfig, run: Run, num_rows: int, count: int = 1) -> Time:
    """Of `count` trainings one after the other."""
    torch.set_num_threads(config.num_threads)
    size, players = config.batch_size, players_of(model)
    if isinstance(model, Classifier):
        batch = (*_empty_inputs(model, size), torch.arange(size).remainder(2).float())
    else:
        batch = _prepared(model, size, run)
    noise = BatchNoise(0, 0, 0, size, size)

    def step() -> None:
        model.train()
        for player in players:
            for _ in range(player.steps):
                player.loss(batch, noise)[0].backward()  # type: ignore[no-untyped-call]

    steps = count * config.epochs * (num_rows // (size * sum(player.steps for player in players)))
    seconds = steps * seconds_of(step) / max(config.num_workers, 1)
    return Time(name, seconds, f"for at most {steps:,} steps on {config.num_workers} worker(s)")
