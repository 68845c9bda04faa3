"""Fill a study's tables of features in one space, by the evaluation's pool of actors, and say what they were made with.

A unit of work is a shard of one of the tables (`engine.embed_worker`); shards that are committed are left alone.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.engine import features
from lfiw_ray.engine.embed import reads_classifiers_table
from lfiw_ray.engine.embed_worker import EmbedWorker, Images, Unit
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Table


def fill(
    run: Run, what: str, extractor: str, tables: Mapping[str, Table], images: Mapping[str, Images]
) -> dict[str, Any]:
    """Extract what is not extracted yet; returns the extractor's description.

    Parameters
    ----------
    what : names the tables in messages.
    tables, images : of each part.

    Raises
    ------
    ConfigError
        The extractor's weights are not those that other shards, or the classifier's features, were made with.
    """
    wanted = {(extractor, part): table for part, table in tables.items()}
    units = [Unit(*key, shard) for key, table in wanted.items() for shard in shards.pending(table)]
    if units:
        reads = reads_classifiers_table(run, extractor)
        known = {extractor: str(features.description(run)["weights_sha256"])} if reads else {}
        build, dtype = partial(features.build_extractor, run), run.config.evaluate.feature_dtype
        worker = partial(EmbedWorker, build, units, wanted, images, known, dtype, run.image_shape)
        step = Step("embed", worker, run.config.evaluate.pool, run.config.num_gpus)
        run_shards(f"features of the {what}", range(len(units)), [step])
    return _description(what, list(tables.values()))


def in_store(x: "ray.ObjectRef[np.ndarray]", start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some rows of images that all nodes can read, and the images."""
    return np.arange(start, stop), ray.get(x)[start:stop]


def _description(what: str, tables: Sequence[Table]) -> dict[str, Any]:
    """The extractor's description from the done marks, which must all name the same weights."""
    marks = (mark.extra["extractor"] for table in tables for mark in shards.done_marks(table))
    found: dict[str, dict[str, Any]] = {about["weights_sha256"]: about for about in marks}
    if len(found) != 1:
        raise ConfigError(
            f"the features of the {what} were made with weights of SHA-256 {' and '.join(sorted(found))}; give the "
            f"same weights to all workers and remove {' and '.join(table.url for table in tables)}"
        )
    return found.popitem()[1]
