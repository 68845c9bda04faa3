"""Weighted mean and covariance of features, in parts that merge.

`of` takes the rows of one part, `merge` joins two parts, `finish` gives the numbers.  Scatter matrices are
taken about each part's own mean and joined by the pairwise formula of Chan, Golub and LeVeque (1983)

    W = Wa + Wb,   mean = (Wa mean_a + Wb mean_b) / W,
    S = Sa + Sb + (Wa Wb / W) (mean_b - mean_a)(mean_b - mean_a)^T,

which loses no digits when the mean is large beside the spread.  All sums are in units of exp(log_scale)
(see `log_scale`), so unnormalised log weights of any size merge without a maximum known beforehand; mean and
covariance do not depend on the scale.

The covariance divides S by W - (Σw²)/W.  With w = 1 that is N - 1, as in `np.cov`; with weights it is
`np.cov(aweights=w)`, unbiased when the weights are importances that are independent of x.  An integer weight
is an importance, not a repetition: a row of weight 2 has the mean and scatter of two equal rows, but counts
once in the correction (`np.cov(fweights=w)` would divide by W - 1).

| symbol | meaning | dtype |
|---|---|---|
| features | rows to summarise | float (N, D) |
| log_w | log weights, unnormalised, nats; None: every weight is 1 | (N,) |
| W, Σw² | `weight_sum`, `weight_sq_sum`, in units of exp(log_scale) and exp(2 log_scale) | float64 |
| S | `scatter` Σ w (x - mean)(x - mean)^T, in units of exp(log_scale) | float64 (D, D) |
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import common, scaled

_BLOCK_ROWS = 4096  # rows copied to float64 at a time


class Moments(NamedTuple):
    """Weighted moments of a set of rows."""

    num_rows: int
    log_scale: float
    weight_sum: float
    weight_sq_sum: float
    mean: np.ndarray
    scatter: np.ndarray


def init(num_features: int) -> Moments:
    """Moments of no rows."""
    return Moments(0, -np.inf, 0.0, 0.0, np.zeros(num_features), np.zeros((num_features, num_features)))


def of(features: np.ndarray, log_w: np.ndarray | None = None) -> Moments:
    """Moments of the rows of `features` (N, D), N >= 1.

    Raises
    ------
    ValueError
        Wrong shapes.
    NonFiniteError
        A feature is not finite or a log weight is NaN or +inf; names the row.
    """
    features = finite_rows(features, "features")
    log_scale, w = scaled(log_w, len(features))
    total = init(features.shape[1])
    for start in range(0, len(features), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        total = merge(total, _of_block(features[rows].astype(np.float64), w[rows], log_scale))
    return total


def _of_block(x: np.ndarray, w: np.ndarray, log_scale: float) -> Moments:
    weight_sum = float(w.sum())
    if weight_sum == 0:
        return init(x.shape[1])._replace(num_rows=len(x))
    mean = w @ x / weight_sum
    centred = (x - mean) * np.sqrt(w)[:, None]  # Y^T Y with one Y: exactly symmetric
    return Moments(len(x), log_scale, weight_sum, float(w @ w), mean, centred.T @ centred)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of two disjoint sets of rows; the order matters to rounding only."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"cannot merge moments of {len(a.mean)} and of {len(b.mean)} features")
    num_rows = a.num_rows + b.num_rows
    log_scale, to_a, to_b = common(a.log_scale, b.log_scale)
    weight_a, weight_b = to_a * a.weight_sum, to_b * b.weight_sum
    weight_sum = weight_a + weight_b
    if weight_sum == 0:
        return a._replace(num_rows=num_rows)
    delta = b.mean - a.mean
    return Moments(
        num_rows=num_rows,
        log_scale=log_scale,
        weight_sum=weight_sum,
        weight_sq_sum=to_a**2 * a.weight_sq_sum + to_b**2 * b.weight_sq_sum,
        mean=(weight_a * a.mean + weight_b * b.mean) / weight_sum,
        scatter=to_a * a.scatter + to_b * b.scatter + weight_a * (weight_b / weight_sum) * np.outer(delta, delta),
    )


def ess(moments: Moments) -> float:
    """Effective sample size (Σw)² / Σw², a count; 0 when every weight is zero."""
    return moments.weight_sum**2 / moments.weight_sq_sum if moments.weight_sum else 0.0


def finish(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D), float64.

    Raises
    ------
    ValueError
        Fewer than two effective rows in float64: no covariance exists.
    """
    if not ess(moments) > 1:
        raise ValueError(
            f"no covariance from {moments.num_rows} rows with an effective sample size of {ess(moments):g}"
        )
    correction = moments.weight_sum - moments.weight_sq_sum / moments.weight_sum
    return moments.mean, moments.scatter / correction
