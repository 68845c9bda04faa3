"""Tables of the evaluation's features, filled by one pool of actors: a unit of work is a shard of one of them.

| where | rows |
|---|---|
| `embedded/<extractor>/real/` | the real rows to compare with, then the other real rows (`data.reference_rows`) |
| `embedded/<extractor>/pool/` | the distinct sample ids that stand for any arm of any pool, increasing |

Rows are extracted once, whatever the number of arms and repeats that read them.  Where the classifier's own table of
features is of the same extractor, the second is not made, and that one is read.  Every done mark holds the
extractor's description with the digest of its weights: shards of different weights never stand side by side.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from lfiw_ray.engine import features
from lfiw_ray.engine.embed_worker import Images
from lfiw_ray.engine.evaluation_rows import distinct_ids, first_rows
from lfiw_ray.engine.fill_features import fill_features, in_store, reads_classifiers_table
from lfiw_ray.engine.read import gather_images
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.errors import ShardError
from lfiw_ray.models.extractors import Extracted
from lfiw_ray.store import shards
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.shards import Layout, Table

ROWS_PER_SHARD = 2048
REAL, POOL = "real", "pool"


def table_of(run: Run, extractor: str, part: str, num_rows: int) -> Table:
    """One of the tables of the module docstring."""
    stage = f"embedded/{extractor}/{part}"
    return Table(run.folder(stage).url, run.plans[stage], Layout(num_rows, ROWS_PER_SHARD))


def num_real_rows(run: Run, real: Real) -> int:
    """Real rows that are embedded."""
    return run.num_evaluation_rows + len(real.reference(run.config).others[: run.evaluation_rows])


def embed(run: Run, real: Real) -> dict[str, dict[str, Any]]:
    """Fill the tables of all extractors; returns the extractors' descriptions, by name.

    Needs `evaluation_rows/`.

    Raises
    ------
    ConfigError
        An extractor's weights are not those that other shards, or the classifier's features, were made with.
    """
    return fill_features(run, "evaluation", _tables(run, real), _images(run, real))


def _tables(run: Run, real: Real) -> dict[tuple[str, str], Table]:
    """The tables to fill, by extractor and part."""
    sizes = {REAL: num_real_rows(run, real), POOL: first_rows(run)[-1]}
    return {
        (name, part): table_of(run, name, part, size)
        for name in run.config.evaluate.extractors
        for part, size in sizes.items()
        if part == REAL or not reads_classifiers_table(run, name)
    }


def _images(run: Run, real: Real) -> dict[str, Images]:
    """Where the images of each part come from."""
    rows = real.reference(run.config)
    (images,) = real.share(real.data.x[np.concatenate([rows.compared, rows.others[: run.evaluation_rows]])])
    return {REAL: partial(in_store, images), POOL: PoolImages(run)}


def pool_features(run: Run, extractor: str, repeat: int) -> Extracted:
    """Features of the distinct sample ids of a pool, in their order; reads only the row groups that hold them."""
    if reads_classifiers_table(run, extractor):
        return features.gather_features(run.table("features/samples"), distinct_ids(run, repeat))
    firsts = first_rows(run)
    table = table_of(run, extractor, POOL, firsts[-1])
    return features.gather_features(table, np.arange(firsts[repeat], firsts[repeat + 1]))


def real_features(run: Run, extractor: str, num_rows: int) -> tuple[Extracted, Extracted]:
    """Features of the real rows that are compared with, and of the other `num_rows` less those."""
    found = features.gather_features(table_of(run, extractor, REAL, num_rows), np.arange(num_rows))
    cut = run.num_evaluation_rows
    probabilities = (None, None) if found.probabilities is None else np.split(found.probabilities, [cut])
    first, second = (Extracted(f, p) for f, p in zip(np.split(found.features, [cut]), probabilities, strict=True))
    return first, second


def kept_tables(run: Run) -> Iterator[tuple[str, Table]]:
    """Stage and table of those that have a shard already, for who has not the real data at hand."""
    for name in run.config.evaluate.extractors:
        for part in (REAL, POOL):
            stage = f"embedded/{name}/{part}"
            num_rows = _rows_as_marked(run.folder(stage))
            if num_rows:
                yield stage, table_of(run, name, part, num_rows)


def _rows_as_marked(folder: Folder) -> int:
    """Rows of a whole table as its done marks say; where all are damaged, as many as their shards may hold."""
    stems = (name.removesuffix(".json") for name in folder.sizes() if name.endswith(".json"))
    marked = sorted(int(stem) for stem in stems if stem.isdecimal())
    for shard in marked:
        try:
            rows = shards.read_mark(folder, shard).extra.get("table_rows")
        except ShardError:
            continue
        if isinstance(rows, int):
            return rows
    return (marked[-1] + 1) * ROWS_PER_SHARD if marked else 0


class PoolImages:
    """Sample ids and images of consecutive rows among the distinct ids of all pools."""

    def __init__(self, run: Run):
        self._run, self._firsts = run, first_rows(run)
        self._last: tuple[int, np.ndarray] | None = None  # a pool and its ids: the next shard is mostly of the same

    def __call__(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        firsts, parts = self._firsts, []
        for pool in range(len(firsts) - 1):
            low, high = max(start, firsts[pool]), min(stop, firsts[pool + 1])
            if low < high:
                parts.append(self._ids(pool)[low - firsts[pool] : high - firsts[pool]])
        sample_ids = np.concatenate(parts)
        return sample_ids, gather_images(self._run.table("samples"), sample_ids)

    def _ids(self, pool: int) -> np.ndarray:
        if self._last is None or self._last[0] != pool:
            self._last = pool, distinct_ids(self._run, pool)
        return self._last[1]
