"""The feature space of a sweep: the pool's features, extracted once, and the real rows in three parts.

| real evaluation rows | used for |
|---|---|
| training | a trial's calibrator |
| validation | comparing trials, and choosing the winner |
| test | the winner's figures, once |

The parts are thirds of the evaluation rows in a random order.  The pool is cut into disjoint pools of equal size: the
first ones validate, the others test, so that neither the real nor the generated rows of the winner's figures chose it.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.core import noise
from lfiw_ray.core.digest import digest
from lfiw_ray.engine.embed import POOL, REAL, ROWS_PER_SHARD
from lfiw_ray.engine.features import gather_features
from lfiw_ray.engine.fill_features import fill_features, in_store, reads_classifiers_table
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.run import Run
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.studies.sweep_trial import Target, target_of


class Parts(NamedTuple):
    """Rows of the evaluation split, each (n,) int64 and increasing; disjoint."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Pools(NamedTuple):
    """First sample ids of the disjoint pools, and the rows of each."""

    rows: int
    validation: list[int]
    test: list[int]


class Space(NamedTuple):
    """The extractor's description, its table of the pool, and references to the real rows as targets."""

    description: dict[str, Any]
    table: Table
    validation: Any
    test: Any


def parts_of(num_rows: int, seed: int) -> Parts:
    """Thirds of the real evaluation rows, by the seed alone."""
    order = noise.generator(seed, "sweep split").permutation(num_rows)
    return Parts(*(np.sort(part) for part in np.array_split(order, 3)))


def pools_of(num_samples: int, num_validation: int, num_test: int) -> Pools:
    """The pool in disjoint pools of as many rows as possible."""
    rows = num_samples // (num_validation + num_test)
    starts = [place * rows for place in range(num_validation + num_test)]
    return Pools(rows, starts[:num_validation], starts[num_validation:])


def space_of(run: Run, name: str, x: Any, parts: Parts) -> Space:
    """Extract what is not extracted yet, into `inputs/spaces/<name>/`, which sweeps of other settings share.

    Parameters
    ----------
    x : reference to the real evaluation rows (n, H, W, C) uint8.
    """
    samples = run.table("samples")
    # the first plan stands for the data and their splits too
    before = {REAL: [run.plans["domain"]], POOL: [run.plans["domain"], samples.plan]}
    sizes = {REAL: sum(len(part) for part in parts), POOL: samples.layout.num_rows}
    tables = {part: _table(run, name, part, sizes[part], plans) for part, plans in before.items()}
    pool = tables[POOL]
    if reads_classifiers_table(run, name):
        pool = run.table("features/samples")
        del tables[POOL]
    images = {REAL: partial(in_store, x), POOL: partial(_samples, samples)}
    wanted = {(name, part): table for part, table in tables.items()}
    description = fill_features(run, f"sweep in {name}", wanted, images)[name]
    targets = [_target.remote(tables[REAL], rows) for rows in (parts.validation, parts.test)]
    return Space(description, pool, *targets)


def _table(run: Run, name: str, part: str, num_rows: int, before: list[str]) -> Table:
    space = {"extractor": name, "dtype": run.config.evaluate.feature_dtype}
    plan = digest({"stage": f"sweep features, {part}", "before": before, **space})
    return Table(run.folder(f"inputs/spaces/{name}/{part}").url, plan, Layout(num_rows, ROWS_PER_SHARD))


def _samples(samples: Table, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and images of consecutive samples."""
    sample_ids = np.arange(start, stop)
    return sample_ids, gather_images(samples, sample_ids)


@ray.remote
def _target(table: Table, rows: np.ndarray) -> Target:
    return target_of(gather_features(table, rows).features)
