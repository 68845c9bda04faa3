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

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import moments
from lfiw_ray.core.moments import Moments


class Target(NamedTuple):
    """One side of many comparisons, with the factor that costs half of each."""

    mean: np.ndarray
    factor: np.ndarray
    """F (D, D) with F F^T the covariance"""
    trace: float


def target_of(side: Moments) -> Target:
    """The factor of a set's covariance, computed once."""
    return _target(*moments.finish(side))


def to_target(target: Target, other: Moments) -> float:
    """Fréchet distance of a set to a target; the same number as `distance`."""
    return _to_target(target, *moments.finish(other))


def distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of two sets given by their (weighted) moments; symmetric to rounding."""
    return gaussian_distance(*moments.finish(a), *moments.finish(b))


def gaussian_distance(mean_1: np.ndarray, cov_1: np.ndarray, mean_2: np.ndarray, cov_2: np.ndarray) -> float:
    """The formula above; means (D,), covariances (D, D), float64.  Rounding may give about -1e-8 tr S for 0."""
    _require_same_space(mean_1, mean_2)
    return _to_target(_target(mean_1, cov_1), mean_2, cov_2)


def _target(mean: np.ndarray, cov: np.ndarray) -> Target:
    values, vectors = np.linalg.eigh(cov)
    return Target(mean, vectors * np.sqrt(values.clip(min=0)), float(np.trace(cov)))


def _to_target(target: Target, mean: np.ndarray, cov: np.ndarray) -> float:
    _require_same_space(target.mean, mean)
    cross = np.linalg.eigvalsh(target.factor.T @ cov @ target.factor).clip(min=0)
    gap = target.mean - mean
    return float(gap @ gap + target.trace + np.trace(cov) - 2 * np.sqrt(cross).sum())


def _require_same_space(mean_1: np.ndarray, mean_2: np.ndarray) -> None:
    if mean_1.shape != mean_2.shape:
        raise ValueError(f"feature spaces differ: {len(mean_1)} and {len(mean_2)} features")
