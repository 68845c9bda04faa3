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

import numpy as np

_MIN_EXCESSES = 5
_NEGLIGIBLE = 1e-290  # smaller excesses are rounding of the cutoff, and their inverse overflows
_PRIOR_B = 3.0  # Zhang & Stephens: scale of the grid of b
_PRIOR_ROWS, _PRIOR_K = 10.0, 0.5


def tail_rows(num_rows: int) -> int:
    """M, the number of weights that count as the tail: min(N / 5, 3 sqrt(N)), rounded down."""
    return min(num_rows // 5, math.isqrt(9 * num_rows))


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
    w = np.exp(top - top[0]) if len(top) else top
    excess = w[:-1] - w[-1:]
    excess = excess[excess > _NEGLIGIBLE]
    if len(excess) < _MIN_EXCESSES:
        return math.inf
    return _shape(excess[::-1])


def _shape(excess: np.ndarray) -> float:
    """Shape of the generalised Pareto distribution of (M,) positive excesses in increasing order."""
    n = len(excess)
    grid = 30 + math.isqrt(n)
    quartile = excess[int(n / 4 + 0.5) - 1]
    spread = 1 - np.sqrt(grid / (np.arange(grid) + 0.5))
    b = 1 / excess[-1] + spread / (_PRIOR_B * quartile)
    shape = np.log1p(-np.outer(b, excess)).mean(axis=1)
    log_likelihood = n * (np.log(-b / shape) - shape - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    b_mean = float(b @ posterior / posterior.sum())
    fitted = float(np.log1p(-b_mean * excess).mean())
    return (n * fitted + _PRIOR_ROWS * _PRIOR_K) / (n + _PRIOR_ROWS)
