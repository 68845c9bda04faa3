"""Classifier two-sample test: can a new classifier tell the generated rows from real ones? (Lopez-Paz and Oquab 2017)

Both sets are cut in halves at random.  A logistic regression on standardised features is fitted on the first halves,
and its accuracy on the second halves is the statistic: 1/2 when the distributions are equal, and otherwise a lower
bound of the best possible accuracy (1 + total variation) / 2.  Each side holds half of the mass, whatever its number of
rows, in the fit and in the accuracy; generated rows may carry weights:

    accuracy = ½ Σ_real v_i 1[called real] + ½ Σ_generated w_i 1[called generated],     Σ v = Σ w = 1.

With equal distributions it has mean 1/2 whatever was fitted, and variance at most
(Σ v² + Σ w²) / 16 = 1 / (4 num_test) for equal sides of weight 1; the paper's test.  `z` divides by the larger of that
standard error and the observed one (by the delta method, as in `weights.self_normalised_mean`), because weights that
are correlated with the classifier's errors can have more.  A one-sided test at z = 3 has a false alarm of about 0.13 %.

The classifier is linear, so it sees nothing but shifts along directions of the feature space; ridge 1 / (number of
training rows) a row keeps it defined when features outnumber rows.
Copies of a row (resampling with replacement) may lie in both halves and be recognised: such a set fails the test for
its lack of variety, whatever its shares.

| symbol | meaning | dtype |
|---|---|---|
| real | real rows, seen by no other classifier | float (N, D) |
| generated, log_w | rows and their log weights, unnormalised, nats | float (M, D), (M,) |
"""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from lfiw_ray.core.finite import finite_rows
from lfiw_ray.core.log_scale import normalised, scaled

_MAX_STEPS = 10_000  # of L-BFGS; a few hundred are taken


class TwoSample(NamedTuple):
    """Outcome of the test."""

    accuracy: float
    """in [0, 1], on rows that were not fitted"""
    se: float
    """of the accuracy, over the test rows"""
    z: float
    """(accuracy - 1/2) / the larger of `se` and the standard error for equal distributions"""
    num_test: int
    """test rows of both sides"""
    ess_test: float
    """effective sample size of the generated test rows"""


class _Side(NamedTuple):
    x: np.ndarray
    w: np.ndarray  # sums to 1


def classifier_test(
    real: np.ndarray, generated: np.ndarray, log_w: np.ndarray | None, rng: np.random.Generator
) -> TwoSample:
    """The test of `real` (N, D) against `generated` (M, D), N, M >= 4.

    Parameters
    ----------
    rng : cuts the halves.

    Raises
    ------
    ValueError
        Wrong shapes, too few rows, or a half without a weight above zero.
    NonFiniteError
        NaN or infinity; names the row.
    """
    real, generated = finite_rows(real, "real features"), finite_rows(generated, "generated features")
    if real.shape[1] != generated.shape[1] or min(len(real), len(generated)) < 4:
        raise ValueError(f"needs 4 rows of a side with the same features, got {real.shape} and {generated.shape}")
    scaled(log_w, len(generated))  # a bad weight is named by its row in the set, not in a half
    real_fit, real_test = _halves(real, None, rng)
    generated_fit, generated_test = _halves(generated, log_w, rng)
    centre, scale = _standard(real_fit, generated_fit)
    model = _fitted([side._replace(x=(side.x - centre) / scale) for side in (real_fit, generated_fit)])
    called_real = [model.decision_function((side.x - centre) / scale) > 0 for side in (real_test, generated_test)]
    return _outcome(called_real[0], real_test.w, ~called_real[1], generated_test.w)


def _halves(x: np.ndarray, log_w: np.ndarray | None, rng: np.random.Generator) -> tuple[_Side, _Side]:
    halves = np.array_split(rng.permutation(len(x)), 2)
    fit, held_out = (
        _Side(x[rows].astype(np.float64), normalised(None if log_w is None else log_w[rows], len(rows)))
        for rows in halves
    )
    return fit, held_out


def _standard(*sides: _Side) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the features of both sides, each of half the mass."""
    centre = sum(side.w @ side.x for side in sides) / 2
    variance = sum(side.w @ (side.x - centre) ** 2 for side in sides) / 2
    return np.asarray(centre), np.where(variance > 0, np.sqrt(variance), 1.0)


def _fitted(sides: list[_Side]) -> LogisticRegression:
    x, w = (np.concatenate(columns) for columns in zip(*sides, strict=True))
    y = np.repeat([1, 0], [len(side.x) for side in sides])
    return LogisticRegression(C=1.0, max_iter=_MAX_STEPS).fit(x, y, sample_weight=w * (len(x) / 2))


def _outcome(right_real: np.ndarray, v: np.ndarray, right_generated: np.ndarray, w: np.ndarray) -> TwoSample:
    wrong = float(v @ ~right_real), float(w @ ~right_generated)
    accuracy = 1 - sum(wrong) / 2
    residuals = v * (~right_real - wrong[0]), w * (~right_generated - wrong[1])
    se = float(np.sqrt(sum(r @ r for r in residuals))) / 2
    null_se = float(np.sqrt(v @ v + w @ w)) / 4
    return TwoSample(accuracy, se, (accuracy - 0.5) / max(se, null_se), len(v) + len(w), float(1 / (w @ w)))
