"""Fill tables of features, a shard of one of them a unit of work, whatever the extractor.

Units are numbered with those of an extractor side by side, so that an actor rarely loads another one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lfiw_ray.data.image_data import shape_text
from lfiw_ray.engine.features import refuse_other_weights
from lfiw_ray.engine.pool import Done
from lfiw_ray.errors import DataError, NonFiniteError
from lfiw_ray.models.extractors import Extractor
from lfiw_ray.store import shards
from lfiw_ray.store.contents import understood
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import features_table, to_parquet


class Unit(NamedTuple):
    """A shard of one table of features."""

    extractor: str
    part: str
    shard: int


Images = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
"""From row numbers start, stop of a table to sample ids and images."""


class EmbedWorker:
    """Features of some tables' shards.

    Parameters
    ----------
    build : an extractor by name.
    units : what the numbers of `run_shard` stand for.
    tables : by extractor and part.
    images : by part.
    weights : by extractor, the digest of the weights that it must have, where other tables say so.
    dtype : how features are kept.
    image_shape : of all images.
    """

    def __init__(
        self,
        build: Callable[[str], Extractor],
        units: Sequence[Unit],
        tables: Mapping[tuple[str, str], Table],
        images: Mapping[str, Images],
        weights: Mapping[str, str],
        dtype: str,
        image_shape: tuple[int, int, int],
    ):
        self._build, self._units, self._tables, self._images = build, units, tables, images
        self._weights, self._dtype, self._image_shape = dict(weights), dtype, image_shape
        self._current: tuple[str, Extractor] | None = None

    def run_shard(self, index: int) -> Done:
        """Extract and commit a shard; one that is committed already is left alone.

        Raises
        ------
        ConfigError
            The extractor's weights are not those that the other shards were made with.
        DataError
            Images of another shape.
        NonFiniteError
            A feature is not finite, or too large to be kept as float16.
        """
        unit = self._units[index]
        table = self._tables[unit.extractor, unit.part]
        start, stop = table.layout.bounds(unit.shard)
        if table.is_done(unit.shard):
            return Done.of(table.mark(unit.shard), made=False)
        extractor = self._extractor(unit.extractor)
        sample_ids, x = self._images[unit.part](start, stop)
        if x.shape[1:] != self._image_shape:
            shapes = " and ".join(shape_text(shape) for shape in (x.shape[1:], self._image_shape))
            raise DataError(f"{unit.part} images are {shapes} in one run; generated and real ones must be alike")
        try:
            found = extractor.extract(x, sample_ids)
        except NonFiniteError as err:
            raise NonFiniteError(f"{table.path(unit.shard)}: {err}") from err
        _refuse_overflow(found.features, sample_ids, self._dtype, unit.extractor)
        data = to_parquet(features_table(sample_ids, found.features, found.probabilities, self._dtype))
        about = {"extractor": extractor.describe(), "table_rows": table.layout.num_rows}
        mark = shards.commit(table.folder, unit.shard, table.plan, stop - start, data, about)
        return Done.of(mark, made=True)

    def _extractor(self, name: str) -> Extractor:
        """The extractor, kept until another one is asked for."""
        if self._current is None or self._current[0] != name:
            extractor = self._build(name)
            expected = self._weights.get(name) or self._committed(name)
            if expected is not None:
                refuse_other_weights(extractor, expected)
            self._current = name, extractor
        return self._current[1]

    def _committed(self, name: str) -> str | None:
        """Digest of the weights that shards of an extractor were made with; None when there are none."""
        marks = (mark for key, table in self._tables.items() if key[0] == name for mark in shards.done_marks(table))
        first = next(marks, None)
        with understood(f"a done mark of the features of {name}"):
            return None if first is None else str(first.extra["extractor"]["weights_sha256"])


def _refuse_overflow(values: np.ndarray, sample_ids: np.ndarray, dtype: str, extractor: str) -> None:
    largest = np.abs(values).max(axis=1, initial=0.0)
    over = np.flatnonzero(largest > np.finfo(dtype).max)
    if len(over):
        raise NonFiniteError(
            f"features of the extractor {extractor}, sample id {sample_ids[over[0]]}: {largest[over[0]]:g} does not "
            f"fit {dtype}; set evaluate.feature_dtype = float32"
        )
