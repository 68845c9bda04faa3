"""Fréchet distance of two sets of features (FID when the features are Inception's).

For Gaussians with means m and covariances S (Dowson and Landau 1982; Heusel et al. 2017)

    d² = |m1 - m2|² + tr S1 + tr S2 - 2 tr (S1 S2)^½.

S1 S2 is not symmetric.  With a factor S1 = F F^T (from its eigenvectors) it has the eigenvalues of
F^T S2 F, which is symmetric and positive semidefinite, so the last trace is the sum of the square roots of
real eigenvalues >= 0.  Nothing is inverted: singular covariances (fewer rows than features) need no added
diagonal; eigenvalues that rounding makes negative are zeros.

The estimate is biased upwards by about c/N with a c that depends on the model (Chong and Forsyth 2020), and
for weighted sets N is the effective sample size: compare at equal N only.
"""

import numpy as np

from lfiw_ray.core import moments
from lfiw_ray.core.moments import Moments


def distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of two sets given by their (weighted) moments; symmetric to rounding."""
    return gaussian_distance(*moments.finish(a), *moments.finish(b))


def gaussian_distance(mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray) -> float:
    """The formula above; means (D,), covariances (D, D), float64.  Rounding may give about -1e-8 tr S for 0."""
    if mean_1.shape != mean_2.shape:
        raise ValueError(f"feature spaces differ: {len(mean_1)} and {len(mean_2)} features")
    values, vectors = np.linalg.eigh(cov_1)
    factor = vectors * np.sqrt(values.clip(min=0))
    cross = np.linalg.eigvalsh(factor.T @ cov_2 @ factor).clip(min=0)
    gap = mean_1 - mean_2
    return float(gap @ gap + np.trace(cov_1) + np.trace(cov_2) - 2 * np.sqrt(cross).sum())
