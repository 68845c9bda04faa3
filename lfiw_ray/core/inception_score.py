"""Inception Score from class probabilities, weighted or not, in parts that merge.

exp of the mean divergence between p(y|x) and its mean (Salimans et al. 2016), which needs two sums only:

    log IS = Σ_i w_i Σ_y p_iy log p_iy / W - Σ_y m_y log m_y,      m = Σ_i w_i p_i / W.

`finish` is one score over all rows.  `over_splits` is the usual mean over ten parts of the rows, which is lower,
because each part estimates m from fewer rows; weights are normalised within each part, parts count equally.  The
standard deviation over parts is that of sets of a tenth of the rows, no standard error of the score.  A score belongs
to the classifier that gave the probabilities and carries its name.

| symbol | meaning | dtype |
|---|---|---|
| probabilities | p_iy, rows sum to 1 | float (N, K) |
| log_w | log weights, unnormalised, nats; None: every weight is 1 | (N,) |
"""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import xlogy

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import common, scaled

_SUM_TOLERANCE = 1e-3  # float32 softmax over a thousand classes stays far inside


class Shuffler(Protocol):
    """What is used of `numpy.random.Generator` and of the older `RandomState`, whose order torch-fidelity uses."""

    def permutation(self, x: int) -> Any:
        """(x,) the numbers below x in random order."""


class ScoreState(NamedTuple):
    """Sums over a set of rows, in units of exp(log_scale) (see `log_scale`)."""

    num_rows: int
    log_scale: float
    weight_sum: float
    neg_entropy_sum: float
    probability_sum: np.ndarray


class SplitScores(NamedTuple):
    """Scores of disjoint parts of the rows."""

    mean: float
    std: float
    """over the parts (divided by their number): a spread, no standard error"""
    num_splits: int


def init(num_classes: int) -> ScoreState:
    """The sums over no rows."""
    return ScoreState(0, -math.inf, 0.0, 0.0, np.zeros(num_classes))


def of(probabilities: np.ndarray, log_w: np.ndarray | None = None) -> ScoreState:
    """The sums over the rows of `probabilities` (N, K), N >= 1.

    Raises
    ------
    ValueError
        Wrong shapes, a negative entry, or a row that does not sum to 1.
    NonFiniteError
        NaN or infinity; names the row.
    """
    p = finite_rows(probabilities, "class probabilities").astype(np.float64)
    bad = np.flatnonzero((p.min(axis=1) < 0) | (np.abs(p.sum(axis=1) - 1) > _SUM_TOLERANCE))
    if bad.size:
        row = p[bad[0]]
        raise ValueError(f"row {bad[0]} is no probability distribution: sum {row.sum():g}, least {row.min():g}")
    log_scale, w = scaled(log_w, len(p))
    return ScoreState(len(p), log_scale, float(w.sum()), float(w @ xlogy(p, p).sum(axis=1)), w @ p)


def merge(a: ScoreState, b: ScoreState) -> ScoreState:
    """The sums over two disjoint sets of rows."""
    if a.probability_sum.shape != b.probability_sum.shape:
        raise ValueError(f"cannot merge {len(a.probability_sum)} and {len(b.probability_sum)} classes")
    log_scale, to_a, to_b = common(a.log_scale, b.log_scale)
    return ScoreState(
        num_rows=a.num_rows + b.num_rows,
        log_scale=log_scale,
        weight_sum=to_a * a.weight_sum + to_b * b.weight_sum,
        neg_entropy_sum=to_a * a.neg_entropy_sum + to_b * b.neg_entropy_sum,
        probability_sum=to_a * a.probability_sum + to_b * b.probability_sum,
    )


def finish(state: ScoreState) -> float:
    """The score, between 1 and K.  A ValueError when no row has a weight above zero."""
    if state.weight_sum == 0:
        raise ValueError(f"no Inception Score: none of the {state.num_rows} rows has a weight above zero")
    mean = state.probability_sum / state.weight_sum
    return math.exp(state.neg_entropy_sum / state.weight_sum - float(xlogy(mean, mean).sum()))


def over_splits(
    probabilities: np.ndarray, log_w: np.ndarray | None = None, num_splits: int = 10, rng: Shuffler | None = None
) -> SplitScores:
    """Mean and spread of the scores of `num_splits` consecutive parts, as even as can be.

    Parameters
    ----------
    probabilities, log_w : as of `of`.
    rng : shuffles the rows first; None leaves their order.  `numpy.random.RandomState(2020)` gives torch-fidelity's
        parts.

    Raises
    ------
    ValueError
        As `of`; fewer rows than parts; a part without a weight above zero.
    NonFiniteError
        NaN or infinity; names the row.
    """
    probabilities = finite_rows(probabilities, "class probabilities")
    num_rows = len(probabilities)
    if not 1 <= num_splits <= num_rows:
        raise ValueError(f"num_splits must be in 1..{num_rows} for {num_rows} rows, got {num_splits}")
    scaled(log_w, num_rows)  # a bad weight is named by its row in the set, not in a part
    order = np.arange(num_rows) if rng is None else rng.permutation(num_rows)
    ends = np.arange(1, num_splits) * num_rows // num_splits
    parts = [of(probabilities[rows], None if log_w is None else log_w[rows]) for rows in np.split(order, ends)]
    scores = np.array([finish(part) for part in parts])
    return SplitScores(float(scores.mean()), float(scores.std()), num_splits)
