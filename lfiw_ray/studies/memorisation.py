"""Are the samples that the classifier finds most real copies of the rows that trained the generator?

Of each sample the nearest real row is sought among the T rows that trained the generator and H held-out rows.  For
samples that do not depend on which of the T + H rows were trained on, the nearest is a training row with probability
T / (T + H), by exchangeability and whatever the feature space; a larger share says that training rows are repeated.

That holds for a feature space that was not trained on some of the rows either, so the fixed random network is used:
rows that are near in it are near in pixels.

| symbol | meaning | dtype |
|---|---|---|
| samples, train, held_out | features | float (N, D), (T, D), (H, D) |
"""

import math
from typing import Any, NamedTuple

import numpy as np

_BLOCK_ROWS = 1024


class Nearest(NamedTuple):
    """Of each sample the nearest row of a set: its number (N,) int64, and the distance (N,) float64."""

    row: np.ndarray
    distance: np.ndarray


def nearest(samples: np.ndarray, real: np.ndarray) -> Nearest:
    """The nearest row of `real` (M, D), M >= 1, to each of `samples` (N, D); the first one where several are."""
    real = real.astype(np.float64)
    squares = np.einsum("ij,ij->i", real, real)
    rows = [
        np.argmin(squares - 2 * (samples[at : at + _BLOCK_ROWS].astype(np.float64) @ real.T), axis=1)
        for at in range(0, len(samples), _BLOCK_ROWS)
    ]
    row = np.concatenate(rows)
    return Nearest(row, np.linalg.norm(samples.astype(np.float64) - real[row], axis=1))


def shares(train: Nearest, held_out: Nearest, num_train: int, num_held_out: int) -> dict[str, Any]:
    """How many samples are nearer to a training row than to any held-out row.

    Returns
    -------
    `num_samples`; `share`, `se` (binomial); `expected` without memorisation, and `z`, the difference in standard
    errors of the expected share; `distance_train`, `distance_held_out`: medians of the distances.
    """
    n, expected = len(train.row), num_train / (num_train + num_held_out)
    share = float(np.mean(train.distance < held_out.distance))
    return {
        "num_samples": n,
        "share": share,
        "se": math.sqrt(share * (1 - share) / n),
        "expected": expected,
        "z": (share - expected) / math.sqrt(expected * (1 - expected) / n),
        "distance_train": float(np.median(train.distance)),
        "distance_held_out": float(np.median(held_out.distance)),
    }
