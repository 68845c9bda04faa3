"""Histogram of predicted classes, and the distance of two of them.

A plain check of diversity beside a feature distance: total variation ½ Σ |p - q| is the share of one set that
would have to change class to give the other's histogram.
"""

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import normalised


def of(probabilities: np.ndarray, log_w: np.ndarray | None = None) -> np.ndarray:
    """(K,) float64, sums to 1: weighted share of the rows whose most probable class is k.

    Parameters
    ----------
    probabilities : (N, K) class probabilities; ties go to the lower class.
    log_w : (N,) log weights, unnormalised, nats; None: every weight is 1.
    """
    p = finite_rows(probabilities, "class probabilities")
    return np.bincount(p.argmax(axis=1), weights=normalised(log_w, len(p)), minlength=p.shape[1])


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation distance, in [0, 1], of two histograms (K,) that sum to 1."""
    if p.shape != q.shape:
        raise ValueError(f"histograms differ in shape: {p.shape} and {q.shape}")
    return float(np.abs(p - q).sum() / 2)
