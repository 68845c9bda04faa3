"""What a set of weights is worth: effective sample size, tail shape, concentration; mergeable over shards.

`of` one shard, `extend` it by others, `merge` in any order, `finish` once: one pass over the weights however they
are cut.  Sums are kept relative to the largest log weight seen, so that nothing overflows; `merge` is associative
and commutative up to the rounding of float64 sums, and exact in counts, largest weights and k_hat.

Only rows above the (M+1)-th largest weight seen so far are compared with the other large ones, so that `extend`
shard by shard is cheaper than `of` each shard and `merge`.

| symbol | meaning | dtype, unit |
|---|---|---|
| num_rows | N, rows of the whole set, known beforehand; it decides how many top weights k_hat needs | int |
| peak | largest log weight | float, nats |
| sum_w, sum_w2, sum_w_log_w | sums of v, v^2 and v log v with v = exp(log_w - peak) | float |
| top | the largest log weights, largest first | float64 (<= M + 1,), nats |
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import histogram, pareto
from lfiw_ray.core.histogram import LogHistogram
from lfiw_ray.core.tally import CHUNK_ROWS, Tally
from lfiw_ray.core.weights import largest
from lfiw_ray.errors import NonFiniteError


class WeightState(NamedTuple):
    """Sums over the rows seen so far; see the module docstring."""

    num_rows: int
    rows_seen: int
    peak: float
    sum_w: float
    sum_w2: float
    sum_w_log_w: float
    top: np.ndarray
    histogram: LogHistogram


class Diagnostics(NamedTuple):
    """Figures of one set of weights."""

    n: int
    """rows, those of weight zero included"""
    log_mean_w: float
    """log of mean_w, nats: finite where mean_w overflows"""
    mean_w: float
    """E_model[w], which is 1 for exact normalised weights; inf beyond the range of float64"""
    mean_w_se: float
    """its standard error (inf for one row)"""
    ess: float
    """effective sample size (sum w)^2 / sum w^2, rows"""
    ess_fraction: float
    """ess / n"""
    k_hat: float | None
    """Pareto shape of the tail; None for equal weights, inf when it cannot be told (see pareto.k_hat)"""
    max_share: float
    """share of the total weight that the heaviest row holds"""
    top1pct_share: float
    """share that the heaviest hundredth of the rows holds (at least one row); see histogram for its accuracy"""
    entropy_nats: float
    """entropy of w / sum w; log n for equal weights"""
    perplexity: float
    """exp(entropy), rows: an effective number that the tail moves less than ess"""


def empty(num_rows: int) -> WeightState:
    """The state that has seen none of a set of num_rows."""
    return WeightState(num_rows, 0, -np.inf, 0.0, 0.0, 0.0, np.empty(0), histogram.empty())


def of(log_w: np.ndarray, num_rows: int, start: int = 0) -> WeightState:
    """State of rows start .. start + n of a set of num_rows; see `extend`."""
    return extend(empty(num_rows), log_w, start)


def extend(state: WeightState, log_w: np.ndarray, start: int = 0) -> WeightState:
    """State of the rows seen so far and of rows start .. start + n, which must be new.

    Parameters
    ----------
    log_w : (n,) floats, nats.  Memory beyond them is O(M) and one chunk.
    start : sample id of row 0, for the message.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    peak, size = largest(log_w, start), pareto.tail_rows(state.num_rows) + 1
    top, bar = np.empty(0), float(state.top[-1]) if len(state.top) == size else None
    tally = Tally(peak, min(CHUNK_ROWS, len(log_w)))
    for low in range(0, len(log_w), CHUNK_ROWS):
        x = tally.add(log_w[low : low + CHUNK_ROWS])
        top, bar = _gather(top, bar, x, size)
    sums = tally.sum_w, tally.sum_w2, tally.sum_w_log_w
    return merge(state, WeightState(state.num_rows, len(log_w), peak, *sums, top, tally.histogram()))


def _gather(top: np.ndarray, bar: float | None, x: np.ndarray, size: int) -> tuple[np.ndarray, float | None]:
    """The `size` largest values and some more, in no order, and a bar that only larger ones need to pass."""
    top = np.concatenate([top, x if bar is None else x[x > bar]])
    if len(top) > 2 * size:  # amortised: as many values come in as are looked at again
        top = np.partition(top, len(top) - size)[-size:]
        bar = float(top[0])
    return top, bar


def merge(a: WeightState, b: WeightState) -> WeightState:
    """State of two disjoint sets of rows of the same whole."""
    if a.num_rows != b.num_rows:
        raise ValueError(f"states of different sets cannot be merged: {a.num_rows} and {b.num_rows} rows in all")
    peak = max(a.peak, b.peak)
    sum_w, sum_w2, sum_w_log_w = np.add(_sums_below(a, peak), _sums_below(b, peak)).tolist()
    top = _largest_first(np.concatenate([a.top, b.top]), pareto.tail_rows(a.num_rows) + 1)
    rows_seen = a.rows_seen + b.rows_seen
    both = histogram.merge(a.histogram, b.histogram)
    return WeightState(a.num_rows, rows_seen, peak, sum_w, sum_w2, sum_w_log_w, top, both)


def _sums_below(state: WeightState, peak: float) -> tuple[float, float, float]:
    """The three sums relative to a peak that is at least the state's own."""
    if state.peak == -np.inf:
        return 0.0, 0.0, 0.0
    down = state.peak - peak
    scale = float(np.exp(down))
    return scale * state.sum_w, scale**2 * state.sum_w2, scale * (state.sum_w_log_w + down * state.sum_w)


def _largest_first(values: np.ndarray, size: int) -> np.ndarray:
    if len(values) > size:
        values = np.partition(values, len(values) - size)[-size:]
    return np.sort(values)[::-1]


def log_mean_w(state: WeightState) -> float:
    """Log of the mean weight of the whole set, nats.

    Raises
    ------
    ValueError
        Not all num_rows rows, or more, have been merged.
    NonFiniteError
        All weights are zero.
    """
    n = state.rows_seen
    if n != state.num_rows:
        raise ValueError(f"diagnostics of {state.num_rows:,} rows, but {n:,} have been merged")
    if state.peak == -np.inf:
        raise NonFiniteError(
            f"all {n:,} weights are zero: the classifier gives no generated row any chance of being real"
        )
    return state.peak + float(np.log(state.sum_w / n))


def finish(state: WeightState) -> Diagnostics:
    """The figures; raises what `log_mean_w` raises."""
    n, log_mean = state.rows_seen, log_mean_w(state)
    ess = state.sum_w**2 / state.sum_w2
    relative_se = float(np.sqrt(max(n / ess - 1, 0.0) / (n - 1))) if n > 1 else np.inf
    with np.errstate(over="ignore"):
        mean_w = float(np.exp(log_mean))
    entropy = float(np.log(state.sum_w)) - state.sum_w_log_w / state.sum_w
    return Diagnostics(
        n=n,
        log_mean_w=log_mean,
        mean_w=mean_w,
        mean_w_se=mean_w * relative_se if relative_se else 0.0,
        ess=ess,
        ess_fraction=ess / n,
        k_hat=pareto.k_hat(state.top),
        max_share=1 / state.sum_w,
        top1pct_share=histogram.top_share(state.histogram, max(n / 100, 1)),
        entropy_nats=entropy,
        perplexity=float(np.exp(entropy)),
    )


def diagnose(log_w: np.ndarray) -> Diagnostics:
    """The figures of (N,) log weights that are all at hand."""
    return finish(of(log_w, len(log_w)))
