"""Kernel distance of two sets of features (KID when the features are Inception's).

The squared maximum mean discrepancy with the cubic kernel k(x, y) = (x·y / D + 1)³ (Binkowski et al. 2018):

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y),     x, x' independent, y, y' independent.

With weights that sum to 1 on either side, each expectation over independent pairs is estimated by

    Σ_{i≠j} w_i w_j k(x_i, x_j) / Σ_{i≠j} w_i w_j,        where Σ_{i≠j} w_i w_j = 1 - Σ w_i²,

and the cross term by Σ_ij v_i w_j k(x_i, y_j).  For weights that do not depend on the rows (w = 1 above all)
every term is unbiased: the sum is over pairs of different rows, and is divided by the weight it holds.
Self-normalised importance weights add the usual ratio bias of order 1 / ESS.  The estimate may be negative.
Two equal rows (drawn twice by a resampling) are different rows of the sum, and push the estimate upwards.

Work is O(N² D); memory is bounded by one block of `_BLOCK_ROWS`² kernel values.
"""

from collections.abc import Iterator

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import normalised

_BLOCK_ROWS = 2048


def distance(
    real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None = None, real_mean: float | None = None
) -> float:
    """MMD² between `real` (N, D), all of weight 1, and `generated` (M, D) with log weights `log_w` (M,), nats.

    Parameters
    ----------
    real_mean : `within(real)`, where it is known: of the order N² D to compute, and the same for every comparison.

    Raises
    ------
    ValueError
        Wrong shapes, or fewer than two rows with a weight above zero on a side.
    NonFiniteError
        NaN or infinity; names the row.
    """
    own = within(real) if real_mean is None else real_mean
    return own + within(generated, log_w) - 2 * across(real, generated, log_w)


def within(features: np.ndarray, log_w: np.ndarray | None = None) -> float:
    """Mean kernel over pairs of different rows of one set: the first or second term of the distance."""
    x = finite_rows(features, "features")
    w = normalised(log_w, len(x))
    kernel_sum = weight_sum = 0.0
    for a in _blocks(len(x)):
        for b in _blocks(len(x), a.start):
            pairs = np.outer(w[a], w[b]) * (1.0 if a == b else 2.0)  # blocks below the diagonal are mirrored
            if a == b:
                np.fill_diagonal(pairs, 0.0)
            weight_sum += pairs.sum()
            kernel_sum += np.vdot(pairs, _kernel(x[a], x[b]))
    if weight_sum == 0:
        raise ValueError(f"a kernel distance needs two rows with a weight above zero, got {(w > 0).sum()} of {len(x)}")
    return float(kernel_sum / weight_sum)


def across(real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None = None) -> float:
    """Mean kernel over pairs of one row of `real` (N, D) and one of `generated` (M, D) with log weights (M,)."""
    x, y = finite_rows(real, "real features"), finite_rows(generated, "generated features")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"feature spaces differ: {x.shape[1]} and {y.shape[1]} features")
    w = normalised(log_w, len(y))
    total = sum(float(_kernel(x[a], y[b]).sum(axis=0) @ w[b]) for a in _blocks(len(x)) for b in _blocks(len(y)))
    return total / len(x)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1.0
    return np.asarray(base * base * base)


def _blocks(num_rows: int, start: int = 0) -> Iterator[slice]:
    return (slice(begin, min(begin + _BLOCK_ROWS, num_rows)) for begin in range(start, num_rows, _BLOCK_ROWS))
