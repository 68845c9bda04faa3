"""Find what was torn or altered in a run folder and make it pending again, so that only that is done again."""

from lfiw_ray.engine.run import Run
from lfiw_ray.store import shards, stages

TABLES = ("fit_samples", "samples", "weights")
STAGES = ("generator", "domain", "classifier", "diagnostics", "selection", "resampled", "evaluation", "downstream")


def repair(run: Run) -> list[str]:
    """Read every byte, discard what does not fit its mark; returns one line for each.

    What was made from a damaged file is kept: the same plan makes the same bytes again.
    """
    lines = []
    for name in TABLES:
        table = run.table(name)
        for shard, reason in shards.damaged(table).items():
            shards.discard(table.folder, shard)
            lines.append(f"{name}/{shard:05d}: {reason}")
    for name in STAGES:
        damage = stages.damaged(run.folder(name))
        if damage is not None:
            stages.discard(run.folder(name))
            lines.append(f"{name}: {damage}")
    return lines
