"""Frozen features as tables: extracted once, read by every classifier and by the evaluation.

A row's features do not depend on which rows are asked for with it (`models.extractors` runs batches of one size), so
that a table and another extraction agree to the last bit on the same kind of hardware.

| where | rows |
|---|---|
| `features/real/<split>.parquet` | of the real splits `classifier` and `calibration`, numbered within the split |
| `features/fit_samples/`, `features/samples/` | row i is row i of the table of that name |
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import ray

from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.models import load_model
from lfiw_ray.engine.pool import Done
from lfiw_ray.engine.read import gather_rows
from lfiw_ray.engine.run import Real, Run
from lfiw_ray.errors import ConfigError
from lfiw_ray.models import extractors
from lfiw_ray.models.domain import DomainNet
from lfiw_ray.models.extractors import Extracted, Extractor
from lfiw_ray.store import shards, stages
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import features_table, from_parquet, images_of, to_parquet, vectors_of

REAL = "features/real"
SPLITS = ("classifier", "calibration")


def build_extractor(run: Run, name: str) -> Extractor:
    """An extractor of the configuration, on this worker's device."""
    if name == "domain":
        net = load_model(run.folder("domain").url)
        assert isinstance(net, DomainNet)
        return extractors.domain(net, run.device)
    if name == "random":
        return extractors.random(run.image_shape, run.device)
    if name == "inception":
        return extractors.inception(run.config.evaluate.inception_weights, run.device)
    return extractors.by_fidelity_name(name, run.config.evaluate.extractor_weights.get(name), run.device)


def classifier_extractor(run: Run) -> Callable[[], Extractor]:
    """Builds the extractor whose features the classifier sees; travels to workers."""
    return partial(build_extractor, run, run.config.classifier.extractor)


def extract_real(run: Run, real: Real) -> dict[str, Any]:
    """Extract the real splits' features, unless it is done; returns the extractor's description."""
    done = stages.finished(run.folder(REAL), run.plans[REAL])
    if done is not None:
        return done
    images = real.share(*(real.x(name) for name in SPLITS))
    with unwrapped("features of the real rows"):
        task = _extract_real.options(num_gpus=run.config.num_gpus)
        found: dict[str, Any] = ray.get(task.remote(run, *images))
    return found


@ray.remote
def _extract_real(run: Run, *images: np.ndarray) -> dict[str, Any]:
    extractor = classifier_extractor(run)()
    files = {}
    for name, x in zip(SPLITS, images, strict=True):
        files[f"{name}.parquet"] = bytes(to_parquet(features_table(np.arange(len(x)), *extractor.extract(x))))
    return stages.finish(run.folder(REAL), run.plans[REAL], files, extractor.describe())


def description(run: Run) -> dict[str, Any]:
    """What the tables of features were made with: the extractor's description.

    Raises
    ------
    ConfigError
        When there are none yet.
    """
    found = stages.finished(run.folder(REAL), run.plans[REAL])
    if found is None:
        raise ConfigError(f"{run.folder(REAL).url} is not finished; train the classifier first")
    return found


def real_features(run: Run, split: str) -> np.ndarray:
    """(n, D) float32 features of a real split."""
    return vectors_of(from_parquet(stages.read(run.folder(REAL), f"{split}.parquet")), "features")


def refuse_other_weights(extractor: Extractor, sha256: str) -> None:
    """ConfigError unless the extractor's weights have the digest that other features of the run were made with."""
    if extractor.weights_sha256 != sha256:
        raise ConfigError(
            f"the extractor {extractor.name} has weights of SHA-256 {extractor.weights_sha256[:12]}..., "
            f"the run's features were made with {sha256[:12]}...; give the same weights, or another run "
            "folder (--run)"
        )


class ExtractWorker:
    """Features of one table of samples.

    Parameters
    ----------
    build : the extractor.
    sha256 : digest of its weights that the other tables of this run were made with.
    """

    def __init__(self, build: Callable[[], Extractor], sha256: str, samples: Table, features: Table):
        self._extractor, self._sha256 = build(), sha256
        self._samples, self._features = samples, features

    def run_shard(self, shard: int) -> Done:
        """Extract and commit a shard; one that is committed already is left alone.

        Raises
        ------
        ConfigError
            When the extractor is not the one that the other tables were made with.
        """
        if self._features.is_done(shard):
            return Done.of(self._features.mark(shard), made=False)
        refuse_other_weights(self._extractor, self._sha256)
        about = {"extractor": self._extractor.name, "weights_sha256": self._extractor.weights_sha256}
        table = from_parquet(self._samples.read(shard))
        sample_ids = table.column("sample_id").to_numpy()
        found = self._extractor.extract(images_of(table), sample_ids)
        data = to_parquet(features_table(sample_ids, *found))
        mark = shards.commit(self._features.folder, shard, self._features.plan, table.num_rows, data, about)
        return Done.of(mark, made=True)


def gather_features(table: Table, sample_ids: np.ndarray) -> Extracted:
    """Features, and probabilities where the extractor has them, of sorted, distinct sample ids.

    Reads only the row groups that hold them.
    """
    out: dict[str, np.ndarray] = {}
    for where, part in gather_rows(table, sample_ids):
        for name in part.column_names[1:]:
            values = vectors_of(part, name)
            out.setdefault(name, np.empty((len(sample_ids), values.shape[1]), np.float32))[where] = values
    return Extracted(out["features"], out.get("probabilities"))
