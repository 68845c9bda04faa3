"""Precision and recall, density and coverage of generated features by nearest neighbours.

The support of a set is the union of balls around its rows, each with the distance to the row's k-th nearest
neighbour in the same set (itself not counted) as radius; balls are closed.

- precision (Kynkäänniemi et al. 2019): share of the generated rows inside the support of the real set.
- recall (the same): share of the real rows inside the support of the generated set.
- density (Naeem et al. 2020): mean number of real balls that hold a generated row, divided by k.
- coverage (the same): share of the real balls that hold at least one generated row.

Weights belong to generated rows.  Precision and density are expectations over them, so they become weighted
means.  Recall and coverage ask *whether* a region is reached, not how often: a row counts when its weight is
above zero, whatever the weight, and rows of weight zero are left out of the generated set, its balls included.
So recall and coverage of a weighted set equal those of the raw set while every weight is positive.
In a set with repeated rows (resampling with replacement) the k-th neighbour may be a copy: radii shrink
towards zero and recall falls with the diversity, which is what it is there to show.

Work is O(N M D); memory is bounded by one block of `_BLOCK_ROWS` rows of distances.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import normalised

_BLOCK_ROWS = 1024


class Support(NamedTuple):
    """A set of rows and its balls; `sq_radii` (N,) float64 are squared distances."""

    features: np.ndarray
    sq_radii: np.ndarray
    num_neighbours: int


class Manifold(NamedTuple):
    """The four numbers; all in [0, 1] except density, which is >= 0."""

    precision: float
    recall: float
    density: float
    coverage: float


def support(features: np.ndarray, num_neighbours: int) -> Support:
    """Balls of the rows of `features` (N, D); compute the real set's once and use it for every comparison.

    Raises
    ------
    ValueError
        Not 1 <= num_neighbours < N.
    NonFiniteError
        NaN or infinity; names the row.
    """
    features = finite_rows(features, "features").astype(np.float64)
    num_rows = len(features)
    if not 1 <= num_neighbours < num_rows:
        raise ValueError(f"num_neighbours must be in 1..{num_rows - 1} for {num_rows} rows, got {num_neighbours}")
    sq_radii = np.empty(num_rows)
    for rows, sq_distances in _sq_distances(features, features):
        sq_distances[np.arange(len(sq_distances)), np.arange(num_rows)[rows]] = np.inf  # not its own neighbour
        sq_radii[rows] = np.partition(sq_distances, num_neighbours - 1, axis=1)[:, num_neighbours - 1]
    return Support(features, sq_radii, num_neighbours)


def compare(real: Support, generated: np.ndarray, log_w: np.ndarray | None = None) -> Manifold:
    """The four numbers of `generated` (M, D) with log weights `log_w` (M,), nats, against the real set.

    Raises
    ------
    ValueError
        Wrong shapes, or too few generated rows of positive weight for their neighbours.
    NonFiniteError
        NaN or infinity; names the row.
    """
    generated = finite_rows(generated, "generated features")
    if generated.shape[1] != real.features.shape[1]:
        raise ValueError(f"feature spaces differ: {real.features.shape[1]} and {generated.shape[1]} features")
    w = normalised(log_w, len(generated))
    own = support(generated[w > 0], real.num_neighbours)
    w = w[w > 0]
    balls = np.zeros(len(w), np.int64)  # real balls that hold each generated row
    recalled, covered = np.zeros(len(real.features), bool), np.zeros(len(real.features), bool)
    for rows, sq_distances in _sq_distances(own.features, real.features):
        inside = sq_distances <= real.sq_radii
        balls[rows] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= (sq_distances <= own.sq_radii[rows, None]).any(axis=0)
    return Manifold(
        precision=float(np.average(balls > 0, weights=w)),
        recall=float(recalled.mean()),
        density=float(np.average(balls, weights=w)) / real.num_neighbours,
        coverage=float(covered.mean()),
    )


def _sq_distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows of x with their squared distances (rows, len(y)) to all of y."""
    sq_y = np.einsum("ij,ij->i", y, y)
    for start in range(0, len(x), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        sq_x = np.einsum("ij,ij->i", x[rows], x[rows])
        yield rows, np.maximum(sq_x[:, None] + sq_y - 2 * (x[rows] @ y.T), 0.0)
