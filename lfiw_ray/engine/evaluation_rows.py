"""Stage: which rows of each pool stand for each arm, with which weights; a shard of `evaluation_rows/` is a pool.

Each pool is a task that reads its weights, chooses, and commits; the driver sees no row.  The distinct sample ids of
all arms of a pool, sorted, are what is embedded; as pools are disjoint ranges of ids, one after the other they are
the sorted distinct ids of the whole run.
"""

import numpy as np
import ray

from lfiw_ray.core.forms import Form
from lfiw_ray.engine.arms import Rows, arms_of, choose_rows
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.read import read_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ShardError
from lfiw_ray.store import shards, tables
from lfiw_ray.store.contents import understood
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import from_parquet, to_parquet

STAGE = "evaluation_rows"


def rows_table(run: Run) -> Table:
    """The rows of the arms; shard r is pool r."""
    per_pool = run.evaluation_rows * len(arms_of(run.config.evaluate.rivals))
    layout = Layout(run.config.evaluate.num_repeats * per_pool, per_pool)
    return Table(run.folder(STAGE).url, run.plans[STAGE], layout)


def pool_rows(run: Run) -> int:
    """Rows of each of the disjoint pools."""
    return run.config.generate.num_samples // run.config.evaluate.num_repeats


def choose(run: Run, form: Form) -> None:
    """Choose the rows of the pools that have not been chosen for yet."""
    with unwrapped(STAGE):
        ray.get([_choose.remote(run, form, repeat) for repeat in shards.pending(rows_table(run))])


@ray.remote
def _choose(run: Run, form: Form, repeat: int) -> None:
    size, table = pool_rows(run), rows_table(run)
    start = repeat * size
    log_w = read_log_w(run.table("weights"), start, start + size)
    naive_log_w = read_log_w(run.naive_table, start, start + size)
    config = run.config
    arms = choose_rows(log_w, naive_log_w, start, run.evaluation_rows, form.apply, config.seed, config.evaluate.rivals)
    data, distinct = to_parquet(tables.arms_table(arms)), len(_distinct(arms))
    rows = sum(len(rows.sample_ids) for rows in arms.values())
    shards.commit(table.folder, repeat, table.plan, rows, data, {"distinct": distinct})


def arms_of_pool(run: Run, repeat: int) -> dict[str, Rows]:
    """The rows of each arm of a pool."""
    found = tables.arms_of(from_parquet(rows_table(run).read(repeat)))
    return {name: Rows(*rows) for name, rows in found.items()}


def distinct_ids(run: Run, repeat: int) -> np.ndarray:
    """(m,) int64 sample ids of a pool that stand for any arm, increasing."""
    return _distinct(arms_of_pool(run, repeat))


def _distinct(arms: dict[str, Rows]) -> np.ndarray:
    return np.unique(np.concatenate([rows.sample_ids for rows in arms.values()]))


def first_rows(run: Run) -> list[int]:
    """Where the distinct ids of each pool begin among those of all pools, and how many there are in all.

    Raises
    ------
    ShardError
        When a pool has not been chosen for.
    """
    table = rows_table(run)
    with understood(f"a done mark in {table.url}"):
        counts = [int(mark.extra["distinct"]) for mark in shards.done_marks(table)]
    if len(counts) < table.layout.num_shards:
        raise ShardError(f"{table.url} is not complete; run jobs/evaluate.py")
    return [0, *np.cumsum(counts).tolist()]
