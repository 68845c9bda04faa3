"""Bins of a feature space: each row belongs to the nearest of K centres, those of a k-means of real rows.

A codebook turns features of any dimension into a histogram, by which sets can be compared (`kl_reduction.of_bins`).
Its rows should be real ones that nothing is compared with: the histogram of the rows it was fitted on is more even
than that of others.

| symbol | meaning | dtype |
|---|---|---|
| centres | the k-means (Lloyd's algorithm from k-means++ starts) | float64 (K, D) |
| features, log_w | rows, and their log weights, unnormalised, nats | float (N, D), (N,) |
"""

import numpy as np
from sklearn.cluster import KMeans

from lfiw_ray.core import noise
from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.kl_reduction import Histogram
from lfiw_ray.core.log_scale import normalised

_BLOCK_ROWS = 4096


def centres_of(features: np.ndarray, num_bins: int, seed: int) -> np.ndarray:
    """(num_bins, D) float64 centres, a function of the rows and the seed.

    Raises
    ------
    ValueError
        Not 2 <= num_bins <= number of different rows.
    NonFiniteError
        NaN or infinity; names the row.
    """
    x = finite_rows(features, "real features").astype(np.float64)
    num_different = len({row.tobytes() for row in x})
    if not 2 <= num_bins <= num_different:
        raise ValueError(f"num_bins must be in 2..{num_different}, the number of different rows, got {num_bins}")
    start = int(noise.generator(seed, "codebook").integers(2**31))
    found: np.ndarray = KMeans(num_bins, n_init=1, random_state=start).fit(x).cluster_centers_
    return found


def bins_of(centres: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(N,) int64 nearest centre of each row; ties go to the lower one.  Memory: one block of rows.

    Raises
    ------
    ValueError
        Another feature space.
    NonFiniteError
        NaN or infinity; names the row.
    """
    features = finite_rows(features, "features")
    if features.shape[1] != centres.shape[1]:
        raise ValueError(f"feature spaces differ: {centres.shape[1]} and {features.shape[1]} features")
    middle = centres.mean(axis=0)  # subtracted, so that norms do not drown the distances
    centred = centres - middle
    half_sq_norms = np.einsum("ij,ij->i", centred, centred) / 2
    blocks = (features[start : start + _BLOCK_ROWS] for start in range(0, len(features), _BLOCK_ROWS))
    return np.concatenate([(half_sq_norms - (rows - middle) @ centred.T).argmin(axis=1) for rows in blocks])


def histogram(centres: np.ndarray, features: np.ndarray, log_w: np.ndarray | None = None) -> Histogram:
    """Weighted shares of the rows in each bin, with the effective sample size as the number of rows.

    Raises
    ------
    ValueError, NonFiniteError
        As `bins_of`; a NaN or +inf weight, or none above zero.
    """
    w = normalised(log_w, len(features))
    shares = np.bincount(bins_of(centres, features), weights=w, minlength=len(centres))
    return Histogram(shares, float(1 / (w @ w)))
