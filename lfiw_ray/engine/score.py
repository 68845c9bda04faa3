"""Score one shard of samples: logits, calibrated log weights, block sums for the done mark."""

import numpy as np

from lfiw_ray.core import blocks
from lfiw_ray.core.folds import fold_of
from lfiw_ray.engine.committee import Committee, Member
from lfiw_ray.engine.models import load_model
from lfiw_ray.engine.pool import Done
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.models.transfer import to_device, to_host
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import from_parquet, images_of, vectors_of, weights_parquet

STREAM = "score"  # noise of the pool's rows


class ScoreWorker:
    """Weights of one table of samples.

    Parameters
    ----------
    committee : the finished classifiers; a row is scored by those of its fold alone.
    features : table of features; None where no classifier sees any.
    """

    def __init__(
        self, committee: Committee, samples: Table, features: Table | None, weights: Table, batch_size: int, device: str
    ):
        self._committee = [[(load_classifier(m.url, device), m) for m in members] for members in committee]
        self._samples, self._features, self._weights = samples, features, weights
        self._batch_size = batch_size

    def run_shard(self, shard: int) -> Done:
        """Score and commit a shard; one that is committed already is left alone."""
        start, _ = self._weights.layout.bounds(shard)
        if self._weights.is_done(shard):
            return Done.of(self._weights.mark(shard), made=False)
        sample_ids, inputs = self._read(shard)
        logits, log_w = np.empty(len(sample_ids), np.float32), np.empty(len(sample_ids), np.float32)
        folds = fold_of(sample_ids, len(self._committee))
        for fold, members in enumerate(self._committee):
            rows = np.flatnonzero(folds == fold)
            if len(rows):
                part = tuple(a[rows] for a in inputs)
                logits[rows], log_w[rows] = weigh(members, part, sample_ids[rows], self._batch_size)
        sums = blocks.to_json(blocks.block_stats(log_w, start))
        data = weights_parquet(sample_ids, logits, log_w)
        mark = shards.commit(self._weights.folder, shard, self._weights.plan, len(log_w), data, {"blocks": sums})
        return Done.of(mark, made=True)

    def _read(self, shard: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Sample ids and inputs of a shard; only the tables that the classifiers see are opened."""
        names, found = self._committee[0][0][0].inputs, {}
        if "x" in names:
            table = from_parquet(self._samples.read(shard))
            found["x"] = images_of(table)
        if self._features is not None:
            table = from_parquet(self._features.read(shard), ["sample_id", "features"])
            found["features"] = vectors_of(table, "features")
        return table.column("sample_id").to_numpy(), tuple(found[name] for name in names)


def load_classifier(url: str, device: str) -> Classifier:
    """A finished classifier, ready to score."""
    model = load_model(url)
    assert isinstance(model, Classifier)
    return model.to(device)


def weigh(
    members: list[tuple[Classifier, Member]], inputs: tuple[np.ndarray, ...], sample_ids: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means over the members of raw logits and of log weights, both (N,) float64, nats."""
    logits = np.stack([score(model, inputs, sample_ids, m.seed, batch_size) for model, m in members])
    log_w = np.stack([m.log_w(z) for (_, m), z in zip(members, logits, strict=True)])
    return logits.mean(axis=0, dtype=np.float64), log_w.mean(axis=0)


def score(
    model: Classifier, inputs: tuple[np.ndarray, ...], ids: np.ndarray, seed: int, batch_size: int, stream: str = STREAM
) -> np.ndarray:
    """Logits of rows, (N,) float32, nats; batches of fixed size in the order given.

    Parameters
    ----------
    inputs : arrays of N rows each, in the order of `model.inputs`.

    Raises
    ------
    NonFiniteError
        Naming the first row whose logit is not finite.
    """
    device = next(model.parameters()).device
    parts = []
    for low in range(0, len(ids), batch_size):
        rows = slice(low, low + batch_size)
        batch = tuple(to_device(np.array(a[rows]), device) for a in inputs)
        parts.append(to_host(model.logits(batch, ids[rows], seed, stream).float()))
    logits = np.concatenate(parts)
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        raise NonFiniteError(f"the classifier's logit of sample id {ids[bad[0]]} is {logits[bad[0]]}; train it again")
    return logits
