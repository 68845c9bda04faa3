"""Bootstrap interval of a mean over repeats.

The percentile bootstrap (Efron 1979): the repeats are drawn anew with replacement, and the interval runs between the
quantiles of their means.  The repeats must be independent (disjoint pools); what they have in common, the trained
models and the real rows, is not in the interval.  For two arms on the same pools take the differences pool by pool
(`of_paired_difference`): what the pools share cancels.

**Few repeats.**  The bootstrap takes the spread of the repeats for that of their distribution, without the correction
n / (n - 1), and knows no value beyond the extremes.  Its intervals are too short: those of 95 % hold the mean of
normal repeats in 76 % of cases for n = 3, 84 % for 5, 89 % for 10, 92 % for 20 and 94 % for 50 (simulated).  With
fewer than 3 there is no interval.

| symbol | meaning |
|---|---|
| values | float (n,), one number per repeat |
| level | share of intervals that would hold the true mean, were n large |
"""

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.finite import require_finite

LEVEL = 0.95
NUM_RESAMPLES = 10_000
MIN_REPEATS = 3


def of_mean(
    values: np.ndarray, seed: int, level: float = LEVEL, num_resamples: int = NUM_RESAMPLES
) -> tuple[float, float] | None:
    """Low and high end for the mean of `values` (n,); None for n < 3.

    Raises
    ------
    ValueError
        Not one-dimensional, a level outside (0, 1), or no resamples.
    NonFiniteError
        A value is not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not 0 < level < 1 or num_resamples < 1:
        raise ValueError(f"needs (n,) values and 0 < level < 1, got shape {values.shape}, level {level}")
    require_finite(values, "values of the repeats")
    if len(values) < MIN_REPEATS:
        return None
    drawn = noise.generator(seed, "interval").integers(0, len(values), (num_resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def of_paired_difference(
    a: np.ndarray, b: np.ndarray, seed: int, level: float = LEVEL, num_resamples: int = NUM_RESAMPLES
) -> tuple[float, float] | None:
    """Low and high end for the mean of a - b, repeat i of both on the same pool; None for n < 3.

    Raises
    ------
    ValueError
        Not as many repeats of either; else as `of_mean`.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"differences need the same repeats of both, got {a.shape} and {b.shape}")
    return of_mean(a - b, seed, level, num_resamples)
