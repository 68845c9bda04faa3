"""k rows by rank: the heaviest, the lightest, or any, each row once and of weight 1.

Three foils of weighted resampling, all top-k reductions with the mergeable state of `topk` (`topk.merge`; ties go to
the smaller sample id):

- `heaviest`: keys log_w.  Estimates no distribution: it is biased to where the classifier is surest.
- `lightest`: keys -log_w.  The worst choice that the weights can make; a check that they order rows at all.
- `uniform`: equal weights with Gumbel noise, a simple random sample without replacement.  Unbiased for the
  generator's own distribution, restricted to rows of positive weight.

Rows of weight zero are never selected, by any of them.
"""

import numpy as np

from lfiw_ray.core import topk
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.topk import TopK
from lfiw_ray.core.weights import flatten, largest
from lfiw_ray.errors import ConfigError


def heaviest(log_w: np.ndarray, start: int, k: int) -> TopK:
    """The k rows of start .. start + N with the largest weights.

    Parameters
    ----------
    log_w : (N,) floats, nats.

    Raises
    ------
    NonFiniteError
        Some weight is NaN or +inf.
    """
    return _by_key(log_w, start, k, 1.0)


def lightest(log_w: np.ndarray, start: int, k: int) -> TopK:
    """The k rows of start .. start + N with the smallest weights above zero; parameters and errors of `heaviest`."""
    return _by_key(log_w, start, k, -1.0)


def uniform(log_w: np.ndarray, start: int, k: int, seed: int, stream: str = "uniform") -> TopK:
    """k of the rows start .. start + N, each set of k as likely as any; parameters and errors of `heaviest`."""
    largest(log_w, start)
    return topk.init(flatten(log_w, 0.0), start, k, seed, stream)


def _by_key(log_w: np.ndarray, start: int, k: int, sign: float) -> TopK:
    largest(log_w, start)
    log_w = np.asarray(log_w, np.float64)
    rows = np.flatnonzero(log_w > -np.inf)
    return topk.merge(topk.empty(k), TopK(k, sign * log_w[rows], start + rows.astype(np.int64), log_w[rows]))


def finish(state: TopK) -> Selection:
    """The k rows.

    Raises
    ------
    ConfigError
        Fewer than k rows have a positive weight.
    """
    k = state.k
    if len(state.keys) < k:
        raise ConfigError(
            f"k = {k:,} rows were asked for, but only {len(state.keys):,} have a positive weight; lower k, or generate "
            "more samples"
        )
    order = np.argsort(state.sample_ids[:k])
    return Selection(state.sample_ids[:k][order], state.keys[:k][order], np.ones(k, np.int64), np.ones(k))
