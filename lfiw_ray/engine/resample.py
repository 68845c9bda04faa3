"""Stage: select rows of the pool, by any number of schemes at once, exactly and distributed.

One pass over the weights, by tasks over groups of shards, gives each selection's small state; states are merged
pairwise on the cluster, and the driver sees the last one.  Draws with replacement then read only the blocks of
8,192 rows that they hit; where the sums of the blocks are on disk already, they read nothing else.  Results depend
on (seed, sample id) alone.
"""

from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from lfiw_ray.core import fresh, ranks, topk
from lfiw_ray.core.blocks import BlockStats
from lfiw_ray.core.inclusion import guess_bar
from lfiw_ray.core.selection import Selection, joined
from lfiw_ray.core.weights import Monotone
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.draw import draw
from lfiw_ray.engine.groups import merged
from lfiw_ray.engine.look import Pool, look, merge_all
from lfiw_ray.engine.read import marked_blocks, shard_labels, spread_log_w
from lfiw_ray.engine.reject import reject
from lfiw_ray.engine.run import Run
from lfiw_ray.engine.wanted import RANKED, REJECTED, REPLACED, Wanted, wanted_of
from lfiw_ray.store import stages
from lfiw_ray.store.shards import groups
from lfiw_ray.store.tables import SELECTION, from_parquet, to_parquet


def resample(run: Run, form: Monotone, kept: BlockStats | None = None) -> dict[str, Any]:
    """Select, unless it is done; returns sizes per selection.

    Parameters
    ----------
    form : from the log weights at rest to those used.
    kept : sums of all blocks in that form, where they are on disk.
    """
    folder, plan, config = run.folder("selection"), run.plans["selection"], run.config.resample
    if (done := stages.finished(folder, plan)) is not None:
        return done
    per_class = config.per_class or any(one.per_class for one in config.more)
    pool = Pool(run.table("weights"), run.table("samples") if per_class else None)
    wanted = wanted_of(run, form, _classes(pool, config.num_tasks) if per_class else [])
    chosen = select(pool, wanted, config.num_tasks, kept)
    files = {f"{name}.parquet": bytes(to_parquet(as_table(chosen[name]))) for name in config.names}
    result: dict[str, Any] = {
        name: {"rows": len(chosen[name].sample_ids), "ess": weight_ess(chosen[name])} for name in config.names
    }
    return stages.finish(folder, plan, files, result)


def select(pool: Pool, wanted: list[Wanted], num_tasks: int, kept: BlockStats | None = None) -> dict[str, Selection]:
    """All selections from a table of weights, by name.

    Parameters
    ----------
    kept : sums of all blocks in the run's own form, where they are on disk.

    Raises
    ------
    ConfigError
        When too few rows have a positive weight for a selection.
    NonFiniteError
        Naming the rows, when a weight is NaN or +inf.
    """
    cuts = groups(range(pool.weights.layout.num_shards), num_tasks)
    known = [_known(pool, one, kept) for one in wanted]
    seen = [one for one, stats in zip(wanted, known, strict=True) if stats is None and one.scheme not in REJECTED]
    states = iter(_look(pool, _with_bars(pool, seen), cuts))
    parts: list[tuple[str, Selection]] = []
    for one, stats in zip(wanted, known, strict=True):
        if one.scheme in REJECTED:
            chosen = reject(pool, one, cuts)
        elif one.scheme in REPLACED:
            chosen = draw(pool, one, stats if stats is not None else next(states), num_tasks)
        elif one.scheme in RANKED:
            chosen = (topk if one.scheme == "gumbel" else ranks).finish(next(states))
        else:
            chosen = fresh.finish(next(states))
        parts.append((one.name, chosen))
    return {name: joined([part for _, part in same]) for name, same in groupby(parts, key=lambda part: part[0])}


def _known(pool: Pool, one: Wanted, kept: BlockStats | None) -> BlockStats | None:
    """Block sums that need no pass over the weights."""
    if one.scheme not in REPLACED or one.sums is None:
        return None
    return kept if one.sums == "diagnostics" else marked_blocks(pool.weights)


def _look(pool: Pool, wanted: list[Wanted], cuts: list[list[int]]) -> list[Any]:
    """Merged states; a selection whose bar was too high is looked at again without one."""
    if not wanted:
        return []
    states: list[Any] = merged("resample", partial(look, pool, wanted), cuts, partial(merge_all, wanted))
    missed = [i for i, one in enumerate(wanted) if one.scheme == "gumbel" and not topk.complete(states[i])]
    again = _look(pool, [wanted[i]._replace(bar=-np.inf) for i in missed], cuts)
    for i, state in zip(missed, again, strict=True):
        states[i] = state
    return states


def _with_bars(pool: Pool, wanted: list[Wanted]) -> list[Wanted]:
    """Gumbel-top-k with a bar guessed from a sample of the weights, so that tasks keep few rows."""
    if not any(one.scheme == "gumbel" and one.label is None for one in wanted):
        return wanted
    with unwrapped("resample"):
        sample = ray.get(_sample.remote(pool))
    num_rows = pool.weights.layout.num_rows
    return [
        one._replace(bar=guess_bar(one.form(sample), num_rows, one.k))
        if one.scheme == "gumbel" and one.label is None
        else one
        for one in wanted
    ]


@ray.remote
def _sample(pool: Pool) -> np.ndarray:
    return spread_log_w(pool.weights)


def _classes(pool: Pool, num_tasks: int) -> list[int]:
    """The labels that occur in the samples, increasing."""
    cuts = groups(range(pool.weights.layout.num_shards), num_tasks)
    found: set[int] = merged("resample", partial(_labels_of, pool), cuts, _union)
    return sorted(found)


def _union(a: set[int], b: set[int]) -> set[int]:
    return a | b


def _labels_of(pool: Pool, shards: list[int]) -> set[int]:
    assert pool.samples is not None
    return {int(label) for shard in shards for label in np.unique(shard_labels(pool.samples, shard))}


def as_table(selection: Selection) -> pa.Table:
    """A selection as the table that is stored; schemes without keys have null there."""
    keys = pa.nulls(len(selection.sample_ids), pa.float64()) if selection.keys is None else selection.keys
    columns = [pa.array(selection.sample_ids), pa.array(keys), selection.multiplicity, selection.weight]
    return pa.Table.from_arrays([pa.array(c) if not isinstance(c, pa.Array) else c for c in columns], schema=SELECTION)


def read_selection(run: Run, name: str) -> Selection:
    """A finished selection."""
    table = from_parquet(stages.read(run.folder("selection"), f"{name}.parquet"))
    columns = {name: table.column(name).to_numpy() for name in ("sample_id", "multiplicity", "weight")}
    return Selection(columns["sample_id"], None, columns["multiplicity"], columns["weight"])


def weight_ess(selection: Selection) -> float:
    """Effective size of a selection by its output weights: (sum weight)^2 / sum weight^2; 0 of none."""
    return float(selection.weight.sum() ** 2 / (selection.weight**2).sum()) if len(selection.weight) else 0.0
