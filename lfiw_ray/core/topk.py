"""Gumbel-top-k: k rows without replacement, exact, mergeable, a function of (seed, sample id) alone.

key_i = log_w_i - log(-log(1 - u_i)) perturbs each log weight by Gumbel noise; the k largest keys are a
weighted sample without replacement (Efraimidis & Spirakis 2006; Kool et al. 2019, arXiv 1903.06059).
The winning tail lies at u -> 0, where float64 is densest, so that keys do not tie however many rows there are.

Two facts make it cheap and mergeable.  The top of a union is the top of the tops.  And a row can only beat a
key kappa when -log(1 - u) < exp(log_w - kappa); as -log(1 - u) >= u, the test u < exp(log_w - kappa) throws
out all but about k rows before any logarithm is taken, first with the chunk's largest weight (one comparison
a row), then with the row's own.

It is *not* sampling with probability proportional to w: heavy rows are under-represented as k / N grows.  Given
kappa, the (k+1)-th key, a row is included with probability pi_i = 1 - exp(-exp(log_w_i - kappa)), and
w_i / pi_i is its Horvitz-Thompson weight (Duffield, Lund & Thorup 2007, priority sampling, for these keys).

| symbol | meaning | dtype, unit |
|---|---|---|
| k | rows to select; the state keeps k + 1 to know kappa | int |
| keys | perturbed log weights, largest first, ties in the order of sample ids | float64 (<= k + 1,), nats |
| kappa | the (k+1)-th key; -inf when there are at most k rows of positive weight | float, nats |
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import largest
from lfiw_ray.errors import ConfigError

_CHUNK = 1 << 16  # rows perturbed at a time; their uniforms fit the L2 cache
_HALF_STEP = 2.0**-54  # stands for u = 0, whose cell [0, 2^-53) has this mean
_EPS = float(np.finfo(np.float64).eps)


class TopK(NamedTuple):
    """The k + 1 largest keys seen so far, largest first."""

    k: int
    keys: np.ndarray
    sample_ids: np.ndarray
    log_w: np.ndarray


def empty(k: int) -> TopK:
    """The state that has seen no row."""
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    return TopK(k, np.empty(0), np.empty(0, np.int64), np.empty(0))


def init(log_w: np.ndarray, start: int, k: int, seed: int, stream: str = "gumbel") -> TopK:
    """Top of rows start .. start + N; see `extend`."""
    return extend(empty(k), log_w, start, seed, stream)


def extend(state: TopK, log_w: np.ndarray, start: int, seed: int, stream: str = "gumbel") -> TopK:
    """Top of the rows seen so far and of rows start .. start + N, which must be new.

    The state's kappa is the running threshold, so that one task over many shards looks closely at few rows.
    Memory beyond the input is O(k).

    Parameters
    ----------
    log_w : (N,) floats, nats; already flattened.  Rows of -inf are never selected.
    start : sample id of row 0.
    seed, stream : name the noise; the same for all rows of one selection.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    parts, waiting = [state], 0
    bar = kappa(state)
    for low in range(0, len(log_w), _CHUNK):
        new = _perturb(np.asarray(log_w[low : low + _CHUNK], np.float64), start + low, seed, stream, bar, state.k)
        parts.append(new)
        waiting += len(new.keys)
        if waiting > state.k:  # amortised: as many rows come in as are looked at again
            parts, waiting = [_top(_join(parts))], 0
            bar = kappa(parts[0])
    return _top(_join(parts))


def merge(a: TopK, b: TopK) -> TopK:
    """Top of the union of two sets of rows; rows that both have seen count once.

    Associative, commutative and idempotent, bit by bit.
    """
    if a.k != b.k:
        raise ValueError(f"states of different k cannot be merged: {a.k} and {b.k}")
    fresh = ~np.isin(b.sample_ids, a.sample_ids)
    return _top(_join([a, TopK(b.k, b.keys[fresh], b.sample_ids[fresh], b.log_w[fresh])]))


def narrow(state: TopK, k: int) -> TopK:
    """The state of a smaller budget: budgets of one seed are nested."""
    if not 0 <= k <= state.k:
        raise ValueError(f"k must be between 0 and {state.k}, got {k}")
    return TopK(k, state.keys[: k + 1], state.sample_ids[: k + 1], state.log_w[: k + 1])


