"""Find what was torn or altered in a run folder and make it pending again, so that only that is done again."""

from collections.abc import Iterator

from lfiw_ray.engine import embed
from lfiw_ray.engine.committee import part_folder, part_name, parts_of
from lfiw_ray.engine.evaluation_rows import STAGE as EVALUATION_ROWS
from lfiw_ray.engine.evaluation_rows import rows_table
from lfiw_ray.engine.gather import resampled_table
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.whole_set import table_of
from lfiw_ray.store import shards, stages
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.mend import discard_damaged
from lfiw_ray.store.shards import Table

STAGES = (
    "generator",
    "domain",
    "features/real",
    "classifier",
    "naive_classifier",
    "diagnostics",
    "selection",
    "resampled",
    "evaluation",
    "curves",
    "downstream",
    "sweep",
)
STUDIES = ("inputs", "table1", "evaluations")  # whose stages have plans of their own


def repair(run: Run) -> list[str]:
    """Read every byte, discard what does not fit its mark; returns one line for each.

    What was made from a damaged file is kept: the same plan makes the same bytes again.
    """
    lines = []
    for name in run.tables:
        lines += _discarded(name, run.table(name))
    for scheme, table in _gathered(run):
        found = _discarded(f"resampled/{scheme}", table)
        if found:
            stages.discard(run.folder("resampled"))
        lines += found
    lines += _discarded(EVALUATION_ROWS, rows_table(run))
    for name, table in (*embed.kept_tables(run), *_summed(run)):
        lines += _discarded(name, table)
    for name in (*STAGES, *(f"studies/{study}" for study in run.config.studies.names)):
        lines += _unfinished(run.folder(name), name)
    for stage in ("classifier", "naive_classifier"):
        config = run.classifier_config(stage)
        for part in parts_of(config):
            found = _unfinished(part_folder(run, stage, part), f"{stage}/{part_name(config, part)}")
            if found:
                stages.discard(run.folder(stage))
            lines += found
    for name in STUDIES:
        lines += discard_damaged(run.folder(name), name)
    return lines


def _unfinished(folder: Folder, name: str) -> list[str]:
    """Make a damaged stage unfinished again; a line for it."""
    damage = stages.damaged(folder)
    if damage is None:
        return []
    stages.discard(folder)
    return [f"{name}: {damage}"]


def _discarded(name: str, table: Table) -> list[str]:
    found = shards.damaged(table)
    for shard in found:
        shards.discard(table.folder, shard)
    return [f"{name}/{shard:05d}: {reason}" for shard, reason in found.items()]


def _summed(run: Run) -> Iterator[tuple[str, Table]]:
    """The tables of sums over the whole pool."""
    names = run.config.evaluate.extractors if run.config.evaluate.whole_pool else []
    return ((f"whole_pool/{name}", table_of(run, name)) for name in names)


def _gathered(run: Run) -> Iterator[tuple[str, Table]]:
    """The resampled tables; none while the selection, which knows their sizes, is not finished or is damaged."""
    folder = run.folder("selection")
    if stages.damaged(folder) is None:
        for scheme, size in (stages.finished(folder, run.plans["selection"]) or {}).items():
            yield scheme, resampled_table(run, scheme, size["rows"])
