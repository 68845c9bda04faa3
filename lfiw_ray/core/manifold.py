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

Rows that are equal are compared once and counted as often as they occur, which changes no number: a set of ten distinct
rows costs what ten rows cost.

Work is O(N M D), in single precision where that is safe (see `near_pairs`); memory is bounded by a copy of the rows
in single precision and one block of distances.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import near_pairs
from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import normalised
from lfiw_ray.core.near_pairs import Block, Rows


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
    features = finite_rows(features, "features")
    first, which = _distinct(features)
    return Support(features, _sq_radii(features[first], np.bincount(which), num_neighbours)[which], num_neighbours)


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
    kept = np.flatnonzero(w > 0)
    first, which = _distinct(generated[kept])
    own = generated[kept[first]]
    sq_radii = _sq_radii(own, np.bincount(which), real.num_neighbours)
    w = np.bincount(which, weights=w[kept])
    balls = np.zeros(len(own), np.int64)  # real balls that hold each distinct generated row
    recalled, covered = np.zeros(len(real.features), bool), np.zeros(len(real.features), bool)
    b, a = near_pairs.prepared(real.features, own)
    for block in near_pairs.blocks(a, b):
        rows, cols = near_pairs.within(a, b, block, real.sq_radii, of_a=False)
        balls += np.bincount(rows, minlength=len(own))
        covered[cols] = True
        recalled[near_pairs.within(a, b, block, sq_radii, of_a=True)[1]] = True
    return Manifold(
        precision=float(np.average(balls > 0, weights=w)),
        recall=float(recalled.mean()),
        density=float(np.average(balls, weights=w)) / real.num_neighbours,
        coverage=float(covered.mean()),
    )


def _distinct(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first row of each kind of equal rows, and of which kind each row is."""
    kinds: dict[bytes, int] = {}
    which = np.array([kinds.setdefault(row.tobytes(), len(kinds)) for row in features])
    return np.unique(which, return_index=True)[1], which


def _sq_radii(features: np.ndarray, counts: np.ndarray, num_neighbours: int) -> np.ndarray:
    """(N,) float64 squared radii of distinct rows that occur `counts` times each."""
    num_rows = int(counts.sum())
    if not 1 <= num_neighbours < num_rows:
        raise ValueError(f"num_neighbours must be in 1..{num_rows - 1} for {num_rows} rows, got {num_neighbours}")
    (rows,) = near_pairs.prepared(features)
    nearest = np.where(np.arange(num_neighbours) < counts[:, None] - 1, 0.0, np.inf)  # copies of the row itself
    for block in near_pairs.blocks(rows, rows, upper_half=True):
        if block.a == block.b:
            np.fill_diagonal(block.lower, np.nan)  # no row is its own neighbour; NaN is within no reach
        else:
            _keep_nearest(nearest, rows, Block(block.b, block.a, np.ascontiguousarray(block.lower.T)), counts)
        _keep_nearest(nearest, rows, block, counts)
    return np.asarray(nearest[:, -1])


def _keep_nearest(nearest: np.ndarray, rows: Rows, block: Block, counts: np.ndarray) -> None:
    """Take the pairs of a block into `nearest` (N, k), each row's smallest squared distances so far, ascending."""
    k, own = nearest.shape[1], nearest[block.a]
    a, b = near_pairs.where(block.lower <= _reach(own[:, -1], rows, block, k)[:, None])
    sq_distances = near_pairs.exact(rows, rows, a + block.a.start, b + block.b.start)
    times = np.minimum(counts[b + block.b.start], k)
    values = np.concatenate([own.ravel(), np.repeat(sq_distances, times)])
    owners = np.concatenate([np.repeat(np.arange(len(own)), k), np.repeat(a, times)])
    order = np.lexsort((values, owners))
    starts = np.searchsorted(owners[order], np.arange(len(own)))
    nearest[block.a] = values[order][starts[:, None] + np.arange(k)]


def _reach(farthest: np.ndarray, rows: Rows, block: Block, k: int) -> np.ndarray:
    """For each row of a block a squared distance, float32 in units of scale², beyond which none of its k nearest lies.

    Parameters
    ----------
    farthest : the k-th smallest squared distance so far, in units of the features.
    """
    reach = farthest / rows.scale**2
    if block.lower.shape[1] < k:
        return reach.astype(np.float32)
    farthest_col = block.b.start + int(rows.sq_norms[block.b].argmax())
    low = np.partition(block.lower, k - 1, axis=1)[:, k - 1].astype(np.float64)
    own = np.arange(block.a.start, block.a.stop)
    within = low + near_pairs.width(rows, rows, own, np.full(len(own), farthest_col))
    return np.asarray(np.fmin(reach, within).astype(np.float32))
