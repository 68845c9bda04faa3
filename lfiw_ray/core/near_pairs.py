"""Which pairs of rows lie within a distance of each other: in single precision where that decides, else in double.

Almost all pairs are far outside the radius that they are compared with.  Squared distances

    |x - y|² = |x|² + |y|² - 2 x·y

of all pairs come from one matrix product in single precision, twice as fast as in double, with a bound on its error;
the few pairs that the bound leaves open are computed again, from the rows as they were given and in double precision,
by differences, which lose no digits.  So the answers are those of the exact distances, and equal rows have distance 0.

The bound.  Rows are centred (which leaves distances, and makes norms as small as distances), divided by a power of
two that brings them into [-1, 1], and rounded to single precision.  With u = 2^-24 and D features, the product of the
rounded rows is off by at most γ |x||y|, γ = D u / (1 - D u), whatever the order of its sums (Higham 2002, section 3.1);
rounding the rows moves |x - y|² by at most 4 u (|x|² + |y|²), sums of three terms add 6 u of the same, rounding the
radius that it is compared with 2 u; and 2 |x||y| <= |x|² + |y|².  Together the error is below

    slack (|x|² + |y|²) + floor,      slack = γ + 16 u,      floor = 16 D 2^-126 for what underflows:

`lower` is the computed value less that bound, and `lower` plus twice the bound is above the true value.

| symbol | meaning | dtype |
|---|---|---|
| given | rows as they were given | float (N, D) |
| single | centred, scaled rows | float32 (N, D) |
| sq_norms | |x|² of the rows of `single` | float64 (N,) |
| scale | the power of two | float |
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

_UNIT = 2.0**-24
_TINY = 2.0**-126
_MOST = 500  # binary orders of magnitude whose squares are within float64
_BLOCK_ROWS = 1024
_EXACT_VALUES = 1 << 22  # of differences in memory at a time: 32 MB


class Rows(NamedTuple):
    """Rows ready to be compared with other rows of the same centre and scale."""

    given: np.ndarray
    single: np.ndarray
    sq_norms: np.ndarray
    scale: float


class Block(NamedTuple):
    """Some rows of a against some rows of b."""

    a: slice
    b: slice
    lower: np.ndarray
    """float32, below the squared distance of each pair, in units of scale²"""


def prepared(*sets: np.ndarray) -> list[Rows]:
    """Sets of rows (·, D), finite, with the common centre of the first set's mean.

    Raises
    ------
    ValueError
        Values whose squares exceed float64.
    """
    centre = sets[0].mean(axis=0, dtype=np.float64)
    largest = max(float(np.abs(rows - centre).max()) for given in sets for rows in _pieces(given))
    order = int(np.frexp(largest)[1])
    if order > _MOST:
        raise ValueError(f"features up to {largest:g} from their mean are too large: divide them by a constant")
    scale = 2.0 ** max(order, -_MOST)
    return [_rounded(given, centre, scale) for given in sets]


def _rounded(given: np.ndarray, centre: np.ndarray, scale: float) -> Rows:
    single = np.concatenate([((rows - centre) / scale).astype(np.float32) for rows in _pieces(given)])
    norms = np.concatenate([np.einsum("ij,ij->i", rows, rows, dtype=np.float64) for rows in _pieces(single)])
    return Rows(given, single, norms, scale)


def _pieces(given: np.ndarray) -> Iterator[np.ndarray]:
    return (given[start : start + _BLOCK_ROWS] for start in range(0, len(given), _BLOCK_ROWS))


def slack(num_features: int) -> float:
    """The bound's share of |x|² + |y|²."""
    return num_features * _UNIT / (1 - num_features * _UNIT) + 16 * _UNIT


def width(a: Rows, b: Rows, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Twice the bound, (P,) float64 in units of scale², of the pairs (rows[i] of a, cols[i] of b)."""
    return np.asarray(2 * slack(a.single.shape[1]) * (a.sq_norms[rows] + b.sq_norms[cols]) + 2 * _floor(a))


def blocks(a: Rows, b: Rows, upper_half: bool = False) -> Iterator[Block]:
    """All pairs by blocks; `upper_half` leaves out blocks of b before that of a (a and b are one set)."""
    keep = 1 - slack(a.single.shape[1])
    below_a, below_b = (keep * rows.sq_norms - _floor(a) for rows in (a, b))
    for i in _slices(len(a.single)):
        for j in _slices(len(b.single), i.start if upper_half else 0):
            lower = a.single[i] @ b.single[j].T
            lower *= -2
            lower += below_a[i, None].astype(np.float32)
            lower += below_b[j].astype(np.float32)
            yield Block(i, j, lower)


def within(a: Rows, b: Rows, block: Block, sq_radii: np.ndarray, of_a: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a block with a squared distance <= a squared radius, exactly.

    Parameters
    ----------
    sq_radii : float64, in the units of the features: of all rows of a if `of_a`, else of all rows of b.

    Returns
    -------
    rows, cols : (P,) int64 in a and b; no order.
    """
    own = block.a if of_a else block.b
    reach = (sq_radii[own] / a.scale**2).astype(np.float32)
    rows, cols = where(block.lower <= (reach[:, None] if of_a else reach))
    low = block.lower[rows, cols].astype(np.float64)
    rows, cols = rows + block.a.start, cols + block.b.start
    limit = sq_radii[rows if of_a else cols]
    inside = low + width(a, b, rows, cols) <= limit / a.scale**2
    open_ = np.flatnonzero(~inside)
    inside[open_] = exact(a, b, rows[open_], cols[open_]) <= limit[open_]
    return rows[inside], cols[inside]


def exact(a: Rows, b: Rows, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """(P,) float64 squared distances of the pairs (rows[i] of a, cols[i] of b), in the units of the features."""
    out = np.empty(len(rows))
    step = max(1, _EXACT_VALUES // a.given.shape[1])
    for start in range(0, len(rows), step):
        some = slice(start, start + step)
        gap = a.given[rows[some]].astype(np.float64)
        gap -= b.given[cols[some]]
        out[some] = np.einsum("ij,ij->i", gap, gap)
    return out


def where(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the few true entries."""
    rows, cols = np.divmod(np.flatnonzero(mask), mask.shape[1])
    return rows, cols


def _floor(a: Rows) -> float:
    return 16 * _TINY * float(a.single.shape[1])


def _slices(num_rows: int, start: int = 0) -> Iterator[slice]:
    return (slice(begin, min(begin + _BLOCK_ROWS, num_rows)) for begin in range(start, num_rows, _BLOCK_ROWS))
