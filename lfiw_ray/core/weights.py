"""Importance weights from classifier logits, and the estimators that use them.

A classifier of real (y = 1) against generated (y = 0) rows with honest probability c(x) gives the ratio of
the densities by Bayes' rule, w(x) = p_data(x) / p_model(x) = (n_gen / n_real) c / (1 - c), so that
log w = logit + log_prior_odds (Grover et al. 2019, arXiv 1906.09531, section 3).  Weights stay logarithms
until the last line.

| symbol | meaning | dtype, unit |
|---|---|---|
| logits | log odds of *real* | (N,), nats |
| log_prior_odds | log(n_gen / n_real) of the rows the classifier was fitted on | float, nats |
| log_w | log weight, unnormalised; -inf is a weight of zero, NaN and +inf are refused | (N,), nats |
| alpha | exponent of w^alpha | float |

The two estimators' bias and variance, and those of flattened, clipped, truncated and Pareto-smoothed weights, stand
in one table in core/forms.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lfiw_ray.errors import NonFiniteError

_ROWS_NAMED = 5  # how many offending rows an error message lists


Monotone = Callable[[np.ndarray], np.ndarray]
"""From raw log weights to those used, (N,) float to (N,) float64, not decreasing and row by row; -inf stays."""


def as_given(log_w: np.ndarray) -> np.ndarray:
    """The weights as they are, as float64."""
    return np.asarray(log_w, np.float64)


def largest(log_w: np.ndarray, start: int = 0) -> float:
    """The largest log weight (-inf when there is none), after the one check every user of weights needs.

    Parameters
    ----------
    log_w : (N,) floats, nats.
    start : sample id of row 0, for the message.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf; the message names the sample ids.
    """
    peak = float(np.max(log_w, initial=-np.inf))
    if peak < np.inf:  # False for NaN too, which np.max hands on
        return peak
    bad = np.flatnonzero(~(np.asarray(log_w) < np.inf))
    named = ", ".join(str(start + row) for row in bad[:_ROWS_NAMED].tolist())
    more = f" and {len(bad) - _ROWS_NAMED:,} more" if len(bad) > _ROWS_NAMED else ""
    raise NonFiniteError(
        f"log weight is NaN or +inf in sample id {named}{more}; look for overflow in the classifier's logits, "
        "or score these rows again"
    )


def prior_correction(num_real: int, num_generated: int) -> float:
    """log_prior_odds, log(n_gen / n_real), nats: the correction for unequal numbers of rows of the two classes.

    A classifier's odds are p n_real / (q n_gen); with the correction the weights do not depend on the numbers, which
    are those of the rows that the logits are honest for: the calibration's, where there was one.  Ranks and
    self-normalised results are the same without it; E[w] = 1 and plain means are not.
    """
    if num_real < 1 or num_generated < 1:
        raise ValueError(f"both classes need rows, got {num_real} real and {num_generated} generated")
    return math.log(num_generated / num_real)


def from_logits(logits: np.ndarray, log_prior_odds: float) -> np.ndarray:
    """(N,) float64 log weights, nats, of calibrated logits (module docstring)."""
    return np.asarray(logits, np.float64) + log_prior_odds


def flatten(log_w: np.ndarray, alpha: float) -> np.ndarray:
    """(N,) float64 log of w^alpha.

    alpha = 1 leaves the weights, alpha = 0 makes them equal; smaller alpha trades bias for variance.
    A weight of zero stays zero for every alpha, 0 included, so that such a row is never selected.
    """
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be finite and at least 0, got {alpha}")
    log_w = np.asarray(log_w, np.float64)
    return np.where(log_w == -np.inf, -np.inf, 0.0) if alpha == 0 else alpha * log_w


class Estimate(NamedTuple):
    """A number with its standard error."""

    mean: float
    se: float


def plain_mean(log_w: np.ndarray, f: np.ndarray) -> Estimate:
    """Mean of w f: unbiased for E_data[f] when the weights are exact and normalised.

    Parameters
    ----------
    log_w, f : (N,) floats with N >= 2; f is finite.

    Raises
    ------
    NonFiniteError
        A weight is NaN or +inf, or so large that the mean exceeds the range of float64.
    """
    _require_pairs(log_w, f)
    peak = largest(log_w)
    if peak == -np.inf:
        return Estimate(0.0, 0.0)
    terms = np.exp(np.asarray(log_w, np.float64) - peak) * f
    with np.errstate(over="ignore"):
        mean, se = np.exp(peak) * np.array([terms.mean(), terms.std(ddof=1) / np.sqrt(len(terms))])
    if not np.isfinite([mean, se]).all():
        raise NonFiniteError(
            f"the plain mean overflows float64: the largest log weight is {peak:g}; use self_normalised_mean"
        )
    return Estimate(float(mean), float(se))


def self_normalised_mean(log_w: np.ndarray, f: np.ndarray) -> Estimate:
    """Sum of w f over sum of w: needs no normalised weights; bias of order 1 / ESS.

    The standard error is the delta method's, sqrt(sum p_i^2 (f_i - mean)^2) with p = w / sum w
    (Owen 2013, Monte Carlo theory, eq. 9.9).

    Raises
    ------
    NonFiniteError
        A weight is NaN or +inf, or all weights are zero.
    """
    _require_pairs(log_w, f)
    peak = largest(log_w)
    if peak == -np.inf:
        raise NonFiniteError(f"all {len(log_w):,} weights are zero, so nothing can be averaged with them")
    p = np.exp(np.asarray(log_w, np.float64) - peak)
    p /= p.sum()
    mean = float(p @ f)
    return Estimate(mean, float(np.sqrt(np.sum((p * (f - mean)) ** 2))))


def _require_pairs(log_w: np.ndarray, f: np.ndarray) -> None:
    if log_w.ndim != 1 or log_w.shape != f.shape or len(log_w) < 2:
        raise ValueError(f"log_w and f must be (N,) with the same N >= 2, got shapes {log_w.shape} and {f.shape}")
    if not np.isfinite(f).all():
        raise ValueError(
            f"f must be finite, but is {f[~np.isfinite(f)][0]} in row {np.flatnonzero(~np.isfinite(f))[0]}"
        )
