"""Confidence bands of the calibration figures: how much they would move with other held-out rows.

The percentile bootstrap (Efron 1979): rows are drawn anew with replacement, each figure is computed on every
resample, and the band runs between its 2.5 % and 97.5 % quantiles.  The classes are drawn apart, because how many
rows each has was chosen and not observed.  A resample is a vector of how often each row was drawn, so a figure that
is a mean over rows is one matrix product over all resamples.  Resample i has a generator of its own: the first 100
of 1,000 are those of 100.

What the bands do not say:
- They are about the rows, not about the classifier: it is not trained again, nor the calibrator fitted again.
- The bins of the reliability curve are those of all rows.  A resample without a row of some bin says nothing about
  that bin.  A bin of one class only would get a band of no width, since no resample holds what was never seen;
  there the exact binomial bound (Clopper and Pearson 1934) takes the place of the end that is missing.
- The calibration error is a mean of absolute values: noise never cancels in it, and a resample has the noise of the
  rows once more.  Its resamples are too large on average, as the figure itself is; its band may lie above the
  figure, and does not reach 0 for perfect odds.  Compare it with that of another set of as many rows.

| symbol | meaning | dtype, unit |
|---|---|---|
| N, R, B | rows, resamples, bins | int |
| times | how often a resample holds each row | float64 (r, N), a slice of r resamples |
| level | share of the resamples inside a band | float |
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from lfiw_ray.core import noise
from lfiw_ray.core.calibration import checked
from lfiw_ray.core.finite import require_finite
from lfiw_ray.core.reliability import bins_of
from lfiw_ray.core.weights import from_logits

NUM_RESAMPLES = 1_000
LEVEL = 0.95
SCALARS = ("log_loss_nats", "brier", "ece", "auc", "accuracy", "mean_w_model", "mean_inverse_w_data")
_SLICE = 1 << 22  # rows drawn at a time: 32 MB of `times`


class Bands(NamedTuple):
    """Ends of the intervals of one set of rows."""

    scalars: dict[str, tuple[float, float]]
    """low and high end, for each of SCALARS"""
    curve_low: np.ndarray
    """float64 (B,), of the observed share of real rows in each bin of the reliability curve"""
    curve_high: np.ndarray


def bands(
    logits: np.ndarray,
    y: np.ndarray,
    log_prior_odds: float,
    seed: int,
    num_bins: int = 15,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
) -> Bands:
    """Percentile bands of all figures of `reliability.report` that are no test statistic.

    Parameters
    ----------
    logits, y, log_prior_odds, num_bins : as of `reliability.report`.
    num_resamples, level : R, and the share of them inside a band.

    Raises
    ------
    ValueError
        As `calibration.fit`; fewer than 2 resamples, or a level outside (0, 1).
    NonFiniteError
        A logit is not finite, or a weight overflows.
    """
    logits, y = checked(logits, y)
    if num_resamples < 2 or not 0 < level < 1:
        raise ValueError(f"needs at least 2 resamples and 0 < level < 1, got {num_resamples} and {level}")
    order = np.lexsort((y, logits))
    rows = Rows(logits[order], y[order] == 1, log_prior_odds, bins_of(logits[order], num_bins))
    parts = [resampled_figures(rows, times) for times in _resamples(rows.real, seed, num_resamples)]
    ends = (1 - level) / 2, (1 + level) / 2
    scalars = {name: np.quantile(np.concatenate([part.scalars[name] for part in parts]), ends) for name in SCALARS}
    curve = np.nanquantile(np.concatenate([part.observed for part in parts]), ends, axis=0)
    low, high = _with_exact_ends(curve, rows, ends[0])
    return Bands({name: (float(low), float(high)) for name, (low, high) in scalars.items()}, low, high)


class Rows(NamedTuple):
    """The rows that are drawn from, by increasing logit."""

    logits: np.ndarray
    real: np.ndarray
    log_prior_odds: float
    bins: np.ndarray
    """int64 (N,), from 0; see `reliability.bins_of`"""


class Resampled(NamedTuple):
    """Figures of r resamples."""

    scalars: dict[str, np.ndarray]
    """float64 (r,) for each of SCALARS"""
    observed: np.ndarray
    """float64 (r, B), share of real rows in each bin; NaN where a resample has no row of it"""


def resampled_figures(rows: Rows, times: np.ndarray) -> Resampled:
    """Figures of resamples that hold row i `times[:, i]` times, (r, N), and each class as often as the rows do.

    Raises
    ------
    NonFiniteError
        A weight overflows.
    """
    logits, real, n = rows.logits, rows.real, len(rows.logits)
    p = expit(logits)
    log_w = from_logits(logits, rows.log_prior_odds)
    per_row = {
        "log_loss_nats": np.logaddexp(0, logits) - real * logits,
        "brier": (real - p) ** 2,
        "accuracy": (logits > 0) == real,
    }
    in_bin = rows.bins[:, None] == np.arange(rows.bins.max() + 1)
    with np.errstate(invalid="ignore"):  # 0 / 0: documented
        observed = (times @ (in_bin & real[:, None])) / (times @ in_bin)
    scalars = {name: times @ values / n for name, values in per_row.items()} | {
        "ece": np.abs(times @ (in_bin * (p - real)[:, None])).sum(axis=1) / n,
        "auc": _auc(rows, times),
        "mean_w_model": _mean_weight(log_w, ~real, times),
        "mean_inverse_w_data": _mean_weight(-log_w, real, times),
    }
    return Resampled(scalars, observed)


def _resamples(real: np.ndarray, seed: int, num_resamples: int) -> Iterator[np.ndarray]:
    """`times` of all resamples, a slice at a time."""
    classes = np.flatnonzero(real), np.flatnonzero(~real)
    per_slice = max(1, _SLICE // len(real))
    for start in range(0, num_resamples, per_slice):
        times = np.empty((min(per_slice, num_resamples - start), len(real)))
        for place, resample in enumerate(times):
            rng = noise.generator(seed, "calibration-bootstrap", start + place)
            for members in classes:
                resample[members] = np.bincount(rng.integers(0, len(members), len(members)), minlength=len(members))
        yield times


def _auc(rows: Rows, times: np.ndarray) -> np.ndarray:
    """(r,) chance that a real row outranks a generated one; ties count half."""
    starts = np.flatnonzero(np.diff(rows.logits, prepend=-np.inf))  # the first row of every level
    real = np.add.reduceat(times * rows.real, starts, axis=1)
    generated = np.add.reduceat(times * ~rows.real, starts, axis=1)
    won: np.ndarray = np.einsum("rl,rl->r", real, np.cumsum(generated, axis=1) - generated / 2)
    return won / (np.count_nonzero(rows.real) * np.count_nonzero(~rows.real))


def _mean_weight(log_w: np.ndarray, members: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(r,) mean of the members' weights."""
    with np.errstate(over="ignore"):
        w = np.exp(log_w[members])
    require_finite(w, "weights of the held-out rows")
    mean: np.ndarray = times[:, members] @ w / len(w)
    return mean


def _with_exact_ends(curve: np.ndarray, rows: Rows, tail: float) -> np.ndarray:
    """(2, B) ends of the curve's band, with the exact bound where a bin holds a single class."""
    count, real = np.bincount(rows.bins), np.bincount(rows.bins, weights=rows.real)
    bound = tail ** (1 / count)  # a share this high gives `count` of `count` with probability `tail`
    low, high = curve
    return np.stack([np.where(real == count, bound, low), np.where(real == 0, 1 - bound, high)])
