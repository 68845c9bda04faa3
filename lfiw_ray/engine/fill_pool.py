"""Stages: fill `fit_samples/`, and stream the pool through generate and score.

Both pools of actors work at once: a shard is scored as soon as it is committed.
"""

from functools import partial

from lfiw_ray.engine.fit_classifier import calibration_of
from lfiw_ray.engine.generate import GenerateWorker
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.score import ScoreWorker
from lfiw_ray.store.shards import pending


def fill_fit_samples(run: Run) -> dict[str, float]:
    """Generate the rows that the classifier is trained, calibrated and tuned on."""
    return run_shards("fit_samples", pending(run.table("fit_samples")), [_generate(run, "fit_samples")])


def fill_samples(run: Run) -> dict[str, float]:
    """Generate the pool, without scoring it."""
    return run_shards("samples", pending(run.table("samples")), [_generate(run, "samples")])


def fill_pool(run: Run) -> dict[str, float]:
    """Generate and score the pool; shards that are generated already are only scored."""
    steps = [_generate(run, "samples"), _score(run, "score", "classifier", "weights")]
    if run.config.evaluate.naive:
        steps.append(_score(run, "naive", "naive_classifier", "naive_weights"))
    tables = [run.table(name) for name in run.tables if name != "fit_samples"]
    todo = sorted({shard for table in tables for shard in pending(table)})
    return run_shards("samples and weights", todo, steps)


def _generate(run: Run, stage: str) -> Step:
    config = run.config.generate
    worker = partial(
        GenerateWorker,
        run.folder("generator").url,
        run.table(stage),
        stage,
        run.config.seed,
        config.batch_size,
        run.device,
    )
    return Step("generate", worker, config.pool, run.config.num_gpus)


def _score(run: Run, name: str, classifier: str, weights: str) -> Step:
    config = run.config.score
    calibration, log_prior_odds = calibration_of(run, classifier)
    worker = partial(
        ScoreWorker,
        run.folder(classifier).url,
        calibration,
        log_prior_odds,
        run.table("samples"),
        run.table(weights),
        run.config.seed,
        config.batch_size,
        run.device,
    )
    return Step(name, worker, config.pool, run.config.num_gpus)
