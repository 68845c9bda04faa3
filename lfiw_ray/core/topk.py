"""Gumbel-top-k: k rows without replacement, exact, mergeable, a function of (seed, sample id) alone.

key_i = log_w_i - log(-log(1 - u_i)) perturbs each log weight by Gumbel noise; the k largest keys are a
weighted sample without replacement (Efraimidis & Spirakis 2006; Kool et al. 2019, arXiv 1903.06059).
The winning tail lies at u -> 0, where u has full relative precision, so that keys do not tie however many rows
there are; where they do, the smaller sample id goes first.

Three facts make it cheap and mergeable.  The top of a union is the top of the tops.  A row can only beat a key
`bar` when -log(1 - u) < exp(log_w - bar); as -log(1 - u) >= u, the test u < exp(log_w - bar) throws out all but
about k rows before any logarithm is taken.  And 8 bits of u are enough for that test, first against the largest
weight of 128 rows, then against the row's own, so that most rows cost one comparison of a byte.  `guess_bar`
says from a sample of the weights what bar about k rows will reach; a bar that was too high is noticed (`complete`).

It is *not* sampling with probability proportional to w: heavy rows are under-represented as k / N grows.  Given
kappa, the (k+1)-th key, a row is included with probability pi_i = 1 - exp(-exp(log_w_i - kappa)), and
w_i / pi_i is its Horvitz-Thompson weight (Duffield, Lund & Thorup 2007, priority sampling, for these keys).

| symbol | meaning | dtype |
|---|---|---|
| k | rows to select; the state keeps k + 1 to know kappa | int |
| keys | perturbed log weights, largest first, ties in the order of sample ids | float64 (<= k + 1,), nats |
| kappa | the (k+1)-th key; -inf when there are at most k rows of positive weight | float, nats |
| bar | keys below it are not looked for | float, nats |
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.inclusion import guess_bar, log_inclusion, spread
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import Monotone, as_given, largest
from lfiw_ray.errors import ConfigError

_CHUNK = 3 << 16  # rows looked at at a time; their weights and bits fit the L2 cache
_PART = 128  # rows that share one bound; divides _CHUNK
_CELLS = 1 << 8  # of a uniform's leading bits
_SPARE = 8192  # rows that may wait beyond 1.5 k before the state is cut back
_EPS = float(np.finfo(np.float64).eps)


class TopK(NamedTuple):
    """The k + 1 largest keys seen so far, largest first; rows whose key lies below `bar` were not kept."""

    k: int
    keys: np.ndarray
    sample_ids: np.ndarray
    log_w: np.ndarray
    bar: float = -np.inf


def empty(k: int, bar: float = -np.inf) -> TopK:
    """The state that has seen no row."""
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    return TopK(k, np.empty(0), np.empty(0, np.int64), np.empty(0), bar)


def init(log_w: np.ndarray, start: int, k: int, seed: int, stream: str = "gumbel") -> TopK:
    """Top of rows start .. start + N that are all at hand; see `extend`."""
    top = extend(empty(k, guess_bar(spread(log_w), len(log_w), k)), log_w, start, seed, stream)
    return top if complete(top) else extend(empty(k), log_w, start, seed, stream)


def extend(
    state: TopK, log_w: np.ndarray, start: int, seed: int, stream: str = "gumbel", form: Monotone = as_given
) -> TopK:
    """Top of the rows seen so far and of rows start .. start + N, which must be new; see `Search`."""
    search = Search(state, seed, stream, form)
    search.look(log_w, start)
    return search.finish()


class Search:
    """Looks through ranges of new rows, one after the other, and sorts only when many have been found.

    The state's kappa is the running threshold, so that one task over many shards looks closely at few rows.
    Memory beyond the input is O(k).

    Parameters
    ----------
    state : what has been seen before.
    seed, stream : name the noise; the same for all rows of one selection.
    form : applied to the weights before use, only to rows that are looked at closely.
    """

    def __init__(self, state: TopK, seed: int, stream: str = "gumbel", form: Monotone = as_given):
        self._state, self._seed, self._stream, self._form = state, seed, stream, form
        self._found: list[tuple[np.ndarray, ...]] = []
        self._waiting = 0

    def look(self, log_w: np.ndarray, start: int) -> None:
        """Rows start .. start + N.

        Parameters
        ----------
        log_w : (N,) floats, nats.  Rows of -inf are never selected.
        start : sample id of row 0.

        Raises
        ------
        NonFiniteError
            Some weight is NaN or +inf.
        """
        for low in range(0, len(log_w), _CHUNK):
            self._look(np.asarray(log_w[low : low + _CHUNK]), start + low)

    def _look(self, log_w: np.ndarray, start: int) -> None:
        leading = noise.coarse(self._seed, self._stream, start, start + len(log_w))
        rows = contenders(log_w, leading, threshold(self._state), self._form, start)
        self._found.append((start + rows.astype(np.int64), leading[rows], self._form(log_w[rows])))
        self._waiting += len(rows)
        if self._waiting > 1.5 * self._state.k + _SPARE:  # amortised: as many rows come in as are looked at again
            self.finish()

    def finish(self) -> TopK:
        """The state with the contenders (sample ids, leading bits, log weights) whose keys are among the largest."""
        if self._found:
            sample_ids, leading, log_w = (np.concatenate(columns) for columns in zip(*self._found, strict=True))
            keys = keys_of(log_w, noise.refined(self._seed, self._stream, sample_ids, leading))
            new = self._state._replace(keys=keys, sample_ids=sample_ids, log_w=log_w)
            self._state = _top(_join([self._state, _kept(new, keys >= self._state.bar)]))
            self._found, self._waiting = [], 0
        return self._state


def merge(a: TopK, b: TopK) -> TopK:
    """Top of the union of two sets of rows; rows that both have seen count once.

    Associative, commutative and idempotent, bit by bit.
    """
    if a.k != b.k:
        raise ValueError(f"states of different k cannot be merged: {a.k} and {b.k}")
    fresh = ~np.isin(b.sample_ids, a.sample_ids)
    bar = max(a.bar, b.bar)
    both = _join([a, b._replace(keys=b.keys[fresh], sample_ids=b.sample_ids[fresh], log_w=b.log_w[fresh])])
    return _top(_kept(both, both.keys >= bar)._replace(bar=bar))


def complete(state: TopK) -> bool:
    """Whether no row is missing: k + 1 keys reach the bar, or there was none."""
    return state.bar == -np.inf or len(state.keys) > state.k


def threshold(state: TopK) -> float:
    """What a new row's key must exceed to matter, nats."""
    return float(state.keys[state.k]) if len(state.keys) > state.k else state.bar


