"""Stages: fill `fit_samples/`, and stream the pool through generate, extract and score.

All pools of actors work at once: a shard is extracted and scored as soon as it is committed.
"""

from functools import partial, reduce

from lfiw_ray.core import so_far
from lfiw_ray.core.so_far import SoFar
from lfiw_ray.engine.committee import committee_of
from lfiw_ray.engine.external import Source
from lfiw_ray.engine.features import ExtractWorker, classifier_extractor, description, extract_real
from lfiw_ray.engine.generate import AT_ONCE, GenerateWorker
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.read import marked_sums
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.engine.score import ScoreWorker
from lfiw_ray.models.fast_sampling import Speed
from lfiw_ray.store.shards import done_marks, pending


def fill_fit_samples(run: Run) -> dict[str, float]:
    """Generate the rows outside the pool, on which classifiers are trained, calibrated and tuned."""
    return _fill(run, "fit_samples", ("fit_samples",), [_generate(run, "fit_samples")])


def fill_samples(run: Run) -> dict[str, float]:
    """Generate the pool, without scoring it."""
    return _fill(run, "samples", ("samples",), [_generate(run, "samples")])


def needs_training_rows(run: Run) -> bool:
    """Whether `fit_samples/` and the real images are not all that the classifier learns from."""
    return run.reads_features or run.config.classifier.folds > 0


def fill_training_rows(run: Run, real: Real) -> dict[str, float]:
    """What else the classifier learns from: features of real and generated rows; with cross-fitting the pool.

    Needs the extractor, and `fit_samples/`.
    """
    totals: dict[str, float] = {}
    if run.reads_features:
        extract_real(run, real)
        totals = _fill(run, "features of fit_samples", ("features/fit_samples",), [_extract(run, "fit_samples")])
    if not run.config.classifier.folds:
        return totals
    steps = _pool_steps(run)
    tables = ("samples", "features/samples")[: len(steps)]
    return totals | _fill(run, "samples", tables, steps)


def fill_pool(run: Run) -> dict[str, float]:
    """Generate and score the pool; shards that are generated or extracted already are only scored."""
    steps = [*_pool_steps(run), _score(run, "score", "classifier", "weights")]
    if run.config.evaluate.naive:
        steps.append(_score(run, "naive", "naive_classifier", "naive_weights"))
    return _fill(run, "samples and weights", run.pool_tables, steps)


def _fill(run: Run, what: str, tables: tuple[str, ...], steps: list[Step]) -> dict[str, float]:
    """Do the steps for every shard that some of the tables lack."""
    todo = sorted({shard for name in tables for shard in pending(run.table(name))})
    weighed = _weighed(run) if todo and "weights" in tables else so_far.NOTHING
    return run_shards(what, todo, steps, weighed)


def _weighed(run: Run) -> SoFar:
    """Sums of the shards that were scored in an earlier call."""
    weights = run.table("weights")
    parts = (so_far.of(marked_sums(weights, mark), mark.rows) for mark in done_marks(weights))
    return reduce(so_far.merge, parts, so_far.NOTHING)


def _pool_steps(run: Run) -> list[Step]:
    return [_generate(run, "samples"), *([_extract(run, "samples")] if run.reads_features else [])]


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
        Source(run.config.generator.external, run.table("fit_samples").layout.num_rows),
        Speed(config.bf16, config.compile),
    )
    return Step("generate", worker, config.pool, run.config.num_gpus, AT_ONCE)


def _extract(run: Run, table: str) -> Step:
    sha256 = description(run)["weights_sha256"]
    features = run.table(f"features/{table}")
    worker = partial(ExtractWorker, classifier_extractor(run), sha256, run.table(table), features)
    return Step("extract", worker, run.config.score.pool, run.config.num_gpus)


def _score(run: Run, name: str, classifier: str, weights: str) -> Step:
    config = run.config.score
    reads = run.classifier_config(classifier).input != "pixels"
    worker = partial(
        ScoreWorker,
        committee_of(run, classifier),
        run.table("samples"),
        run.table("features/samples") if reads else None,
        run.table(weights),
        config.batch_size,
        run.device,
    )
    return Step(name, worker, config.pool, run.config.num_gpus)
