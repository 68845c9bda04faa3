"""Discriminator rejection sampling (Azadi et al. 2019, arXiv 1810.06758), with the number of rows as a budget.

Plain rejection accepts a row with probability w / max w = exp(d), d = log_w - peak, and draws from the target
exactly, but accepts almost nothing when one weight is large.  DRS writes that probability as sigmoid(F_0) and
lowers F_0 by a constant gamma:

    F(x) = d - log(1 - exp(d - eps)) - gamma,    accepted with probability sigmoid(F).

gamma = 0 is plain rejection, up to eps.  gamma < 0 accepts more; the rows then follow w / (w + c) with
c > 0, a target whose heavy weights are levelled: biased, between the generator and the target.  gamma > 0 accepts
less than plain rejection, and is biased to the rows at the very maximum, whose F is of the order of log(1 / eps).
The paper sets gamma to a percentile of F, which may give that; here it follows from the budget (`gamma_for`), which
never does.

The formulas are from memory of the paper.
It estimates `peak` from a burn-in of generated samples; here it is the largest weight of the whole pool, which the
pool's statistics know.  Its eps is a small constant for numerical stability; 1e-14 here, so that F_0 <= 32.3.
Tolerance: `gamma_for` meets the expected number of rows to a relative 2e-7 (see `score_counts`).
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from lfiw_ray.core import rejection, score_counts
from lfiw_ray.core.rejection import Accepted
from lfiw_ray.core.score_counts import ScoreCounts
from lfiw_ray.core.weights import largest

_EPS = 1e-14


def scores(log_w: np.ndarray, peak: float, start: int = 0) -> np.ndarray:
    """(N,) float64 F at gamma = 0 of rows start .. start + N; -inf for a row of weight zero.

    Parameters
    ----------
    log_w : (N,) floats, nats; already flattened.
    peak : the largest log weight of the whole pool, nats.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    ValueError
        A weight exceeds the peak.
    """
    highest = largest(log_w, start)
    if highest > peak:
        raise ValueError(f"peak must be the pool's largest log weight, but is {peak} and one is {highest}")
    d = rejection.shifted(log_w, -peak)
    return np.asarray(d - np.log(-np.expm1(d - _EPS)))


def gamma_for(seen: ScoreCounts, expected: float) -> float:
    """gamma such that so many rows are accepted on average, at most 0.

    Parameters
    ----------
    seen : counts of `scores`.
    expected : number of rows, above 0.

    Returns
    -------
    0 when plain rejection accepts as many or more, as it draws from the target itself; -inf, which accepts all,
    when there are no more rows.
    """
    if not expected > 0:
        raise ValueError(f"the expected number of rows must be positive, got {expected}")
    total = score_counts.num_rows(seen)
    if expected >= total:
        return -np.inf
    f, share = score_counts.centres(seen), expected / total

    def excess(gamma: float) -> float:
        return float(seen.counts @ expit(f - gamma)) - expected

    if excess(0.0) >= 0:
        return 0.0
    # if all rows had the lowest F, this would be gamma; one nat below, more than `expected` are accepted
    return float(brentq(excess, f[0] - logit(share) - 1, 0.0, xtol=1e-12, maxiter=1000))


def draw(log_w: np.ndarray, start: int, k: int, seed: int, peak: float, gamma: float, stream: str = "drs") -> Accepted:
    """The first k accepted of rows start .. start + N; see `scores` and the module docstring."""
    p = expit(rejection.shifted(scores(log_w, peak, start), -gamma))
    return rejection.accept(p, start, k, seed, stream)