def kappa(state: TopK) -> float:
    """The (k+1)-th key, nats; -inf while at most k rows of positive weight were seen.

    Raises
    ------
    ValueError
        The bar was too high (see `complete`).
    """
    if not complete(state):
        raise ValueError(
            f"only {len(state.keys)} of {state.k + 1} keys reach the bar {state.bar:g}; look without a bar"
        )
    return threshold(state)


def finish(state: TopK) -> Selection:
    """The k selected rows with their Horvitz-Thompson weights, scaled to sum to k.

    Raises
    ------
    ConfigError
        Fewer than k rows have a positive weight.
    """
    k, cut = state.k, kappa(state)
    if len(state.keys) < k:
        raise ConfigError(
            f"k = {k:,} rows were asked for without replacement, but only {len(state.keys):,} rows have a "
            "positive weight; lower k, or generate more samples"
        )
    order = np.argsort(state.sample_ids[:k])
    log_weight = (state.log_w[:k] - log_inclusion(state.log_w[:k], cut))[order]
    weight = np.exp(log_weight - np.max(log_weight, initial=-np.inf))
    weight *= k / weight.sum() if k else 1.0
    return Selection(state.sample_ids[:k][order], state.keys[:k][order], np.ones(k, np.int64), weight)


def keys_of(log_w: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(N,) float64 perturbed log weights of uniforms in (0, 1)."""
    keys: np.ndarray = log_w - np.log(-np.log1p(-u))
    return keys


def contenders(
    log_w: np.ndarray, leading: np.ndarray, bar: float, form: Monotone = as_given, start: int = 0
) -> np.ndarray:
    """Rows whose key may reach `bar`: all that do, and few others.

    Exactness under rounding: a computed key is off by at most about 40 eps from its logarithm and
    eps (|log_w| + |bar|) from the sums, and a row that reaches the bar has |log_w| of at most the larger of
    |bar| + 45 and |peak|, the largest log_w of the chunk; the slack of `_cells` exceeds the sum of all these.

    Parameters
    ----------
    log_w : (N,) floats, nats.
    leading : (N,) uint8 from `noise.coarse`.
    start : sample id of row 0, for the message.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    if len(log_w) == 0:
        return np.empty(0, np.int64)
    largest(log_w, start)
    if bar == -np.inf:
        return np.flatnonzero(form(log_w) > -np.inf)
    bounds = _cells(form(np.maximum.reduceat(log_w, np.arange(0, len(log_w), _PART))), bar)
    whole = len(log_w) // _PART * _PART
    near = np.empty(len(log_w), bool)
    rows_of_parts = leading[:whole].reshape(-1, _PART), near[:whole].reshape(-1, _PART)
    np.less_equal(rows_of_parts[0], bounds[: whole // _PART, None], out=rows_of_parts[1])
    near[whole:] = leading[whole:] <= bounds[-1]
    rows = np.flatnonzero(near)
    used = form(log_w[rows])
    found: np.ndarray = rows[(leading[rows] <= _cells(used, bar)) & (used > -np.inf)]
    return found


def _cells(log_w: np.ndarray, bar: float) -> np.ndarray:
    """(N,) uint8, the last cell of leading bits in which a row of this weight can reach the bar."""
    peak = float(np.max(log_w, initial=-np.inf))
    slack = 1e-12 + 8 * _EPS * abs(bar) + (8 * _EPS * abs(peak) if peak > -np.inf else 0.0)
    with np.errstate(over="ignore"):  # an overflow to inf lets every row through, as it must
        last = np.floor(np.exp(log_w - bar + slack) * _CELLS)
    cells: np.ndarray = np.minimum(last, _CELLS - 1).astype(np.uint8)
    return cells


def _kept(state: TopK, rows: np.ndarray) -> TopK:
    return state._replace(keys=state.keys[rows], sample_ids=state.sample_ids[rows], log_w=state.log_w[rows])


def _join(parts: list[TopK]) -> TopK:
    keys, sample_ids, log_w = (np.concatenate(columns) for columns in zip(*(part[1:4] for part in parts), strict=True))
    return parts[0]._replace(keys=keys, sample_ids=sample_ids, log_w=log_w)


def _top(state: TopK) -> TopK:
    """The k + 1 largest, sorted; rows that tie with the last are sorted too, so that the smaller ids stay."""
    k, keys = state.k, state.keys
    if len(keys) > k + 1:
        least = np.partition(keys, len(keys) - k - 1)[len(keys) - k - 1]
        state = _kept(state, keys >= least)
    order = np.argsort(-state.keys)
    ordered = state.keys[order]
    if np.any(ordered[1:] == ordered[:-1]):  # rare, and ten times as slow
        order = np.lexsort((state.sample_ids, -state.keys))
    return _kept(state, order[: k + 1])
