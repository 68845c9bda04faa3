"""Optimal budgeted rejection sampling (Verine et al. 2024, AISTATS, arXiv 2311.00460).

Of all ways to accept a given share of the rows, accepting with probability

    a(x) = min(1, c w(x)),    c such that the mean of a over the pool is the budget,

leaves the accepted rows closest to the target in every f-divergence (formula from memory of the paper, which
writes c as c_K / M).  The accepted rows follow min(w, 1 / c): the target truncated from above at 1 / c, hence biased
unless c max w <= 1, where this is plain rejection.

`log_c_for` solves for c in closed form: with the bins of the counts from the heaviest on, if j of them are accepted for
certain, c_j = (budget - rows in them) / (sum of w over the others), and the right j is the first for which no other
bin has c_j w > 1.  Tolerance: the expected number of rows is met to a relative 2e-7, and in addition to
2.5e-4 times the rows of the one bin (1/1024 nat) in which c w passes 1; equal weights are met exactly.
"""

import numpy as np

from lfiw_ray.core import rejection, score_counts
from lfiw_ray.core.rejection import Accepted
from lfiw_ray.core.score_counts import ScoreCounts
from lfiw_ray.core.weights import largest


def log_c_for(seen: ScoreCounts, expected: float) -> float:
    """log c, nats, such that so many rows are accepted on average; +inf, which accepts all, when there are no more.

    Parameters
    ----------
    seen : counts of the log weights of the whole pool.
    expected : number of rows, above 0.
    """
    if not expected > 0:
        raise ValueError(f"the expected number of rows must be positive, got {expected}")
    if expected >= score_counts.num_rows(seen):
        return np.inf
    log_w = score_counts.centres(seen)
    light = np.logaddexp.accumulate(log_w + np.log(seen.counts))[::-1]  # log sum of w from bin j on, heaviest first
    counts, log_w = seen.counts[::-1], log_w[::-1]
    left = expected - (np.cumsum(counts) - counts)  # of the budget when the bins before j are accepted for certain
    log_c = np.log(left[left > 0]) - light[left > 0]
    fits = log_c + log_w[: len(log_c)] <= 0
    fits[-1] = True  # it does, but for rounding: the budget left is no more than its own rows
    return float(log_c[np.argmax(fits)])


def probability(log_w: np.ndarray, log_c: float, start: int = 0) -> np.ndarray:
    """(N,) float64 min(1, c w) of rows start .. start + N; 0 for a row of weight zero.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    largest(log_w, start)
    return np.asarray(np.exp(np.minimum(rejection.shifted(log_w, log_c), 0.0)))


def draw(log_w: np.ndarray, start: int, k: int, seed: int, log_c: float, stream: str = "obrs") -> Accepted:
    """The first k accepted of rows start .. start + N, whose log weights (nats) are already flattened."""
    return rejection.accept(probability(log_w, log_c, start), start, k, seed, stream)
