"""Score one shard of samples: logits, calibrated log weights, block sums for the done mark."""

import numpy as np
import torch

from lfiw_ray.core import blocks
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.weights import from_logits
from lfiw_ray.engine.models import load_model
from lfiw_ray.errors import NonFiniteError
from lfiw_ray.models.classifier import Classifier
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Table
from lfiw_ray.store.tables import from_parquet, images_of, to_parquet, weights_table

STREAM = "score"  # noise of the pool's rows


class ScoreWorker:
    """Weights of one table of samples.

    Parameters
    ----------
    classifier_url : folder of the finished classifier.
    calibration, log_prior_odds : what turns its logits into log weights, nats.
    """

    def __init__(
        self,
        classifier_url: str,
        calibration: Calibration,
        log_prior_odds: float,
        samples: Table,
        weights: Table,
        seed: int,
        batch_size: int,
        device: str,
    ):
        model = load_model(classifier_url).to(device)
        assert isinstance(model, Classifier)
        self._model = model
        self._calibration, self._log_prior_odds = calibration, log_prior_odds
        self._samples, self._weights = samples, weights
        self._seed, self._batch_size = seed, batch_size

    def run_shard(self, shard: int) -> int:
        """Score and commit a shard; one that is committed already is left alone."""
        start, stop = self._weights.layout.bounds(shard)
        if self._weights.is_done(shard):
            return stop - start
        table = from_parquet(self._samples.read(shard))
        sample_ids = table.column("sample_id").to_numpy()
        logits = score(self._model, images_of(table), sample_ids, self._seed, self._batch_size)
        log_w = from_logits(self._calibration.apply(logits), self._log_prior_odds).astype(np.float32)
        sums = blocks.to_json(blocks.block_stats(log_w, start))
        data = to_parquet(weights_table(sample_ids, logits, log_w))
        shards.commit(self._weights.folder, shard, self._weights.plan, len(log_w), data, {"blocks": sums})
        return stop - start


def score(
    model: Classifier, x: np.ndarray, ids: np.ndarray, seed: int, batch_size: int, stream: str = STREAM
) -> np.ndarray:
    """Logits of rows, (N,) float32, nats; batches of fixed size in the order given.

    Raises
    ------
    NonFiniteError
        Naming the first row whose logit is not finite.
    """
    device = next(model.parameters()).device
    parts = []
    for low in range(0, len(x), batch_size):
        rows = slice(low, low + batch_size)
        images = torch.tensor(x[rows], device=device)
        parts.append(model.logits(images, ids[rows], seed, stream).float().cpu().numpy())
    logits = np.concatenate(parts)
    bad = np.flatnonzero(~np.isfinite(logits))
    if len(bad):
        raise NonFiniteError(f"the classifier's logit of sample id {ids[bad[0]]} is {logits[bad[0]]}; train it again")
    return logits
