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
from lfiw_ray.engine import features
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.features import ExtractWorker, build_extractor
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.run import Run
from lfiw_ray.store.shards import Table, pending
from lfiw_ray.studies.sweep_trial import target_of


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
    """Extract what is not extracted yet.

    Parameters
    ----------
    x : reference to the real evaluation rows (n, H, W, C) uint8.
    """
    with unwrapped("features of the sweep's real rows"):
        task = _real.options(num_returns=3, num_gpus=run.config.num_gpus)
        description, validation, test = task.remote(run, name, x, parts)
        found: dict[str, Any] = ray.get(description)
    return Space(found, _pool_features(run, name, found), validation, test)


@ray.remote
def _real(run: Run, name: str, x: np.ndarray, parts: Parts) -> tuple[Any, ...]:
    extractor = build_extractor(run, name)
    return (
        extractor.describe(),
        *(target_of(extractor.extract(x[rows]).features) for rows in (parts.validation, parts.test)),
    )


def _pool_features(run: Run, name: str, description: dict[str, Any]) -> Table:
    """The pool's features: the classifier's table where it is of this extractor, else one of its own."""
    if features.pool_has(run, description):
        return run.table("features/samples")
    samples, sha256 = run.table("samples"), description["weights_sha256"]
    plan = digest({"stage": "sweep features", "before": [samples.plan], "extractor": name, "weights": sha256})
    table = Table(run.folder(f"inputs/spaces/{name}").url, plan, samples.layout)
    worker = partial(ExtractWorker, partial(build_extractor, run, name), sha256, samples, table)
    step = Step("extract", worker, run.config.score.pool, run.config.num_gpus)
    run_shards(f"features of the pool by {name}", pending(table), [step])
    return table
