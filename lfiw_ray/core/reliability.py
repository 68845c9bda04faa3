"""Is a classifier's probability honest?  The figures of one set of held-out rows.

The expected calibration error alone is no acceptance test: a classifier that separates almost perfectly has a
tiny one and useless odds.  The two means of weights are the sharper check, free of labels' noise: with exact
odds E_model[w] = 1 and E_data[1 / w] = 1.

| symbol | meaning | dtype, unit |
|---|---|---|
| logits | calibrated held-out log odds of *real* | float64 (N,), nats |
| y | 1 real, 0 generated | (N,) of 0 and 1 |
| p | sigmoid(logits) | float64 (N,) |
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from lfiw_ray.core.calibration import checked
from lfiw_ray.core.logistic import log_loss
from lfiw_ray.core.weights import Estimate, from_logits, plain_mean


class ReliabilityCurve(NamedTuple):
    """Bins of (nearly) equal numbers of rows, by increasing p; rows of equal p share a bin."""

    predicted: np.ndarray
    """float64 (B,), mean p of a bin"""
    observed: np.ndarray
    """float64 (B,), share of real rows in it"""
    rows: np.ndarray
    """int64 (B,), how many rows it holds"""


class CalibrationReport(NamedTuple):
    """Figures of one set of rows."""

    n: int
    curve: ReliabilityCurve
    ece: float
    """mean of |predicted - observed| over rows, by equal-mass bins"""
    log_loss_nats: float
    brier: float
    """mean of (y - p)^2"""
    z: float
    """sum(y - p) / sqrt(sum p (1 - p)): standard normal when p is right (Turner et al. 2019)"""
    auc: float
    """chance that a real row outranks a generated one; ties count half"""
    accuracy: float
    """share of rows on the right side of p = 1/2; p = 1/2 counts as generated"""
    tied: float
    """share of rows whose logit another row has too"""
    model_mean_w: Estimate
    """E_model[w], over the generated rows"""
    data_mean_inverse_w: Estimate
    """E_data[1 / w], over the real rows"""


def report(logits: np.ndarray, y: np.ndarray, log_prior_odds: float, num_bins: int = 15) -> CalibrationReport:
    """All figures.

    Parameters
    ----------
    log_prior_odds : log(n_gen / n_real) of the rows that the logits were calibrated on, nats.
    num_bins : bins of the reliability curve, at most.

    Raises
    ------
    ValueError
        As `calibration.fit`, or a class has fewer than 2 rows.
    NonFiniteError
        A logit is not finite, or a mean of weights overflows.
    """
    logits, y = checked(logits, y)
    curve = reliability_curve(logits, y, num_bins)
    log_w = from_logits(logits, log_prior_odds)
    real = y == 1
    return CalibrationReport(
        n=len(y),
        curve=curve,
        ece=float(np.abs(curve.predicted - curve.observed) @ curve.rows / len(y)),
        log_loss_nats=log_loss(logits, y),
        brier=float(np.mean((y - expit(logits)) ** 2)),
        z=z_statistic(logits, y),
        auc=auc(logits, y),
        accuracy=float(np.mean((logits > 0) == real)),
        tied=tied(logits),
        model_mean_w=plain_mean(log_w[~real], np.ones(int((~real).sum()))),
        data_mean_inverse_w=plain_mean(-log_w[real], np.ones(int(real.sum()))),
    )


def bins_of(logits: np.ndarray, num_bins: int) -> np.ndarray:
    """(N,) int64 bin of each row: 0, 1, ... by increasing logit, of (nearly) equal numbers of rows.

    Equal logits share a bin, whatever their label; bins that ties leave empty are not numbered.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}")
    middle = (rankdata(logits) - 0.5) / len(logits)  # in (0, 1); equal logits have equal ranks
    bins: np.ndarray = np.unique((middle * num_bins).astype(np.int64), return_inverse=True)[1]
    return bins


def reliability_curve(logits: np.ndarray, y: np.ndarray, num_bins: int) -> ReliabilityCurve:
    """Predicted against observed share of real rows in each of `bins_of`."""
    bins = bins_of(logits, num_bins)
    rows = np.bincount(bins)
    predicted, observed = (np.bincount(bins, weights=v) / rows for v in (expit(logits), y))
    return ReliabilityCurve(predicted, observed, rows)


def z_statistic(logits: np.ndarray, y: np.ndarray) -> float:
    """Surplus of real rows over the predicted number, in standard deviations."""
    surplus = float(np.sum(np.where(y == 1, expit(-logits), -expit(logits))))  # y - p, without cancellation
    deviation = float(np.sqrt(np.sum(expit(logits) * expit(-logits))))
    if deviation == 0:  # every p is 0 or 1 to the last bit
        return 0.0 if surplus == 0 else float(np.copysign(np.inf, surplus))
    return surplus / deviation


def auc(logits: np.ndarray, y: np.ndarray) -> float:
    """Mann-Whitney statistic with mid-ranks."""
    real = y == 1
    num_real, num_generated = int(real.sum()), int((~real).sum())
    rank_sum = float(rankdata(logits)[real].sum())
    return (rank_sum - num_real * (num_real + 1) / 2) / (num_real * num_generated)


def tied(logits: np.ndarray) -> float:
    """Share of rows whose logit is exactly that of another row: among them the ranks are lost."""
    count = np.unique(logits, return_counts=True)[1]
    return float(count[count > 1].sum() / len(logits))
