"""All samples of the pool as one set, raw and weighted, in memory that does not grow with their number.

Tasks read or extract the features of some shards, a shard at a time, and add them to moments and score sums; these
merge pairwise on the cluster.  So a million images give one FID and one Inception Score of a million rows; a kernel
distance or neighbours, which need all pairs, do not.  The result depends on the shards to rounding only.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import ray

from lfiw_ray.core import frechet, inception_score, moments
from lfiw_ray.core.forms import Form
from lfiw_ray.core.inception_score import ScoreState
from lfiw_ray.core.moments import Moments
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.embed import reads_classifiers_table
from lfiw_ray.engine.features import build_extractor, refuse_other_weights
from lfiw_ray.engine.measure import Reference
from lfiw_ray.engine.read import shard_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.models.extractors import Extracted, Extractor
from lfiw_ray.store.shards import Table, groups
from lfiw_ray.store.tables import from_parquet, images_of, vectors_of


class Sums(NamedTuple):
    """What is known of a set: moments of its features, and score sums where the extractor knows classes."""

    moments: Moments
    score: ScoreState | None


class Both(NamedTuple):
    """The same rows without weights and with them."""

    raw: Sums
    weighted: Sums


def sums_of(found: Extracted, log_w: np.ndarray | None) -> Sums:
    """Of the rows of one part, with log weights (N,), nats, or none."""
    probabilities = found.probabilities
    score = None if probabilities is None else inception_score.of(probabilities, log_w)
    return Sums(moments.of(found.features, log_w), score)


def merge(a: Both, b: Both) -> Both:
    """Of two disjoint parts."""
    return Both(_merged(a.raw, b.raw), _merged(a.weighted, b.weighted))


def _merged(a: Sums, b: Sums) -> Sums:
    score = None if a.score is None or b.score is None else inception_score.merge(a.score, b.score)
    return Sums(moments.merge(a.moments, b.moments), score)


def finish(real: Reference, sums: Sums) -> dict[str, Any]:
    """FID, Inception Score where there are classes, number of rows and effective sample size."""
    score = {} if sums.score is None else {"inception_score": inception_score.finish(sums.score)}
    fid = frechet.to_target(real.target, sums.moments)
    return {"fid": fid, **score, "num_rows": sums.moments.num_rows, "ess": moments.ess(sums.moments)}


def measure_pool(run: Run, form: Form, extractor: str, real: "ray.ObjectRef[Reference]") -> dict[str, Any]:
    """The whole pool in one space: {"raw": figures, "weighted": figures}."""
    table = run.table("samples")
    # a few parts a worker, for balance: each leaves two scatter matrices to be merged
    parts = groups(range(table.layout.num_shards), 4 * run.config.evaluate.pool.max_actors)
    options: dict[str, Any] = {"num_gpus": run.config.num_gpus}
    with unwrapped(f"the whole pool in the space {extractor}"):
        level = [_sum_shards.options(**options).remote(run, form, extractor, real, part) for part in parts]
        while len(level) > 1:
            level = [_merge.remote(*level[low : low + 2]) for low in range(0, len(level), 2)]
        found: dict[str, Any] = ray.get(_finish.remote(real, level[0]))
        return found


@ray.remote
def _sum_shards(run: Run, form: Form, name: str, real: Reference, shards: list[int]) -> Both:
    if reads_classifiers_table(run, name):
        read = partial(_read, run.table("features/samples"))
    else:
        extractor = build_extractor(run, name)
        refuse_other_weights(extractor, real.description["weights_sha256"])
        read = partial(_extract, extractor, run.table("samples"))
    total: Both | None = None
    for shard in shards:
        start = run.table("weights").layout.bounds(shard)[0]
        part = of_shard(read(shard), form.apply(shard_log_w(run.table("weights"), shard), start))
        total = part if total is None else merge(total, part)
    assert total is not None
    return total


def of_shard(found: Extracted, log_w: np.ndarray) -> Both:
    """Of one shard's rows."""
    return Both(sums_of(found, None), sums_of(found, log_w))


def _read(features: Table, shard: int) -> Extracted:
    table = from_parquet(features.read(shard))
    known = "probabilities" in table.column_names
    return Extracted(vectors_of(table, "features"), vectors_of(table, "probabilities") if known else None)


def _extract(extractor: Extractor, samples: Table, shard: int) -> Extracted:
    return extractor.extract(images_of(from_parquet(samples.read(shard))))


@ray.remote
def _merge(first: Both, second: Both | None = None) -> Both:
    return first if second is None else merge(first, second)


@ray.remote
def _finish(real: Reference, both: Both) -> dict[str, Any]:
    return {"raw": finish(real, both.raw), "weighted": finish(real, both.weighted)}
