"""All samples of the pool as one set, raw and weighted, in memory that does not grow with their number.

| where | rows |
|---|---|
| `whole_pool/<extractor>/` | shard g: sums over group g of the samples (`store.sums_table`), sets `raw`, `weighted` |

A group is some consecutive shards of `samples/`.  An actor reads or extracts their features a shard at a time, adds
them up, and commits; a killed run goes on with the groups that are left.  There are at most `MAX_GROUPS` groups,
because each keeps two scatter matrices; they depend on the number of samples alone, and their sums are merged in their
order, so that neither workers nor kills change a bit.  So a million images give one FID and one Inception Score of a
million rows; a kernel distance or neighbours, which need all pairs, do not.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import ray

from lfiw_ray.core import frechet, inception_score, moments, set_sums
from lfiw_ray.core.forms import Form
from lfiw_ray.core.set_sums import Sums
from lfiw_ray.engine.features import build_extractor, refuse_other_weights
from lfiw_ray.engine.fill_features import reads_classifiers_table
from lfiw_ray.engine.measure import Reference
from lfiw_ray.engine.pool import Done, Step, run_shards
from lfiw_ray.engine.read import shard_log_w, shards_of
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.models.extractors import Extracted, Extractor
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.sums_table import sums_of, sums_table
from lfiw_ray.store.tables import from_parquet, images_of, to_parquet, vectors_of

MAX_GROUPS = 64


def table_of(run: Run, extractor: str) -> Table:
    """The table of the module docstring."""
    stage, samples = f"whole_pool/{extractor}", run.table("samples").layout
    shards_a_group = -(-samples.num_shards // MAX_GROUPS)
    layout = Layout(samples.num_rows, shards_a_group * samples.rows_per_shard)
    return Table(run.folder(stage).url, run.plans[stage], layout)


def measure_pool(
    run: Run, form: Form, weights: Mapping[str, str], references: Mapping[str, "ray.ObjectRef[Reference]"]
) -> dict[str, dict[str, Any]]:
    """The whole pool in each space: {extractor: {"raw": figures, "weighted": figures}}.

    Parameters
    ----------
    weights : by extractor, the digest of the weights that the references' features were made with.

    Raises
    ------
    ConfigError
        An extractor has other weights.
    """
    units = [(name, group) for name in references for group in shards.pending(table_of(run, name))]
    worker = partial(SumWorker, run, form, units, weights)
    step = Step("sum", worker, run.config.evaluate.pool, run.config.num_gpus)
    run_shards("sums over the whole pool", range(len(units)), [step])
    found = [_finish.remote(run, name, weights[name], real) for name, real in references.items()]
    return dict(zip(references, ray.get(found), strict=True))


class SumWorker:
    """Sums over groups of samples; a unit of work is a group in the space of an extractor."""

    def __init__(self, run: Run, form: Form, units: Sequence[tuple[str, int]], weights: Mapping[str, str]):
        self._run, self._form, self._units, self._weights = run, form, units, weights
        self._current: tuple[str, Callable[[int], Extracted]] | None = None

    def run_shard(self, index: int) -> Done:
        """Add up and commit a group; one that is committed already is left alone."""
        name, group = self._units[index]
        table = table_of(self._run, name)
        start, stop = table.layout.bounds(group)
        if table.is_done(group):
            return Done(stop - start, made=False)
        if self._current is None or self._current[0] != name:
            self._current = name, self._reader(name)
        read = self._current[1]
        parts = (self._of_shard(read, shard) for shard in shards_of(self._run.table("samples"), start, stop))
        data = to_parquet(sums_table(reduce(merge, parts)))
        about = {"weights_sha256": self._weights[name]}
        return Done.of(shards.commit(table.folder, group, table.plan, stop - start, data, about), made=True)

    def _of_shard(self, read: Callable[[int], Extracted], shard: int) -> dict[str, Sums]:
        weights = self._run.table("weights")
        log_w = self._form.apply(shard_log_w(weights, shard), weights.layout.bounds(shard)[0])
        found = read(shard)
        return {"raw": set_sums.of(*found, None), "weighted": set_sums.of(*found, log_w)}

    def _reader(self, name: str) -> Callable[[int], Extracted]:
        """From a shard's number to the features of its rows."""
        if reads_classifiers_table(self._run, name):
            return partial(_read, self._run.table("features/samples"))
        extractor = build_extractor(self._run, name)
        refuse_other_weights(extractor, self._weights[name])
        return partial(_extract, extractor, self._run.table("samples"))


def _read(features: Table, shard: int) -> Extracted:
    table = from_parquet(features.read(shard))
    known = "probabilities" in table.column_names
    return Extracted(vectors_of(table, "features"), vectors_of(table, "probabilities") if known else None)


def _extract(extractor: Extractor, samples: Table, shard: int) -> Extracted:
    table = from_parquet(samples.read(shard))
    return extractor.extract(images_of(table), table.column("sample_id").to_numpy())


def merge(a: Mapping[str, Sums], b: Mapping[str, Sums]) -> dict[str, Sums]:
    """Each set of two disjoint parts."""
    return {name: set_sums.merge(sums, b[name]) for name, sums in a.items()}


@ray.remote
def _finish(run: Run, name: str, sha256: str, real: Reference) -> dict[str, Any]:
    return of_table(table_of(run, name), sha256, real)


def of_table(table: Table, sha256: str, real: Reference) -> dict[str, Any]:
    """Figures of the sets of a finished table, whose groups are merged in their order.

    Raises
    ------
    ConfigError
        A group is of an extractor with other weights than `sha256`.
    """
    for mark in shards.done_marks(table):
        if mark.extra["weights_sha256"] != sha256:
            raise ConfigError(
                f"{table.path(mark.shard)} is of weights of SHA-256 {mark.extra['weights_sha256'][:12]}..., the "
                f"reference of {sha256[:12]}...; remove {table.url} and run again"
            )
    groups = (sums_of(from_parquet(table.read(group))) for group in range(table.layout.num_shards))
    return {name: finish(real, sums) for name, sums in reduce(merge, groups).items()}


def finish(real: Reference, sums: Sums) -> dict[str, Any]:
    """FID, Inception Score where there are classes, number of rows and effective sample size."""
    score = {} if sums.score is None else {"inception_score": inception_score.finish(sums.score)}
    fid = frechet.to_target(real.target, sums.moments)
    return {"fid": fid, **score, "num_rows": sums.moments.num_rows, "ess": moments.ess(sums.moments)}
