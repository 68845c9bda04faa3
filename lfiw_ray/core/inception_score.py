"""Inception Score from class probabilities, weighted or not, in parts that merge.

exp of the mean divergence between p(y|x) and its mean (Salimans et al. 2016), which needs two sums only:

    log IS = Σ_i w_i Σ_y p_iy log p_iy / W - Σ_y m_y log m_y,      m = Σ_i w_i p_i / W.

One score over all rows: the usual mean over ten splits is lower, because each split estimates m from fewer
rows.  A score belongs to the classifier that gave the probabilities and carries its name.

| symbol | meaning | dtype |
|---|---|---|
| probabilities | p_iy, rows sum to 1 | float (N, K) |
| log_w | log weights, unnormalised, nats; None: every weight is 1 | (N,) |
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import xlogy

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import common, scaled

_SUM_TOLERANCE = 1e-3  # float32 softmax over a thousand classes stays far inside


class ScoreState(NamedTuple):
    """Sums over a set of rows, in units of exp(log_scale) (see `log_scale`)."""

    num_rows: int
    log_scale: float
    weight_sum: float
    neg_entropy_sum: float
    probability_sum: np.ndarray


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
