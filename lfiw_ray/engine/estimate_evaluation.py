"""What the evaluation's features would cost: rows to extract, bytes, seconds of each feature space.

As if nothing of it were done yet.  Rows are counted at most: one sample may stand for several arms, and there may be
fewer other real rows than an arm has rows.
"""

from collections.abc import Iterator

import torch

from lfiw_ray.engine import whole_set
from lfiw_ray.engine.arms import arms_of
from lfiw_ray.engine.estimate_extractors import at_hand, floats_of, rows_per_s
from lfiw_ray.engine.estimate_time import ON_GPUS, Time, at_rate
from lfiw_ray.engine.fill_features import reads_classifiers_table
from lfiw_ray.engine.run import Run
from lfiw_ray.store import sums_table


def storage(run: Run) -> list[str]:
    """Lines on rows and bytes of all feature spaces of the evaluation."""
    return [line for name in run.config.evaluate.extractors for line in _storage(run, name)]


def times(run: Run) -> list[Time]:
    """Seconds of all feature spaces of the evaluation."""
    return [_time(run, name) for name in run.config.evaluate.extractors]


def _storage(run: Run, name: str) -> Iterator[str]:
    floats, rows = floats_of(name), _rows(run, name)
    width = 2 if run.config.evaluate.feature_dtype == "float16" else 4
    size = sum(rows.values()) * (8 + width * floats.features + 4 * floats.probabilities)
    named = " and ".join(f"{count:,} {part}" for part, count in rows.items())
    yield f"embed        {name:20s} at most {named} rows, {size / 1e6:,.0f} MB"
    if run.config.evaluate.whole_pool:
        table = whole_set.table_of(run, name)
        size = 2 * table.layout.num_shards * sums_table.bytes_of(floats.features)
        yield f"whole pool   {name:20s} {table.layout.num_rows:,} rows, {size / 1e6:,.0f} MB of sums"


def _rows(run: Run, name: str) -> dict[str, int]:
    """Rows of the tables `embedded/`."""
    rows, config = {"real": run.num_evaluation_rows + run.evaluation_rows}, run.config.evaluate
    if not reads_classifiers_table(run, name):
        chosen = config.num_repeats * run.evaluation_rows * len(arms_of(config.rivals))
        rows["generated"] = min(chosen, run.config.generate.num_samples)
    return rows


def _time(run: Run, name: str) -> Time:
    config, step = run.config.evaluate, f"embed {name}"
    if run.config.num_gpus:
        return Time(step, None, ON_GPUS)
    extractor = at_hand(run, name)
    if extractor is None:
        field = "evaluate.inception_weights" if name == "inception" else "evaluate.extractor_weights"
        return Time(step, None, f", since a dry run downloads no weights; name a file in {field}")
    torch.set_num_threads(config.pool.num_threads)
    count = sum(_rows(run, name).values())
    if config.whole_pool and not reads_classifiers_table(run, name):
        count += run.config.generate.num_samples
    return at_rate(step, rows_per_s(extractor, run.image_shape), count, config.pool.max_actors)
