"""k_hat: the shape of the generalised Pareto distribution that fits the largest weights.

Moments of w exist up to order 1 / k_hat, so that above 0.5 the variance of an importance estimate is infinite
and above 0.7 no practical number of samples helps (Vehtari et al. 2024, JMLR 25(72), "Pareto smoothed importance
sampling").  The fit is Zhang & Stephens' (2009, Technometrics 51(3)) quasi-Bayesian one: the posterior mean of
b = k / sigma over a fixed grid; k_hat is then drawn towards 0.5 with the strength of 10 rows (Vehtari et al.,
appendix G).

| symbol | meaning | dtype, unit |
|---|---|---|
| top | the M + 1 largest log weights, largest first | float64 (M + 1,), nats |
| excess | w minus the (M+1)-th largest w, in units of the largest w | float64 (M,) |
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

_MIN_EXCESSES = 5
_NEGLIGIBLE = 1e-290  # smaller excesses are rounding of the cutoff, and their inverse overflows
_BLOCK = 1 << 20  # logarithms taken at a time: all of them would be 0.3 GB for N = 10^9
_PRIOR_B = 3.0  # Zhang & Stephens: scale of the grid of b
_PRIOR_ROWS, _PRIOR_K = 10.0, 0.5


def tail_rows(num_rows: int) -> int:
    """M, the number of weights that count as the tail: min(N / 5, 3 sqrt(N)), rounded down."""
    return min(num_rows // 5, math.isqrt(9 * num_rows))


class Fit(NamedTuple):
    """Generalised Pareto distribution of the excesses over the cutoff."""

    shape: float
    """k_hat"""
    scale: float
    """sigma, in units of the largest w"""


def k_hat(top: np.ndarray) -> float | None:
    """Pareto shape of the tail.

    Parameters
    ----------
    top : (M + 1,) float64, the largest log weights, largest first; the last one is the cutoff.

    Returns
    -------
    The shape; None when the tail is constant (equal weights have no tail); inf when it is not constant and yet
    fewer than 5 weights stand out from the cutoff, so that no shape can be told: too few rows, or one row
    dwarfs the others.
    """
    if len(top) and top[0] == top[-1] and len(top) > _MIN_EXCESSES:
        return None
    excess = excesses(top)
    return fit(excess).shape if len(excess) >= _MIN_EXCESSES else math.inf


def excesses(top: np.ndarray) -> np.ndarray:
    """Float64 excesses of the weights that stand out from the cutoff, largest first; at most M of them."""
    w = np.exp(top - top[0]) if len(top) else top
    excess: np.ndarray = w[:-1] - w[-1:]
    return excess[excess > _NEGLIGIBLE]


def smoothed(top: np.ndarray) -> np.ndarray | None:
    """Log of the Pareto-smoothed tail (Vehtari et al. 2024, section 3.1).

    Parameters
    ----------
    top : as in `k_hat`.

    Returns
    -------
    (m,) float64, largest first: the quantiles (j - 1/2) / m of the fitted distribution, none above the largest
    raw weight, for the m <= M weights that stand out from the cutoff; None when `k_hat` is None or inf.
    """
    excess = excesses(top)
    if (m := len(excess)) < _MIN_EXCESSES:
        return None
    shape, scale = fit(excess)
    above = stats.genpareto.ppf((np.arange(m, 0, -1) - 0.5) / m, shape, scale=scale)
    log_w: np.ndarray = top[0] + np.log(np.minimum(np.exp(top[-1] - top[0]) + above, 1.0))
    return log_w


def fit(excess: np.ndarray) -> Fit:
    """The distribution of (M,) positive excesses, largest first; b = 0 is the exponential one of their mean."""
    excess = excess[::-1]
    n = len(excess)
    grid = 30 + math.isqrt(n)
    quartile = excess[int(n / 4 + 0.5) - 1]
    spread = 1 - np.sqrt(grid / (np.arange(grid) + 0.5))
    b = 1 / excess[-1] + spread / (_PRIOR_B * quartile)
    parts = np.array_split(b, math.ceil(grid * n / _BLOCK))
    shape = np.concatenate([np.log1p(-np.outer(part, excess)).mean(axis=1) for part in parts])
    rate = np.divide(-b, shape, out=np.full(grid, 1 / excess.mean()), where=shape != 0)
    log_likelihood = n * (np.log(rate) - shape - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    b_mean = float(b @ posterior / posterior.sum())
    fitted = float(np.log1p(-b_mean * excess).mean())
    return Fit((n * fitted + _PRIOR_ROWS * _PRIOR_K) / (n + _PRIOR_ROWS), -fitted / b_mean)
