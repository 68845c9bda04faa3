"""Isotonic calibration: the non-decreasing map of least log loss (Zadrozny and Elkan 2002), kept away from 0 and 1.

Pooling adjacent violators gives blocks of rows whose probability is the share of real rows in the block; it
minimises the squared error and the log loss alike (Robertson et al. 1988, theorem 1.5.1).  Here the blocks are
joined by straight lines in log odds, and outside the fitted rows the map is flat.

The lowest block often holds no real row and the highest no generated one: odds of 0 and infinity.  A block of m
rows of one class shows only that its odds are beyond about m to 1, so it gets Laplace's rule of succession,
1 / (m + 2) or (m + 1) / (m + 2), that is log odds of -log(m + 1) or log(m + 1), or its neighbour's log odds where
those are further out, so that the map stays monotone.  m is the rows of the block and not of the fit: three real
rows at the top of 16,000 are no evidence for a weight of 16,000.  For rows that a threshold separates these are
Platt's smoothed targets.

Within a block all rows get the same log odds: their ranks and the differences of their weights are gone.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import logit
from sklearn.isotonic import IsotonicRegression


class Steps(NamedTuple):
    """A piecewise linear, non-decreasing map, flat outside its ends; tuples, so that it compares and pickles."""

    at: tuple[float, ...]
    """logits, increasing: both ends of every block"""
    log_odds: tuple[float, ...]
    """their calibrated log odds, nats, non-decreasing"""

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """(N,) float64 calibrated log odds, nats."""
        mapped: np.ndarray = np.interp(np.asarray(logits, np.float64), self.at, self.log_odds)
        return mapped

    def to_json(self) -> dict[str, Any]:
        """Plain lists; floats survive bit by bit."""
        return {"at": list(self.at), "log_odds": list(self.log_odds)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Steps":
        """The inverse of `to_json`."""
        return cls(tuple(value["at"]), tuple(value["log_odds"]))


def fit(logits: np.ndarray, y: np.ndarray) -> Steps:
    """Blocks of the given rows.

    Parameters
    ----------
    logits : (N,) finite float64, nats.
    y : (N,) float64 of 0 and 1, both present.
    """
    found = IsotonicRegression(increasing=True).fit(logits, y)
    at, share = found.X_thresholds_, found.y_thresholds_
    inner = (share > 0) & (share < 1)
    log_odds = np.empty_like(share)
    log_odds[inner] = logit(share[inner])
    if (none := share == 0).any():
        rows = np.count_nonzero(logits <= at[none].max())
        log_odds[none] = min([-np.log1p(rows), *log_odds[inner][:1]])
    if (all_real := share == 1).any():
        rows = np.count_nonzero(logits >= at[all_real].min())
        log_odds[all_real] = max([np.log1p(rows), *log_odds[inner][-1:]])
    return Steps(tuple(at.tolist()), tuple(log_odds.tolist()))