def kappa(state: TopK) -> float:
    """The (k+1)-th key, nats; -inf while at most k rows of positive weight were seen."""
    return float(state.keys[state.k]) if len(state.keys) > state.k else -np.inf


def finish(state: TopK) -> Selection:
    """The k selected rows with their Horvitz-Thompson weights, scaled to sum to k.

    Raises
    ------
    ConfigError
        Fewer than k rows have a positive weight.
    """
    k = state.k
    if len(state.keys) < k:
        raise ConfigError(
            f"k = {k:,} rows were asked for without replacement, but only {len(state.keys):,} rows have a "
            "positive weight; lower k, or generate more samples"
        )
    order = np.argsort(state.sample_ids[:k])
    log_weight = (state.log_w[:k] - log_inclusion(state.log_w[:k], kappa(state)))[order]
    weight = np.exp(log_weight - np.max(log_weight, initial=-np.inf))
    weight *= k / weight.sum() if k else 1.0
    return Selection(state.sample_ids[:k][order], state.keys[:k][order], np.ones(k, np.int64), weight)


def log_inclusion(log_w: np.ndarray, kappa: float) -> np.ndarray:
    """(N,) float64 log of pi = 1 - exp(-exp(log_w - kappa)); 0 when kappa is -inf, as then all rows are taken."""
    with np.errstate(over="ignore"):  # an overflow to inf is right: pi is 1
        rate = np.exp(log_w - kappa)
    log_pi: np.ndarray = np.log(-np.expm1(-rate))
    return log_pi


def keys_of(log_w: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(N,) float64 perturbed log weights; u in [0, 1), and u = 0 counts as half the smallest step."""
    keys: np.ndarray = log_w - np.log(-np.log1p(-np.maximum(u, _HALF_STEP)))
    return keys


def contenders(log_w: np.ndarray, u: np.ndarray, bar: float) -> np.ndarray:
    """Rows whose key may reach `bar`: all that do, and few others.

    Exactness under rounding: a computed key is off by at most about 40 eps from its logarithm and
    eps (|log_w| + |bar|) from the sums, and a row that reaches the bar has |log_w| of at most the larger of
    |bar| + 38 and the chunk's largest |log_w|; `slack` exceeds the sum of all these.
    """
    peak = float(log_w.max())
    if bar == -np.inf or peak == -np.inf:
        return np.flatnonzero(log_w > -np.inf)
    slack = 1e-12 + 8 * _EPS * abs(bar) + 8 * _EPS * abs(peak)
    with np.errstate(over="ignore"):  # an overflow to inf lets every row through, as it must
        rows = np.flatnonzero(u <= np.exp(peak - bar + slack))
        rows = rows[u[rows] <= np.exp(log_w[rows] - bar + slack)]
    return rows[log_w[rows] > -np.inf]


def _perturb(log_w: np.ndarray, start: int, seed: int, stream: str, bar: float, k: int) -> TopK:
    """The rows of one chunk whose key reaches the bar, in no order."""
    largest(log_w, start)
    u = noise.uniforms(seed, stream, start, start + len(log_w))
    rows = contenders(log_w, u, bar)
    keys = keys_of(log_w[rows], u[rows])
    return TopK(k, keys, start + rows.astype(np.int64), log_w[rows])


def _join(parts: list[TopK]) -> TopK:
    keys, sample_ids, log_w = (np.concatenate(columns) for columns in zip(*(part[1:] for part in parts), strict=True))
    return TopK(parts[0].k, keys, sample_ids, log_w)


def _top(state: TopK) -> TopK:
    """The k + 1 largest, sorted; rows that tie with the last are sorted too, so that the smaller ids stay."""
    k, keys, sample_ids, log_w = state
    if len(keys) > k + 1:
        least = np.partition(keys, len(keys) - k - 1)[len(keys) - k - 1]
        near = keys >= least
        keys, sample_ids, log_w = keys[near], sample_ids[near], log_w[near]
    order = np.lexsort((sample_ids, -keys))[: k + 1]
    return TopK(k, keys[order], sample_ids[order], log_w[order])
