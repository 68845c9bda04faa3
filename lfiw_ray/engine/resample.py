"""Stage: select rows of the pool, without replacement (Gumbel-top-k) and with (SIR), exactly and distributed.

One pass over the weights by tasks over groups of shards gives both the top-k states, which merge, and the sums of
each block of 8,192 rows.  Draws with replacement are sent to blocks by their sums, and only blocks that were hit
are read again.  Results depend on (seed, sample id) alone.
"""

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lfiw_ray.core import blocks, sir, topk
from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.topk import TopK
from lfiw_ray.core.weights import flatten
from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.read import shard_log_w
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.shards import Table, groups
from lfiw_ray.store.tables import SELECTION, from_parquet, to_parquet


class Seen(NamedTuple):
    """What one pass over consecutive rows leaves behind."""

    top: TopK
    log_sums: np.ndarray


def resample(run: Run, alpha: float) -> dict[str, Any]:
    """Select, unless it is done; returns sizes per scheme."""
    folder, plan, config = run.folder("selection"), run.plans["selection"], run.config.resample
    if (done := stages.finished(folder, plan)) is not None:
        return done
    chosen = select(run.table("weights"), alpha, config.k, run.config.seed, config.num_tasks)
    files = {f"{name}.parquet": bytes(to_parquet(as_table(chosen[name]))) for name in config.schemes}
    result: dict[str, Any] = {
        name: {"rows": len(chosen[name].sample_ids), "ess": weight_ess(chosen[name])} for name in config.schemes
    }
    return stages.finish(folder, plan, files, result)


def select(table: Table, alpha: float, k: int, seed: int, num_tasks: int) -> dict[str, Selection]:
    """Both selections of k rows of a weights table.

    Raises
    ------
    ConfigError
        When fewer than k rows have a positive weight.
    NonFiniteError
        Naming the rows, when a weight is NaN or +inf.
    """
    cuts = groups(range(table.layout.num_shards), num_tasks)
    seen = list(over_groups("resample", partial(look, table, alpha, k, seed), cuts))
    top = reduce(topk.merge, (part.top for part in seen))
    draws = sir.allocate(np.concatenate([part.log_sums for part in seen]), k, seed)
    return {"gumbel": topk.finish(top), "sir": _draw(table, alpha, draws, num_tasks)}


def look(table: Table, alpha: float, k: int, seed: int, shards: list[int]) -> Seen:
    """One pass over some shards."""
    top, sums = topk.empty(k), []
    for shard in shards:
        start, log_w = table.layout.bounds(shard)[0], shard_log_w(table, shard)
        top = topk.extend(top, flatten(log_w, alpha), start, seed)
        sums.append(blocks.block_stats(log_w, start, alpha).log_sum)
    return Seen(top, np.concatenate(sums))


def _draw(table: Table, alpha: float, draws: sir.Draws, num_tasks: int) -> Selection:
    """Draw inside the blocks that were hit, by tasks over the shards that hold them."""
    hit = np.unique(draws.blocks // (table.layout.rows_per_shard // WEIGHT_BLOCK))
    cuts = groups(hit.tolist(), num_tasks)
    found = over_groups("resample", partial(draw_in_shards, table, alpha, draws), cuts)
    return sir.collect(np.concatenate(list(found)))


def draw_in_shards(table: Table, alpha: float, draws: sir.Draws, shards: list[int]) -> np.ndarray:
    """Sample ids of the draws that fall into some shards, one entry a draw."""
    out = []
    for shard in shards:
        start, log_w = table.layout.bounds(shard)[0], shard_log_w(table, shard)
        for low in range(0, len(log_w), WEIGHT_BLOCK):
            first, last = np.searchsorted(draws.blocks, (start + low) // WEIGHT_BLOCK + np.arange(2))
            if last > first:
                block = flatten(log_w[low : low + WEIGHT_BLOCK], alpha)
                out.append(start + low + sir.draw_in_block(block, draws.positions[first:last], start + low))
    return np.concatenate(out)


def as_table(selection: Selection) -> pa.Table:
    """A selection as the table that is stored; schemes without keys have null there."""
    keys = pa.nulls(len(selection.sample_ids), pa.float64()) if selection.keys is None else selection.keys
    columns = [pa.array(selection.sample_ids), pa.array(keys), selection.multiplicity, selection.weight]
    return pa.Table.from_arrays([pa.array(c) if not isinstance(c, pa.Array) else c for c in columns], schema=SELECTION)


def read_selection(run: Run, scheme: str) -> Selection:
    """A finished selection."""
    table = from_parquet(stages.read(run.folder("selection"), f"{scheme}.parquet"))
    columns = {name: table.column(name).to_numpy() for name in ("sample_id", "multiplicity", "weight")}
    return Selection(columns["sample_id"], None, columns["multiplicity"], columns["weight"])


def weight_ess(selection: Selection) -> float:
    """Effective size of a selection by its output weights: (sum weight)^2 / sum weight^2."""
    return float(selection.weight.sum() ** 2 / (selection.weight**2).sum())
