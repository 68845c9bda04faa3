"""Fill tables of features by the evaluation's pool of actors, and say what they were made with.

A unit of work is a shard of one of the tables (`engine.embed_worker`); shards that are committed are left alone.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.engine import features
from lfiw_ray.engine.embed_worker import EmbedWorker, Images, Unit
from lfiw_ray.engine.pool import Step, run_shards
from lfiw_ray.engine.run import Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.store import shards
from lfiw_ray.store.contents import understood
from lfiw_ray.store.shards import Table


def fill_features(
    run: Run, what: str, tables: Mapping[tuple[str, str], Table], images: Mapping[str, Images]
) -> dict[str, dict[str, Any]]:
    """Extract what is not extracted yet; returns the extractors' descriptions, by name.

    Parameters
    ----------
    what : names the tables in messages.
    tables : by extractor and part.
    images : by part.

    Raises
    ------
    ConfigError
        An extractor's weights are not those that other shards, or the classifier's features, were made with.
    """
    units = [Unit(*key, shard) for key, table in tables.items() for shard in shards.pending(table)]
    if units:
        build, dtype = partial(features.build_extractor, run), run.config.evaluate.feature_dtype
        worker = partial(EmbedWorker, build, units, tables, images, _classifiers_weights(run), dtype, run.image_shape)
        step = Step("embed", worker, run.config.evaluate.pool, run.config.num_gpus)
        run_shards(f"features of the {what}", range(len(units)), [step])
    by_name: dict[str, list[Table]] = {}
    for (name, _), table in tables.items():
        by_name.setdefault(name, []).append(table)
    return {name: _description(of_name) for name, of_name in by_name.items()}


def in_store(x: "ray.ObjectRef[np.ndarray]", start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of some rows of images that all nodes can read, and the images."""
    return np.arange(start, stop), ray.get(x)[start:stop]


def reads_classifiers_table(run: Run, extractor: str) -> bool:
    """Whether the rows of the pool are read from the classifier's table of features."""
    return run.reads_features and run.config.classifier.extractor == extractor


def _classifiers_weights(run: Run) -> dict[str, str]:
    """Digest of the weights that the classifier's table of features was made with, where it is read."""
    name = run.config.classifier.extractor
    return {name: features.description(run)["weights_sha256"]} if reads_classifiers_table(run, name) else {}


def _description(tables: Sequence[Table]) -> dict[str, Any]:
    """The extractor's description from the done marks of its tables, which must all name the same weights."""
    found: dict[str, dict[str, Any]] = {}
    urls = " and ".join(table.url for table in tables)
    for mark in (mark for table in tables for mark in shards.done_marks(table)):
        with understood(f"a done mark of {urls}"):
            found.setdefault(mark.extra["extractor"]["weights_sha256"], mark.extra["extractor"])
    if len(found) != 1:
        named = ", ".join(sorted(f"{sha256[:12]}..." for sha256 in found))
        raise ConfigError(
            f"{urls} hold features of extractors with weights of SHA-256 {named}; give the same weights to all workers "
            f"and remove these folders"
        )
    return next(iter(found.values()))
