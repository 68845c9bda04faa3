"""FID and Inception Score of infinitely many rows, by extrapolation (Chong and Forsyth 2020, arXiv 1911.07023).

Both numbers of N rows are off by about c / N, upwards (FID) or downwards (Inception Score), and c depends on the
model: two models may change places with N.  The expansion

    E[value of N rows] = value of infinitely many + c / N + O(N^-2)

is a straight line in 1 / N.  So the value is computed for several N, on rows drawn from the set without replacement,
and the least-squares line's intercept at 1 / N = 0 is returned.  As in the authors' program the sizes lie at even
distances in N, 15 of them, from 5,000 (here: a tenth of the rows) to all rows, each on rows drawn anew.

- Only the bias of the generated rows is removed.  The real set keeps its own, the same for every generated set.
- Weighted rows are drawn like others and keep their weights.  The effective sample size of a part grows with its number
  of rows, so the line removes both FID's bias and that of self-normalised weights, as long as no few rows hold most
  of the weight.
- `se` is that of the least-squares intercept.  It takes the values for independent; they share rows, and the largest
  is that of all rows, so it tells how straight the line is and is too small as an error of the number.  That error is
  the spread over repeats with other rows.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from lfiw_ray.core import frechet, inception_score, moments
from lfiw_ray.core.finite import finite_rows, require_finite
from lfiw_ray.core.log_scale import scaled
from lfiw_ray.core.moments import Moments

NUM_POINTS = 15


class Extrapolation(NamedTuple):
    """The line value = intercept + slope / N."""

    intercept: float
    """the value of infinitely many rows"""
    se: float
    """of the intercept, from the residuals (see the module docstring)"""
    slope: float
    """c, in units of the value times rows"""
    num_rows: tuple[int, ...]
    """the sizes N"""
    values: tuple[float, ...]


def sizes_for(num_rows: int, smallest: int | None = None, num_points: int = NUM_POINTS) -> np.ndarray:
    """(num_points,) int64 sizes at even distances from `smallest` (a tenth of the rows by default) to `num_rows`.

    Raises
    ------
    ValueError
        Fewer than 3 sizes, or sizes that coincide.
    """
    first = num_rows // 10 if smallest is None else smallest
    sizes = np.linspace(first, num_rows, max(num_points, 0)).astype(np.int64)
    if num_points < 3 or first < 2 or len(np.unique(sizes)) < num_points:
        raise ValueError(f"no line through {num_points} sizes from {first} to {num_rows}: 3 different ones are needed")
    return sizes


def line(num_rows: np.ndarray, values: np.ndarray) -> Extrapolation:
    """Ordinary least squares of `values` (P,) on 1 / num_rows (P,), P >= 3, with at least two sizes."""
    require_finite(values, "values to extrapolate")
    x = 1 / num_rows.astype(np.float64)
    spread = float(((x - x.mean()) ** 2).sum())
    if len(x) < 3 or x.shape != values.shape or len(np.unique(x)) < 2:
        raise ValueError(f"a line needs 3 values at different sizes, got {len(values)} at {np.unique(num_rows)}")
    slope = float((x - x.mean()) @ values) / spread
    intercept = float(values.mean() - slope * x.mean())
    residual_sq = float(((values - intercept - slope * x) ** 2).sum()) / (len(x) - 2)
    se = np.sqrt(residual_sq * (1 / len(x) + x.mean() ** 2 / spread))
    return Extrapolation(intercept, float(se), slope, tuple(num_rows.tolist()), tuple(values.tolist()))


def fid(
    real: Moments,
    generated: np.ndarray,
    log_w: np.ndarray | None,
    rng: np.random.Generator,
    smallest: int | None = None,
    num_points: int = NUM_POINTS,
) -> Extrapolation:
    """Fréchet distance to `real` of infinitely many rows like `generated` (M, D) with log weights `log_w` (M,), nats.

    Raises
    ------
    ValueError
        Wrong shapes; too few rows for `sizes_for`; a part without two effective rows.
    NonFiniteError
        NaN or infinity; names the row.
    """
    generated = finite_rows(generated, "generated features")
    target = frechet.target_of(real)

    def value(rows: np.ndarray, part_log_w: np.ndarray | None) -> float:
        return frechet.to_target(target, moments.of(generated[rows], part_log_w))

    return _extrapolated(value, len(generated), log_w, rng, smallest, num_points)


def score(
    probabilities: np.ndarray,
    log_w: np.ndarray | None,
    rng: np.random.Generator,
    smallest: int | None = None,
    num_points: int = NUM_POINTS,
) -> Extrapolation:
    """Inception Score (one split) of infinitely many rows like `probabilities` (M, K) with log weights `log_w` (M,).

    Raises
    ------
    ValueError
        As `inception_score.of`; too few rows for `sizes_for`.
    NonFiniteError
        NaN or infinity; names the row.
    """
    probabilities = finite_rows(probabilities, "class probabilities")

    def value(rows: np.ndarray, part_log_w: np.ndarray | None) -> float:
        return inception_score.finish(inception_score.of(probabilities[rows], part_log_w))

    return _extrapolated(value, len(probabilities), log_w, rng, smallest, num_points)


def _extrapolated(
    value: Callable[[np.ndarray, np.ndarray | None], float],
    num_rows: int,
    log_w: np.ndarray | None,
    rng: np.random.Generator,
    smallest: int | None,
    num_points: int,
) -> Extrapolation:
    scaled(log_w, num_rows)  # a bad weight is named by its row in the set, not in a part
    sizes = sizes_for(num_rows, smallest, num_points)
    parts = _parts(num_rows, sizes, rng)
    return line(sizes, np.array([value(rows, None if log_w is None else log_w[rows]) for rows in parts]))


def _parts(num_rows: int, sizes: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    return (np.sort(rng.choice(num_rows, size, replace=False)) for size in sizes.tolist())
