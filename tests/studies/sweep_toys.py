"""Tables of a sweep whose answer is known.

The generator makes N(0, 1) in the first of D features and the data are N(SHIFT, 1) there, so that the log weight of a
sample is SHIFT x - SHIFT^2 / 2: with these weights alpha = 1 is right and any other exponent is off.
"""

from pathlib import Path

import numpy as np

from lfiw_ray.core.blocks import block_stats, to_json
from lfiw_ray.core.calibration import Calibration
from lfiw_ray.core.forms import Form
from lfiw_ray.store import shards
from lfiw_ray.store.shards import Layout, Table
from lfiw_ray.store.tables import features_table, to_parquet, weights_parquet
from lfiw_ray.studies.sweep_trial import Scored, Target, Work, target_of

SHIFT, DIMS, PLAN = 1.0, 4, "aaaa"
ROWS_PER_SHARD, NUM_SAMPLES = 8192, 20_000  # the last shard is short
IDENTITY = Calibration("platt", 1.0, 0.0, False)


def features_of(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """(count, DIMS) float32, normal; the first feature is shifted."""
    x = np.random.default_rng(seed).normal(0, 1, (count, DIMS)).astype(np.float32)
    x[:, 0] += np.float32(shift)
    return x


def true_log_w(x: np.ndarray) -> np.ndarray:
    """(N,) float32 log of the ratio of the densities, nats."""
    return (SHIFT * x[:, 0] - SHIFT**2 / 2).astype(np.float32)


def write_tables(folder: Path, x: np.ndarray, logits: np.ndarray, log_w: np.ndarray) -> tuple[Table, Table]:
    """Committed tables of features and of weights."""
    layout = Layout(len(x), ROWS_PER_SHARD)
    features, weights = (Table(str(folder / name), PLAN, layout) for name in ("features", "weights"))
    for shard in range(layout.num_shards):
        ids = np.arange(*layout.bounds(shard))
        data = to_parquet(features_table(ids, x[ids], None))
        shards.commit(features.folder, shard, PLAN, len(ids), data)
        sums = {"blocks": to_json(block_stats(log_w[ids], int(ids[0])))}
        shards.commit(weights.folder, shard, PLAN, len(ids), weights_parquet(ids, logits[ids], log_w[ids]), sums)
    return features, weights


def work_in(folder: Path, metric: str = "kid", pool_rows: int = 2_500) -> Work:
    """Eight pools; `own` weights are the true ones, scored under the name `own` and, backwards, under `wrong`."""
    x = features_of(NUM_SAMPLES, seed=1)
    log_w = true_log_w(x)
    features, weights = write_tables(folder, x, log_w, log_w)
    _, backwards = write_tables(folder / "wrong", x, -log_w, -log_w)
    scored = {name: Scored(table, {"platt": IDENTITY}) for name, table in (("own", weights), ("wrong", backwards))}
    return Work(3, metric, pool_rows, features, scored, weights, Form(0.5))  # type: ignore[arg-type]


def target(seed: int = 2, count: int = 600) -> Target:
    """Real rows."""
    return target_of(features_of(count, seed, SHIFT))
