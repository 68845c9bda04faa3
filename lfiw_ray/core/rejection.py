"""Rejection samplers that must give a fixed number of rows: the first k accepted, in the order of sample ids.

Row i is accepted when its uniform is below its acceptance probability, a function of (seed, stream, sample id).
A random number of rows is accepted.  As acceptances are independent, the first k of at least k have the same law as
all of them; so the acceptance rate is set a little above k / N (`expected_for`), and the rest is left out.

| symbol | meaning | dtype |
|---|---|---|
| p | acceptance probability of each row | float64 (N,) |
| sample_ids | accepted rows, the first k in increasing order | int64 (<= k,) |
"""

import math
from typing import NamedTuple

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.selection import Selection
from lfiw_ray.errors import ConfigError

_SPARE_SDS = 5.0  # standard deviations between k and the expected number of accepted rows


class Accepted(NamedTuple):
    """The first k accepted rows; see the module docstring."""

    k: int
    sample_ids: np.ndarray


def expected_for(k: int) -> float:
    """The number of accepted rows to aim at so that fewer than k come with a probability of at most 4e-6.

    It is the root e of e - z sqrt(e) = k with z = 5.  The number of accepted rows is a sum of independent 0 or 1
    with mean e, so that P(it < e - z sqrt(e)) <= exp(-z^2 / 2) (Chernoff).
    """
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    return k + _SPARE_SDS**2 / 2 + _SPARE_SDS * math.sqrt(k + _SPARE_SDS**2 / 4)


def shifted(scores: np.ndarray, by: float) -> np.ndarray:
    """(N,) float64 scores + by; -inf stays for every `by`, +inf (everything else is accepted) included."""
    out = np.full(len(scores), -np.inf)
    np.add(scores, by, out=out, where=np.asarray(scores) > -np.inf)
    return out


def accept(p: np.ndarray, start: int, k: int, seed: int, stream: str) -> Accepted:
    """The first k of rows start .. start + N that are accepted."""
    rows = np.flatnonzero(noise.uniforms(seed, stream, start, start + len(p)) < p)
    return Accepted(k, start + rows[:k].astype(np.int64))


def merge(a: Accepted, b: Accepted) -> Accepted:
    """The first k of the union of two sets of rows; associative, commutative and idempotent."""
    if a.k != b.k:
        raise ValueError(f"states of different k cannot be merged: {a.k} and {b.k}")
    return Accepted(a.k, np.union1d(a.sample_ids, b.sample_ids)[: a.k])


def finish(state: Accepted) -> Selection:
    """The k rows, each once and of weight 1.

    Raises
    ------
    ConfigError
        Fewer than k rows were accepted.
    """
    k = state.k
    if len(state.sample_ids) < k:
        raise ConfigError(
            f"k = {k:,} rows were asked for by rejection, but only {len(state.sample_ids):,} were accepted; "
            "lower k, flatten the weights (a smaller alpha), or generate more samples"
        )
    return Selection(state.sample_ids, None, np.ones(k, np.int64), np.ones(k))
