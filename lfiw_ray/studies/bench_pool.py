"""Selection from a pool of up to 10^9 weights in sharded Parquet, on all cores of this cluster.

The pool is 1,000 shards of 1,007,616 rows (a multiple of 8,192); smaller pools are its first 10 and 100 shards.  Rows
are read with their checksums verified, as in a run.  Times are of the whole selection by the driver's clock.

DSIR (Xie et al. 2023) has published 353 s on 96 cores for resampling 10^7 of 1.7 10^9 documents.  That is another
machine, and its time includes copying out the chosen documents, which ours does not; hence a row beside it, no goal.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import ray

from lfiw_ray.config_selections import Scheme
from lfiw_ray.core import blocks, noise
from lfiw_ray.core.blocks import WEIGHT_BLOCK
from lfiw_ray.core.forms import Form
from lfiw_ray.engine.groups import over_groups
from lfiw_ray.engine.look import Pool
from lfiw_ray.engine.resample import select
from lfiw_ray.engine.wanted import Wanted
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table, groups
from lfiw_ray.store.tables import weights_parquet
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row

ROWS_PER_SHARD = 123 * WEIGHT_BLOCK
_DSIR_CORE_SECONDS_PER_ITEM = 353 * 96 / 1.7e9


def in_shards(quick: bool, folder_url: str | None) -> list[Row]:
    """All rows; `quick` takes a hundredth of the shards.

    Parameters
    ----------
    folder_url : where the pool is written, 8 GB, and removed again; a URL that all nodes of the cluster reach.  None:
        a temporary folder of this machine.
    """
    num_shards, k = (10, 10**4) if quick else (1000, 10**6)
    cores = int(ray.cluster_resources()["CPU"])
    with tempfile.TemporaryDirectory(prefix="lfiw-bench-") as here:
        table = _write(f"{folder_url or here}/lfiw-bench", num_shards, cores)
        try:
            sizes = sorted({max(num_shards // 100, 1), max(num_shards // 10, 1), num_shards})
            seconds = {size: _seconds(_first(table, size), max(k * size // num_shards, 1), cores) for size in sizes}
            return [*_scale(table, seconds, k, cores), _few_draws(table, cores)]
        finally:
            for shard in range(num_shards):
                shards.discard(table.folder, shard)


def _write(url: str, num_shards: int, cores: int) -> Table:
    """A committed weights table of log weights N(0, 1.5^2)."""
    table = Table(url, "bench", Layout(num_shards * ROWS_PER_SHARD, ROWS_PER_SHARD))
    for _ in over_groups("writing the pool", partial(_write_shards, table), groups(range(num_shards), 8 * cores)):
        pass
    return table


def _write_shards(table: Table, some: list[int]) -> None:
    for shard in some:
        start, stop = table.layout.bounds(shard)
        log_w = noise.generator(0, "bench", shard).standard_normal(stop - start, np.float32)
        log_w *= 1.5
        data = weights_parquet(np.arange(start, stop), log_w, log_w)
        sums = {"blocks": blocks.to_json(blocks.block_stats(log_w, start))}
        shards.commit(Folder(table.url), shard, table.plan, stop - start, data, sums)


def _first(table: Table, num_shards: int) -> Table:
    return table._replace(layout=Layout(num_shards * ROWS_PER_SHARD, ROWS_PER_SHARD))


def _wanted(scheme: Scheme, k: int) -> Wanted:
    return Wanted(scheme, scheme, k, 0, Form().apply, "marks", 1)


def _seconds(table: Table, k: int, cores: int) -> float:
    """Median seconds of a selection; larger pools are selected from fewer times."""
    repeats = 5 if table.layout.num_shards <= 100 else 3
    return bench.timed(lambda: select(Pool(table, None), [_wanted("gumbel", k)], cores), repeats)


def _scale(table: Table, seconds: dict[int, float], k: int, cores: int) -> list[Row]:
    num_rows, largest = table.layout.num_rows, max(seconds)
    core_seconds = seconds[largest] * cores / num_rows
    work = f"Gumbel-top-k, N = {num_rows:,} in {largest:,} shards of Parquet, k = {k:,}, {cores} cores"
    return [
        *(
            bench.measured(f"Gumbel-top-k, N = {size * ROWS_PER_SHARD:,} in {size:,} shards", "s", took)
            for size, took in seconds.items()
        ),
        bench.measured(work, "s", seconds[largest], 60.0),
        *(
            bench.measured(
                f"time a row at {largest:,} shards / at {size:,} shards",
                "",
                seconds[largest] / largest * size / took,
                1.2,
            )
            for size, took in seconds.items()
            if size < largest
        ),
        bench.measured("peak memory of the driver", "MB", bench.peak_rss_bytes() / 1e6, 500.0),
        bench.measured("peak memory of the largest worker", "MB", _largest_worker_bytes() / 1e6, 1000.0),
        bench.beside(
            "core-seconds an item", "ns", 1e9 * core_seconds, "DSIR, published", 1e9 * _DSIR_CORE_SECONDS_PER_ITEM
        ),
    ]


def _few_draws(table: Table, cores: int) -> Row:
    """Share of the weights that k = N / 10^5 draws with replacement read, with the block sums in the marks."""
    num_rows = table.layout.num_rows
    chosen = select(Pool(table, None), [_wanted("sir", num_rows // 10**5)], cores)["sir"]
    hit = len(np.unique(chosen.sample_ids // WEIGHT_BLOCK))
    share = hit / -(-num_rows // WEIGHT_BLOCK)
    return bench.measured(f"SIR, N = {num_rows:,}, k = N / 10^5: share of the weights read", "", share, 0.1)


def _largest_worker_bytes() -> int:
    """Peak resident memory of Ray's largest worker on this machine, shared memory included."""
    peaks = [_peak_bytes(path) for path in Path("/proc").glob("[0-9]*") if _is_worker(path)]
    return max(peaks, default=0)


def _is_worker(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes().startswith(b"ray::")
    except OSError:  # it has ended
        return False


def _peak_bytes(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
