"""How much nearer the weights bring the model to the data, in nats: KL(p || q) - KL(p || selected).

**Of the weights.**  For data p, a model q and the distribution q_alpha ∝ q w^alpha that resampling with w^alpha draws
from, the two divergences have E_p[log p] in common, so that

    KL(p || q) - KL(p || q_alpha) = E_p[alpha log w] - log E_q[w^alpha].

That is exact for *any* w >= 0, right or wrong: it is the Donsker-Varadhan bound of KL(p || q) at alpha log w, at most
KL(p || q), reached by w = p / q, and below 0 when resampling does harm.  `of_weights` puts means over held-out real
rows and over rows of the pool in place of the expectations; neither may have trained the classifier.  A constant
factor in w drops out.  The logarithm of a mean is low by half its relative variance, hence the estimate high by about
½ (1 / ESS - 1 / N) nats.  When a few rows hold most of the weight, the weight that the pool has not seen is missing
too, and no standard error knows of it: read the number beside ESS and k-hat.

**Of bins.**  `of_bins` is the data metric of DSIR (Xie et al. 2023, arXiv 2302.03169, section 6): the same difference
for histograms of the rows over the bins of a `codebook`.  It needs no weights to be right and sees nothing inside a
bin.  A bin that a set leaves empty has no finite divergence, so `smoothing` rows are added to every bin of every
histogram.  (DSIR's authors add 1e-10 to the shares, which charges 23 nats times the real share of such a bin.)  The
number of rows of a weighted set is its ESS: few effective rows are drawn nearer to equal shares.  Compare sets of
equal numbers of rows.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from lfiw_ray.core.finite import require_finite
from lfiw_ray.core.weights import Estimate, flatten, largest


class Histogram(NamedTuple):
    """Shares (K,) of rows in each bin, sum 1, and the (effective) number of rows."""

    shares: np.ndarray
    num_rows: float


def of_weights(log_w_real: np.ndarray, log_w_pool: np.ndarray, alpha: float = 1.0) -> Estimate:
    """KL(p || q) - KL(p || q_alpha), nats, with its standard error (delta method, rows independent).

    Parameters
    ----------
    log_w_real : (N,) log weights at held-out real rows, N >= 2, nats.
    log_w_pool : (M,) log weights at rows of the model, M >= 2, nats; with the same unknown constant as `log_w_real`.
    alpha : exponent of the weights that are used.

    Raises
    ------
    ValueError
        Fewer than two rows of a side, or an alpha below 0.
    NonFiniteError
        A weight is NaN or +inf; a weight of zero at a real row (resampling never reaches it: KL is infinite); or all
        weights of the pool are zero.
    """
    if log_w_real.ndim != 1 or log_w_pool.ndim != 1 or min(len(log_w_real), len(log_w_pool)) < 2:
        raise ValueError(f"needs (N,) log weights with N >= 2, got {log_w_real.shape} and {log_w_pool.shape}")
    real, pool = flatten(log_w_real, alpha), flatten(log_w_pool, alpha)
    peak = largest(pool)
    require_finite(real, "log weights at real rows (a weight of zero there is an infinite divergence)")
    require_finite(np.array([peak]), "largest log weight of the pool")
    w = np.exp(pool - peak)
    variance = real.var(ddof=1) / len(real) + w.var(ddof=1) / len(w) / w.mean() ** 2
    log_mean = float(logsumexp(pool)) - np.log(len(pool))
    return Estimate(float(real.mean() - log_mean), float(np.sqrt(variance)))


def of_bins(real: Histogram, raw: Histogram, selected: Histogram, smoothing: float = 1.0) -> float:
    """KL(real || raw) - KL(real || selected) of smoothed histograms over the same bins, nats.

    Parameters
    ----------
    smoothing : rows added to every bin of every histogram.

    Raises
    ------
    ValueError
        Histograms of different bins, shares that are no distribution, no rows, or smoothing that is not above 0.
    """
    shapes = {histogram.shares.shape for histogram in (real, raw, selected)}
    if len(shapes) != 1 or not smoothing > 0:
        raise ValueError(f"needs histograms of the same bins and smoothing > 0, got {shapes} and {smoothing}")
    p, q, q_selected = (_smoothed(histogram, smoothing) for histogram in (real, raw, selected))
    return float(p @ (np.log(q_selected) - np.log(q)))


def _smoothed(histogram: Histogram, smoothing: float) -> np.ndarray:
    shares, n = histogram
    if not (n > 0 and shares.min() >= 0 and abs(shares.sum() - 1) < 1e-6):
        raise ValueError(f"no histogram: {n} rows, shares from {shares.min()} that sum to {shares.sum()}")
    return np.asarray((shares * n + smoothing) / (n + smoothing * len(shares)))
