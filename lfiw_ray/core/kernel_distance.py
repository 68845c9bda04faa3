"""Kernel distance of two sets of features (KID when the features are Inception's and the kernel cubic).

The squared maximum mean discrepancy with a kernel of `kernels` (Binkowski et al. 2018):

    MMD² = E k(x, x') + E k(y, y') - 2 E k(x, y),     x, x' independent, y, y' independent.

With weights that sum to 1 on either side, each expectation over independent pairs is estimated by

    Σ_{i≠j} w_i w_j k(x_i, x_j) / Σ_{i≠j} w_i w_j,        where Σ_{i≠j} w_i w_j = 1 - Σ w_i²,

and the cross term by Σ_ij v_i w_j k(x_i, y_j).  For weights that do not depend on the rows (w = 1 above all)
every term is unbiased: the sum is over pairs of different rows, and is divided by the weight it holds.
Self-normalised importance weights add the usual ratio bias of order 1 / ESS.  The estimate may be negative.
Two equal rows (drawn twice by a resampling) are different rows of the sum, and push the estimate upwards; so a row
of weight 2 equals two rows in the cross term alone.

`distance` uses all pairs.  `subsets` is the field's form of it: the mean over random subsets of either set, in which
the same formula is applied.  Both have the same expectation for w = 1; all pairs have the smaller variance.  The
standard deviation over subsets is no standard error: subsets overlap, and its size is that of a set of `subset_size`
rows.  In a subset rows are drawn whatever their weight, and the weights of those drawn are normalised anew: the ratio
bias is then of order 1 / (the subset's ESS), about N / subset_size times that of all pairs.  For uneven weights use
`distance`.

Work is O(N² D); memory is bounded by one block of `_BLOCK_ROWS`² kernel values.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.kernels import CUBIC, Kernel
from lfiw_ray.core.log_scale import normalised, scaled

_BLOCK_ROWS = 2048


class Chooser(Protocol):
    """What is used of `numpy.random.Generator` and of the older `RandomState`, whose draws torch-fidelity uses."""

    def choice(self, a: Any, size: Any, replace: Any) -> Any:
        """`size` of the numbers below `a`."""


class Subsets(NamedTuple):
    """Distances of random subsets."""

    mean: float
    std: float
    """over the subsets (divided by their number): a spread, no standard error"""
    num_subsets: int
    subset_size: int


def distance(
    real: np.ndarray,
    generated: np.ndarray,
    log_w: np.ndarray | None = None,
    real_mean: float | None = None,
    kernel: Kernel = CUBIC,
) -> float:
    """MMD² between `real` (N, D), all of weight 1, and `generated` (M, D) with log weights `log_w` (M,), nats.

    Parameters
    ----------
    real_mean : `within(real)` with the same kernel, where it is known: of the order N² D to compute, and the same
        for every comparison.

    Raises
    ------
    ValueError
        Wrong shapes, or fewer than two rows with a weight above zero on a side.
    NonFiniteError
        NaN or infinity; names the row.
    """
    own = within(real, kernel=kernel) if real_mean is None else real_mean
    return own + within(generated, log_w, kernel) - 2 * across(real, generated, log_w, kernel)


def subsets(
    real: np.ndarray,
    generated: np.ndarray,
    log_w: np.ndarray | None,
    rng: Chooser,
    num_subsets: int = 100,
    subset_size: int = 1000,
    kernel: Kernel = CUBIC,
) -> Subsets:
    """The field's KID: mean and spread of `distance` over random subsets of `subset_size` rows of either set.

    Rows are drawn without replacement in the order of torch-fidelity (generated, then real), so that
    `numpy.random.RandomState(2020)` and w = 1 give its numbers.

    Raises
    ------
    ValueError
        As `distance`, in any subset; fewer than `subset_size` rows in a set; no subsets.
    NonFiniteError
        NaN or infinity; names the row.
    """
    real, generated = finite_rows(real, "real features"), finite_rows(generated, "generated features")
    if num_subsets < 1 or not 2 <= subset_size <= min(len(real), len(generated)):
        raise ValueError(
            f"cannot take {num_subsets} subsets of {subset_size} rows: {len(real)} real, {len(generated)} generated"
        )
    scaled(log_w, len(generated))  # a bad weight is named by its row in the set, not in a subset
    log_w = np.zeros(len(generated)) if log_w is None else np.asarray(log_w)
    found = np.empty(num_subsets)
    for place in range(num_subsets):
        rows = rng.choice(len(generated), subset_size, replace=False)
        others = rng.choice(len(real), subset_size, replace=False)
        found[place] = distance(real[others], generated[rows], log_w[rows], kernel=kernel)
    return Subsets(float(found.mean()), float(found.std()), num_subsets, subset_size)


def within(features: np.ndarray, log_w: np.ndarray | None = None, kernel: Kernel = CUBIC) -> float:
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
            kernel_sum += np.vdot(pairs, kernel(x[a], x[b]))
    if weight_sum == 0:
        raise ValueError(f"a kernel distance needs two rows with a weight above zero, got {(w > 0).sum()} of {len(x)}")
    return float(kernel_sum / weight_sum)


def across(real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None = None, kernel: Kernel = CUBIC) -> float:
    """Mean kernel over pairs of one row of `real` (N, D) and one of `generated` (M, D) with log weights (M,)."""
    x, y = finite_rows(real, "real features"), finite_rows(generated, "generated features")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"feature spaces differ: {x.shape[1]} and {y.shape[1]} features")
    w = normalised(log_w, len(y))
    total = sum(float(kernel(x[a], y[b]).sum(axis=0) @ w[b]) for a in _blocks(len(x)) for b in _blocks(len(y)))
    return total / len(x)


def _blocks(num_rows: int, start: int = 0) -> Iterator[slice]:
    return (slice(begin, min(begin + _BLOCK_ROWS, num_rows)) for begin in range(start, num_rows, _BLOCK_ROWS))
