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


def empty() -> LogHistogram:
    """The histogram of no rows."""
    return LogHistogram(-np.inf, np.zeros(NUM_BINS, np.int64), np.zeros(NUM_BINS))


def merge(a: LogHistogram, b: LogHistogram) -> LogHistogram:
    """Histogram of the union of two disjoint sets of rows."""
    top = max(a.top, b.top)
    (counts_a, mass_a), (counts_b, mass_b) = _lowered(a, top), _lowered(b, top)
    return LogHistogram(top, counts_a + counts_b, mass_a + mass_b)


def _lowered(part: LogHistogram, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts and mass of a part, seen from a higher top bin."""
    if part.top == top:
        return part.counts, part.mass
    down = int(min(top - part.top, NUM_BINS))
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
