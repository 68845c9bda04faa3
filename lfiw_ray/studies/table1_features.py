"""The rows of the table's arms, and their features: each distinct row is extracted once, by the evaluation's workers.

Rows are chosen pool by pool and kept (`table1_job` says where).  The distinct sample ids of all arms of a pool under
all protocols have a table of features of their own, and so have the distinct real rows; a unit of work is a shard of
one of them, so that a killed table goes on without extracting a row again.  Where the classifier's own table of
features is of the same extractor, the samples' features are read from it.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.engine import features
from lfiw_ray.engine.arms import Rows
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.embed import REAL
from lfiw_ray.engine.embed_worker import Images
from lfiw_ray.engine.fill_features import fill_features, in_store, reads_classifiers_table
from lfiw_ray.engine.read import gather_images, read_log_w
from lfiw_ray.engine.run import Real
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import shards, tables
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import from_parquet, to_parquet
from lfiw_ray.studies import table1_arms
from lfiw_ray.studies.table1_job import Job

ROWS_PER_SHARD = 1024  # about a minute of a core's time where features are dear

Arms = dict[str, dict[str, Rows]]  # by protocol, by name


def rows_table(job: Job) -> Table:
    """The rows of the arms, named `<protocol>/<arm>`; shard r is pool r."""
    per_pool = sum(protocol.num_rows for protocol in job.sizes.protocols) * len(table1_arms.NAMES)
    return Table(job.folder("rows").url, job.plan, Layout(job.sizes.num_repeats * per_pool, per_pool))


def choose(job: Job) -> None:
    """Choose the rows of the pools that have not been chosen for yet, each pool a task."""
    with unwrapped("rows of the table"):
        ray.get([_choose.remote(job, repeat) for repeat in shards.pending(rows_table(job))])


@ray.remote
def _choose(job: Job, repeat: int) -> None:
    start, table, seed = repeat * job.pool_rows, rows_table(job), job.run.config.seed
    log_w = read_log_w(job.run.table("weights"), start, start + job.pool_rows)
    found = {
        f"{protocol.name}/{name}": rows
        for protocol in job.sizes.protocols
        for name, rows in table1_arms.rows_of(log_w, start, protocol.num_rows, job.alpha, job.sizes.beta, seed).items()
    }
    num_rows = sum(len(rows.sample_ids) for rows in found.values())
    extra = {"distinct": len(_distinct(found.values()))}
    shards.commit(table.folder, repeat, table.plan, num_rows, to_parquet(tables.arms_table(found)), extra)


def arms_of_pool(job: Job, repeat: int) -> Arms:
    """The rows of each arm of a pool."""
    out: Arms = {protocol.name: {} for protocol in job.sizes.protocols}
    for name, rows in tables.arms_of(from_parquet(rows_table(job).read(repeat))).items():
        protocol, arm = name.split("/")
        out[protocol][arm] = Rows(*rows)
    return out


def distinct_ids(arms: Arms) -> np.ndarray:
    """(m,) int64 sample ids of a pool that stand for any arm, increasing."""
    return _distinct([rows for by_name in arms.values() for rows in by_name.values()])


def _distinct(arms: Iterable[Rows]) -> np.ndarray:
    return np.unique(np.concatenate([rows.sample_ids for rows in arms]))


def embed(job: Job, real: Real, real_rows: np.ndarray, repeats: Sequence[int]) -> dict[str, Any]:
    """Extract what is not extracted yet; returns the extractor's description.

    Parameters
    ----------
    real_rows : (n,) int64 numbers of distinct real rows, increasing.
    repeats : the pools whose features are needed; their rows are chosen.

    Raises
    ------
    ConfigError
        The extractor's weights are not those that other shards, or the classifier's features, were made with.
    """
    pools = [] if reads_classifiers_table(job.run, job.extractor) else repeats
    (x,) = real.share(real.data.x[real_rows])
    parts = {REAL: real_table(job, len(real_rows))} | {_pool(repeat): pool_table(job, repeat) for repeat in pools}
    tables = {(job.extractor, part): table for part, table in parts.items()}
    images: dict[str, Images] = {
        REAL: partial(in_store, x),
        **{_pool(repeat): PoolImages(job, repeat) for repeat in pools},
    }
    return fill_features(job.run, f"table in {job.extractor}", tables, images)[job.extractor]


def real_table(job: Job, num_rows: int) -> Table:
    """Features of the real rows."""
    return Table(job.folder(f"embedded/{REAL}").url, job.plan, Layout(num_rows, ROWS_PER_SHARD))


def pool_table(job: Job, repeat: int) -> Table:
    """Features of the distinct rows of a pool, which has been chosen for."""
    num_rows = int(rows_table(job).mark(repeat).extra["distinct"])
    return Table(job.folder(f"embedded/{_pool(repeat)}").url, job.plan, Layout(num_rows, ROWS_PER_SHARD))


def _pool(repeat: int) -> str:
    return f"pool-{repeat:02d}"


def pool_features(job: Job, repeat: int, sample_ids: np.ndarray) -> Extracted:
    """Features of the distinct ids of a pool."""
    if reads_classifiers_table(job.run, job.extractor):
        return features.gather_features(job.run.table("features/samples"), sample_ids)
    return features.gather_features(pool_table(job, repeat), np.arange(len(sample_ids)))


class PoolImages:
    """Sample ids and images of consecutive rows among the distinct ids of a pool."""

    def __init__(self, job: Job, repeat: int):
        self._job, self._repeat = job, repeat
        self._ids: np.ndarray | None = None  # the next shard is mostly of the same pool

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        if self._ids is None:
            self._ids = distinct_ids(arms_of_pool(self._job, self._repeat))
        sample_ids = self._ids[start:stop]
        return sample_ids, gather_images(self._job.run.table("samples"), sample_ids)
