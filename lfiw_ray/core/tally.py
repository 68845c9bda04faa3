"""Sums and histogram of weights relative to one known peak, in one pass of a few nanoseconds a row.

A row costs one exponential, three sums and two bin counts.  The chunks fit the cache, and their temporaries are
parts of one block that every chunk uses again: fresh ones would cost more in page faults than the arithmetic.

| symbol | meaning | dtype, unit |
|---|---|---|
| peak | the largest log weight of all rows to come; -inf when none has a weight | float, nats |
| x | log weights of one chunk | float64 (n,), nats |
| v | exp(x - peak), in [0, 1] | float64 (n,) |
"""

import numpy as np

from lfiw_ray.core.histogram import BIN_NATS, NUM_BINS, LogHistogram

CHUNK_ROWS = 1 << 15


class Tally:
    """Accumulates chunk by chunk; `sum_w`, `sum_w2`, `sum_w_log_w` are those of v, v^2 and v log v."""

    def __init__(self, peak: float, most_rows: int) -> None:
        """`most_rows` is the largest number of rows that one `add` will bring."""
        self._peak, self._top = peak, float(np.floor(peak / BIN_NATS))
        self._block = np.empty((5, most_rows))
        self._counts, self._mass = np.zeros(NUM_BINS, np.int64), np.zeros(NUM_BINS)
        self.sum_w = self.sum_w2 = self.sum_w_log_w = 0.0

    def add(self, log_w: np.ndarray) -> np.ndarray:
        """Add (n,) valid log weights; returns x, which the next call overwrites."""
        x: np.ndarray
        x, above, v, below, bins = self._block[:, : len(log_w)]
        np.copyto(x, log_w)
        if self._peak == -np.inf:
            return x
        np.subtract(x, self._peak, out=above)
        np.exp(above, out=v)
        self._count(x, v, below, bins.view(np.int64))
        if above.min() == -np.inf:
            above[v == 0] = 0.0  # 0 log 0 is 0
        above *= v
        self.sum_w += float(v.sum())
        self.sum_w_log_w += float(above.sum())
        v *= v
        self.sum_w2 += float(v.sum())
        return x

    def _count(self, x: np.ndarray, v: np.ndarray, below: np.ndarray, bins: np.ndarray) -> None:
        """Add a chunk to the histogram; `below` and `bins` are overwritten."""
        np.multiply(x, 1 / BIN_NATS, out=below)
        np.floor(below, out=below)
        np.subtract(self._top, below, out=below)
        if below.max() < NUM_BINS:
            np.copyto(bins, below, casting="unsafe")  # whole numbers
        else:
            kept = below < NUM_BINS
            bins, v = below[kept].astype(np.int64), v[kept]
        counts, mass = np.bincount(bins), np.bincount(bins, v)
        self._counts[: len(counts)] += counts
        self._mass[: len(mass)] += mass

    def histogram(self) -> LogHistogram:
        """The histogram of all rows added."""
        if self._peak == -np.inf:
            return LogHistogram(-np.inf, self._counts, self._mass)
        edges = (self._top - np.arange(NUM_BINS)) * BIN_NATS
        return LogHistogram(self._top, self._counts, self._mass * np.exp(self._peak - edges))
