"""A mergeable histogram of log weights with the weight each bin holds: shares of the total in bounded memory.

Bins have a fixed width of 1/32 nat and fixed edges (multiples of the width), and only the 2,048 bins below the
largest weight are kept: what lies 64 nats below it holds less than N e^-64 of the total, nothing for any N.
Counts are exact.  The weight held by the heaviest rows is exact at every bin edge and linear in between, so
that a share is off by at most 3.2 % (e^(1/32) - 1) of what the one cut bin holds.

| symbol | meaning | dtype, unit |
|---|---|---|
| top | index of the highest bin: floor(32 x largest log_w); -inf when empty | float |
| counts | rows in bin top - j | int64 (2048,) |
| mass | their weight in units of the weight at their bin's lower edge | float64 (2048,) |
"""

from typing import NamedTuple

import numpy as np

BIN_NATS = 1 / 32  # a power of two: edges are exact
NUM_BINS = 2048


class LogHistogram(NamedTuple):
    """See the module docstring."""

    top: float
    counts: np.ndarray
    mass: np.ndarray


def of(log_w: np.ndarray) -> LogHistogram:
    """Histogram of (N,) valid log weights; rows of -inf are in no bin."""
    bins = np.floor(np.asarray(log_w, np.float64) / BIN_NATS)
    top = float(np.max(bins, initial=-np.inf))
    if top == -np.inf:
        return LogHistogram(top, np.zeros(NUM_BINS, np.int64), np.zeros(NUM_BINS))
    kept = bins > top - NUM_BINS
    below = (top - bins[kept]).astype(np.int64)
    mass = np.exp(log_w[kept] - bins[kept] * BIN_NATS)
    return LogHistogram(
        top, np.bincount(below, minlength=NUM_BINS), np.bincount(below, weights=mass, minlength=NUM_BINS)
    )


def merge(a: LogHistogram, b: LogHistogram) -> LogHistogram:
    """Histogram of the union of two disjoint sets of rows."""
    top = max(a.top, b.top)
    counts, mass = (_lowered(a, top)[i] + _lowered(b, top)[i] for i in (0, 1))
    return LogHistogram(top, counts, mass)


def _lowered(part: LogHistogram, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and mass of a part, seen from a higher top bin."""
    down = 0 if top == part.top else int(min(top - part.top, NUM_BINS))
    keep = NUM_BINS - down
    return np.pad(part.counts[:keep], (down, 0)), np.pad(part.mass[:keep], (down, 0))


def shares(histogram: LogHistogram) -> tuple[np.ndarray, np.ndarray]:
    """The Lorenz curve from the heaviest row on.

    Returns
    -------
    rows : (2049,) int64, number of heaviest rows, from 0.
    share : (2049,) float64 in [0, 1], share of the total weight they hold; exact for these numbers of rows.
    """
    mass = histogram.mass * np.exp(-BIN_NATS * np.arange(NUM_BINS))
    held = np.concatenate([[0.0], np.cumsum(mass)])
    if held[-1] == 0:
        raise ValueError("an empty histogram has no shares")
    return np.concatenate([[0], np.cumsum(histogram.counts)]), held / held[-1]


def top_share(histogram: LogHistogram, rows: float) -> float:
    """Share of the total weight held by the `rows` heaviest rows."""
    return float(np.interp(rows, *shares(histogram)))
