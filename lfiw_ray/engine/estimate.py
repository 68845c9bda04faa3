"""What a run would do and cost, before it does it."""

import math

from lfiw_ray.engine.run import Run
from lfiw_ray.store import runs, shards
from lfiw_ray.store.folder import Folder

PARQUET_OVERHEAD = 1.02  # of incompressible images; real ones are smaller


def describe(run: Run) -> list[str]:
    """Lines: plan per stage, shards to do, storage; StoreError when the folder is of another plan."""
    config, pool = run.config, run.table("samples").layout
    runs.open_run(Folder(run.url), config.planned(), run.plans, {}, dry=True)
    image_bytes = math.prod(run.image_shape)
    lines = [f"run folder   {run.url}"]
    lines += [f"plan         {stage:12s} {plan}" for stage, plan in run.plans.items()]
    for name in ("fit_samples", "samples", "weights"):
        table = run.table(name)
        todo = len(shards.pending(table))
        lines.append(
            f"would run    {name:12s} {todo} of {table.layout.num_shards} shards, {table.layout.num_rows:,} rows"
        )
    samples_bytes = pool.num_rows * (image_bytes + 8) * PARQUET_OVERHEAD
    weights_bytes = pool.num_rows * 16 * PARQUET_OVERHEAD
    resampled_bytes = len(config.resample.schemes) * config.resample.k * (image_bytes + 24) * PARQUET_OVERHEAD
    lines.append(
        f"storage      at most {samples_bytes / 1e6:,.0f} MB samples, {weights_bytes / 1e6:,.0f} MB weights, "
        f"{resampled_bytes / 1e6:,.0f} MB resampled"
    )
    return lines
