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

Work is O(N² D), in the precision of the features (`kernels`); memory is bounded by a few blocks of `_BLOCK_ROWS` rows
and of `_BLOCK_ROWS`² products; `subsets` copies both sets.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.kernels import CUBIC, Kernel, Rows, centre_of, values
from lfiw_ray.core.log_scale import normalised, scaled

_BLOCK_ROWS = 2048
_VALUES_AT_ONCE = 32_768  # kernel values that stay in a core's own cache


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
    x, y = _sides(real, generated, log_w, kernel)
    return _distance(x, y, real_mean)


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
    centre, found = centre_of(real), np.empty(num_subsets)
    seen, seen_real = kernel.seen(generated, centre), kernel.seen(real, centre)
    for place in range(num_subsets):
        rows = rng.choice(len(generated), subset_size, replace=False)
        others = rng.choice(len(real), subset_size, replace=False)
        x = _Side(kernel, seen_real.taken(others).taken, normalised(None, subset_size))
        y = _Side(kernel, seen.taken(rows).taken, normalised(log_w[rows], subset_size))
        found[place] = _distance(x, y, None)
    return Subsets(float(found.mean()), float(found.std()), num_subsets, subset_size)


def within(features: np.ndarray, log_w: np.ndarray | None = None, kernel: Kernel = CUBIC) -> float:
    """Mean kernel over pairs of different rows of one set: the first or second term of the distance."""
    x = finite_rows(features, "features")
    return _within(_side(kernel, x, normalised(log_w, len(x)), centre_of(x)))


def across(real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None = None, kernel: Kernel = CUBIC) -> float:
    """Mean kernel over pairs of one row of `real` (N, D) and one of `generated` (M, D) with log weights (M,)."""
    return _across(*_sides(real, generated, log_w, kernel))


class _Side:
    """A set with weights that sum to 1, which a kernel sees a block at a time; the last block is kept."""

    def __init__(self, kernel: Kernel, see: Callable[[slice], Rows], w: np.ndarray):
        self.kernel, self.w, self._see = kernel, w, see
        self._last: tuple[slice, Rows] | None = None

    def block(self, where: slice) -> Rows:
        """Some rows."""
        if self._last is None or self._last[0] != where:
            self._last = where, self._see(where)
        return self._last[1]

    def blocks(self, start: int = 0) -> Iterator[slice]:
        """All blocks from a row on."""
        return _pieces(start, len(self.w), _BLOCK_ROWS)


def _side(kernel: Kernel, x: np.ndarray, w: np.ndarray, centre: np.ndarray) -> _Side:
    """A set of which no more than a block is ever copied."""
    return _Side(kernel, lambda where: kernel.seen(x[where], centre), w)


def _sides(real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None, kernel: Kernel) -> tuple[_Side, _Side]:
    x, y = finite_rows(real, "real features"), finite_rows(generated, "generated features")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"feature spaces differ: {x.shape[1]} and {y.shape[1]} features")
    centre = centre_of(x)
    return _side(kernel, x, normalised(None, len(x)), centre), _side(kernel, y, normalised(log_w, len(y)), centre)


def _distance(x: _Side, y: _Side, x_mean: float | None) -> float:
    return (_within(x) if x_mean is None else x_mean) + _within(y) - 2 * _across(x, y)


def _within(x: _Side) -> float:
    w = x.w
    weight_sum = 2 * float(w[1:] @ np.cumsum(w)[:-1])  # Σ_{i≠j} w_i w_j; 1 - Σ w² would lose digits of uneven weights
    if weight_sum == 0:
        raise ValueError(f"a kernel distance needs two rows with a weight above zero, got {(w > 0).sum()} of {len(w)}")
    kernel_sum = 0.0
    for a in x.blocks():
        rows = x.block(a)
        kernel_sum += _sum_of_pairs(x.kernel, rows, w[a])
        kernel_sum += 2 * sum(_sum(x.kernel, rows, x.block(b), w[a], w[b]) for b in x.blocks(a.stop))
    return kernel_sum / weight_sum


def _across(x: _Side, y: _Side) -> float:
    return sum(_sum(x.kernel, x.block(a), y.block(b), x.w[a], y.w[b]) for a in x.blocks() for b in y.blocks())


def _sum(kernel: Kernel, x: Rows, y: Rows, v: np.ndarray, w: np.ndarray) -> float:
    """Σ_ij v_i w_j k(x_i, y_j)."""
    products = x.centred @ y.centred.T
    return sum(
        float(v[some] @ (values(kernel, products[some], x.terms[some], y.terms) @ w))
        for some in _pieces(0, len(v), max(_VALUES_AT_ONCE // len(w), 1))
    )


def _sum_of_pairs(kernel: Kernel, x: Rows, w: np.ndarray) -> float:
    """Σ_{i≠j} w_i w_j k(x_i, x_j), from the values above the diagonal."""
    products, total = x.centred @ x.centred.T, 0.0
    for some in _pieces(0, len(w), max(_VALUES_AT_ONCE // len(w), 1)):
        found = values(kernel, products[some, some.start :], x.terms[some], x.terms[some.start :])
        np.fill_diagonal(found, 0.0)
        times = 2 * w[some.start :]
        times[: len(found)] /= 2  # both of (i, j) and (j, i) are among these
        total += float(w[some] @ (found @ times))
    return total


def _pieces(start: int, stop: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, stop)) for begin in range(start, stop, size))
