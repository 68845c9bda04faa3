"""Beta calibration (Kull, Silva Filho and Flach 2017) in logit space: one slope below 0, another above.

The paper's map of a probability p, a log p - b log(1 - p) + c, is in terms of the logit z = log(p / (1 - p))

    below * -h(-z)  +  above * h(z)  +  at_zero,      h(z) = log((1 + e^z) / 2) = softplus(z) - log 2,

with below = a, above = b and at_zero = c + (b - a) log 2.  h rises from -log 2 to z - log 2, so that `below` is
the slope where z is far below 0 and `above` where it is far above; equal ones give a straight line, so that Platt's
map (with a slope of at least 0) is contained.  Neither slope may be negative, or a higher logit could mean lower
odds.  The log loss is convex in the three numbers, so the best pair of slopes is the one with a zero at which
letting go of the other does not help, or else the free optimum: the paper's "drop the negative one and refit",
without the freedom of dropping the wrong one.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from lfiw_ray.core.logistic import least_log_loss, log_loss


class BetaMap(NamedTuple):
    """Three parameters; see the module docstring."""

    below: float
    above: float
    at_zero: float


def apply(parameters: BetaMap, logits: np.ndarray) -> np.ndarray:
    """(N,) float64 calibrated log odds, nats, of (N,) logits."""
    z = np.asarray(logits, np.float64)
    below, above, at_zero = parameters
    return at_zero + above * _bend(z) - below * _bend(-z)


def fit(logits: np.ndarray, targets: np.ndarray) -> BetaMap:
    """Least log loss with slopes of at least 0.

    Parameters
    ----------
    logits : (N,) float64, not all equal, nats.
    targets : (N,) float64 in [0, 1]; 0 and 1 only where no threshold separates them.

    Raises
    ------
    NonFiniteError
        As `logistic.least_log_loss`.
    """

    def loss(parameters: BetaMap) -> float:
        return log_loss(apply(parameters, logits), targets)

    columns = -_bend(-logits), _bend(logits)
    edges = [_one_slope(columns[which], targets, which) for which in (0, 1)]
    best = min(edges, key=loss)
    left_out = columns[1 - edges.index(best)]
    if (targets - expit(apply(best, logits))) @ left_out <= 0:  # the loss falls with no second slope
        return best
    return min(best, _two_slopes(logits, targets), key=loss)  # rounding may have misled the test of the slope


def _one_slope(column: np.ndarray, targets: np.ndarray, which: int) -> BetaMap:
    """Least log loss with slope number `which` on its column, the other at 0."""
    slope, at_zero = least_log_loss(np.stack([column, np.ones_like(column)], axis=1), targets)
    if slope < 0:
        slope, at_zero = 0.0, logit(targets.mean())
    return BetaMap(*((float(slope), 0.0) if which == 0 else (0.0, float(slope))), float(at_zero))


def _two_slopes(logits: np.ndarray, targets: np.ndarray) -> BetaMap:
    """Least log loss, both slopes free.

    The columns are the sum and the difference of h(z) and -h(-z), which for small logits are nearly the same.
    """
    even = _bend(logits) + _bend(-logits)
    middle, half_gap, at_zero = least_log_loss(np.stack([logits, even, np.ones_like(logits)], axis=1), targets)
    below, above = (max(0.0, float(middle + sign * half_gap)) for sign in (-1, 1))
    return BetaMap(below, above, float(at_zero))


def _bend(z: np.ndarray) -> np.ndarray:
    """h(z) of the module docstring, without overflow and without cancellation near 0."""
    bent: np.ndarray = np.maximum(z, 0) + np.log1p(np.expm1(-np.abs(z)) / 2)
    return bent
