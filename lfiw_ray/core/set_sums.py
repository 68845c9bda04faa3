"""What is kept of a set of rows that is too large to be held: moments of its features, and Inception Score sums.

Both are those of `moments` and `inception_score`; they merge, and their size does not depend on the number of rows.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import inception_score, moments
from lfiw_ray.core.inception_score import ScoreState
from lfiw_ray.core.moments import Moments


class Sums(NamedTuple):
    """Sums over a set; no `score` where the feature space knows no classes."""

    moments: Moments
    score: ScoreState | None


def of(features: np.ndarray, probabilities: np.ndarray | None, log_w: np.ndarray | None) -> Sums:
    """Of features (N, D) and class probabilities (N, K) or None, with log weights (N,), nats, or none.

    Raises
    ------
    ValueError, NonFiniteError
        As `moments.of` and `inception_score.of`.
    """
    score = None if probabilities is None else inception_score.of(probabilities, log_w)
    return Sums(moments.of(features, log_w), score)


def merge(a: Sums, b: Sums) -> Sums:
    """Of two disjoint sets of rows; the order matters to rounding only."""
    score = None if a.score is None or b.score is None else inception_score.merge(a.score, b.score)
    return Sums(moments.merge(a.moments, b.moments), score)
