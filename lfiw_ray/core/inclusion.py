"""How likely Gumbel-top-k includes a row, and from which key on about k rows are included.

Given kappa, the (k+1)-th key, a row is included with probability pi = 1 - exp(-exp(log_w - kappa)) (Kool et al. 2019).
The number of keys above a bar is therefore sum of pi on average; a sample of the weights tells the bar.
"""

import numpy as np

from lfiw_ray.core.weights import as_given

_SURE = 6.0  # standard errors by which guess_bar stays below its estimate


def log_inclusion(log_w: np.ndarray, kappa: float) -> np.ndarray:
    """(N,) float64 log of pi = 1 - exp(-exp(log_w - kappa)); 0 when kappa is -inf, as then all rows are taken."""
    with np.errstate(over="ignore"):  # an overflow to inf is right: pi is 1
        rate = np.exp(log_w - kappa)
    log_pi: np.ndarray = np.log(-np.expm1(-rate))
    return log_pi


def guess_bar(sample: np.ndarray, num_rows: int, k: int) -> float:
    """A bar that at least k + 1 of num_rows keys almost surely reach, and few more.

    Parameters
    ----------
    sample : (n,) log weights in the form that is used, spread over the rows.

    Returns
    -------
    The bar, nats.  The expected number of keys above it is sum of pi, whose terms lie in [0, 1] however heavy the
    tail, so that a sample tells it well.  -inf where it cannot be told.
    """
    log_w = as_given(sample)
    log_w = log_w[log_w > -np.inf]
    scale = num_rows / max(len(sample), 1)
    wanted = k + 1 + _SURE * np.sqrt(k + 1)
    if scale * len(log_w) < 2 * wanted or scale < 2:  # no sample, or nearly all rows are wanted
        return -np.inf
    peak = float(log_w.max())
    bar = peak + float(np.log(scale * np.exp(log_w - peak).sum() / wanted))  # too high, as pi <= exp(log_w - bar)
    for _ in range(40):
        pi = np.exp(log_inclusion(log_w, bar))
        found = scale * pi.sum() - _SURE * scale * np.sqrt(np.sum(pi * pi))
        if found >= wanted:
            return bar
        bar -= max(0.02, float(np.log(wanted / found)) if found > 0 else 0.5)
    return -np.inf


def spread(log_w: np.ndarray, pieces: int = 64, rows: int = 1024) -> np.ndarray:
    """Some rows, in pieces spread evenly."""
    if len(log_w) <= pieces * rows:
        return log_w
    starts = np.linspace(0, len(log_w) - rows, pieces).astype(np.int64)
    return np.concatenate([log_w[start : start + rows] for start in starts])
