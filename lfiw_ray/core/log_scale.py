"""Weights exp(log_w) without overflow: a scale in logs, and numbers in (0, 1] beside it.

A sum Σ exp(log_w) of unnormalised log weights may be far outside float64 (log_w = 2,000 is a legal weight).
Such a sum is kept as a pair (log_scale, s) that stands for exp(log_scale) · s, where log_scale is the
largest log weight seen so far.  Two sums are added by moving both to the larger scale, so no shard needs to
know the maximum of the others.  What underflows on the way is smaller than the largest term by e^-745,
far below the rounding of the sum.

| symbol | meaning | dtype |
|---|---|---|
| log_w | log weights, unnormalised, nats; -inf is a weight of zero | (N,) |
| log_scale | scale of a sum, nats; -inf while every weight is zero | float |
| w | weights in units of exp(log_scale), in [0, 1] | float64 (N,) |
"""

import math

import numpy as np

from lfiw_ray.core.weights import largest


def scaled(log_w: np.ndarray | None, num_rows: int) -> tuple[float, np.ndarray]:
    """The pair (log_scale, w) of `num_rows` log weights; None gives every row the weight 1.

    Raises
    ------
    ValueError
        The shape is not (num_rows,).
    NonFiniteError
        A log weight is NaN or +inf; the message names the rows.
    """
    if log_w is None:
        return 0.0, np.ones(num_rows)
    log_w = np.asarray(log_w, dtype=np.float64)
    if log_w.shape != (num_rows,):
        raise ValueError(f"log_w must have shape ({num_rows},), got {log_w.shape}")
    log_scale = largest(log_w)
    if log_scale == -math.inf:
        return log_scale, np.zeros(num_rows)
    return log_scale, np.exp(log_w - log_scale)


def common(log_scale_a: float, log_scale_b: float) -> tuple[float, float, float]:
    """The larger scale, and the factors that bring sums in either scale to it."""
    log_scale = max(log_scale_a, log_scale_b)
    if log_scale == -math.inf:
        return log_scale, 1.0, 1.0
    return log_scale, math.exp(log_scale_a - log_scale), math.exp(log_scale_b - log_scale)


def normalised(log_w: np.ndarray | None, num_rows: int) -> np.ndarray:
    """(num_rows,) float64 weights that sum to 1; None gives 1 / num_rows.  All-zero weights are a ValueError."""
    _, w = scaled(log_w, num_rows)
    total = w.sum()
    if total == 0:
        raise ValueError(f"none of the {num_rows} rows has a weight above zero")
    return np.asarray(w / total)
