"""How often each value of a score occurs: the state from which a rejection sampler's constant follows.

A rejection sampler accepts row i with a probability p(s_i - t) that falls with a constant t, and t is wanted such
that the expected number of accepted rows, sum_i p(s_i - t), is a given one.  The sum is taken over bins of 1/1024
nat, each standing at the mean of its scores.  Where p is smooth it is then right to a relative
(1/1024)^2 / 8 = 1.2e-7 (the second-order term), and for equal scores it is exact.

Counts and places inside the bins are integers, so that merging is associative and commutative bit by bit and the
constant is the same for every way of cutting the rows into shards.  Only bins that hold rows are kept; as a score
is a log weight or a function of one, these are some 10^4 for any number of rows.

| symbol | meaning | dtype, unit |
|---|---|---|
| scores | one number a row; -inf is a row that is never accepted and is not counted | floats (N,), nats |
| bins | index of each bin, floor(1024 score), increasing | float64 (B,), whole numbers |
| counts | rows in it | int64 (B,) |
| places | sum of floor(2^28 (1024 score - bin)) over its rows, for at most 2^35 rows a bin | int64 (B,) |
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core.weights import largest

_BINS_PER_NAT = 1024.0  # powers of two: edges are exact
_PLACES = 2.0**28


class ScoreCounts(NamedTuple):
    """See the module docstring."""

    bins: np.ndarray
    counts: np.ndarray
    places: np.ndarray


def of(scores: np.ndarray, start: int = 0) -> ScoreCounts:
    """Counts of the scores of rows start .. start + N.

    Raises
    ------
    NonFiniteError
        Some score is NaN or +inf.
    """
    largest(scores, start)
    scaled = np.sort(np.asarray(scores, np.float64))
    scaled = scaled[scaled > -np.inf] * _BINS_PER_NAT
    bins = np.floor(scaled)
    places = np.floor((scaled - bins) * _PLACES).astype(np.int64)
    return _summed(ScoreCounts(bins, np.ones(len(bins), np.int64), places))


def merge(a: ScoreCounts, b: ScoreCounts) -> ScoreCounts:
    """Counts of the union of two disjoint sets of rows."""
    bins, counts, places = (np.concatenate(pair) for pair in zip(a, b, strict=True))
    order = np.argsort(bins, kind="stable")
    return _summed(ScoreCounts(bins[order], counts[order], places[order]))


def _summed(seen: ScoreCounts) -> ScoreCounts:
    """Entries of the same bin, which are neighbours, added up."""
    bins, starts = np.unique(seen.bins, return_index=True)
    if len(bins) == 0:
        return seen
    return ScoreCounts(bins, np.add.reduceat(seen.counts, starts), np.add.reduceat(seen.places, starts))


def num_rows(seen: ScoreCounts) -> int:
    """Rows that were counted."""
    return int(seen.counts.sum())


def centres(seen: ScoreCounts) -> np.ndarray:
    """(B,) float64 mean score of each bin, nats, to 4e-12; increasing."""
    means: np.ndarray = (seen.bins + seen.places / seen.counts / _PLACES) / _BINS_PER_NAT
    return means
