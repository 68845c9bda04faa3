"""Every rival of weighted resampling by its name, as one function of weights that are all at hand.

Each is k rows of the same scored pool; the modules of the methods say what they estimate, and hold the mergeable
states for weights that lie on several machines.  The rejection samplers accept a little more than k rows of the
pool on average and keep the first k; those with fresh candidates have N // k of them for each row, the first k (N // k)
rows of the pool.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from lfiw_ray.core import fresh, poolwise, ranks, rejection, rivals_drs, rivals_mh, rivals_obrs, score_counts
from lfiw_ray.core.fresh import Pick
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import largest
from lfiw_ray.errors import ConfigError

Rule = Callable[[int, str], Pick]
FRESH: dict[str, Rule] = {"pool": poolwise.drawn, "mh": rivals_mh.walked}
"""rules of those that see fresh candidates for each row, of (seed, stream)"""


def _fresh(
    rule: Callable[[int, str], Pick], log_w: np.ndarray, start: int, k: int, seed: int, stream: str
) -> Selection:
    m = candidates(len(log_w), k)
    return fresh.finish(fresh.init(log_w[: m * k], start, m, rule(seed, stream), first=start))


def _drs(log_w: np.ndarray, start: int, k: int, seed: int, stream: str) -> Selection:
    peak = largest(log_w, start)
    seen = score_counts.of(rivals_drs.scores(log_w, peak, start))
    gamma = rivals_drs.gamma_for(seen, rejection.expected_for(k))
    return rejection.finish(rivals_drs.draw(log_w, start, k, seed, peak, gamma, stream))


def _obrs(log_w: np.ndarray, start: int, k: int, seed: int, stream: str) -> Selection:
    log_c = rivals_obrs.log_c_for(score_counts.of(log_w, start), rejection.expected_for(k))
    return rejection.finish(rivals_obrs.draw(log_w, start, k, seed, log_c, stream))


def _top_k(log_w: np.ndarray, start: int, k: int, _seed: int, _stream: str) -> Selection:
    return ranks.finish(ranks.heaviest(log_w, start, k))


def _uniform(log_w: np.ndarray, start: int, k: int, seed: int, stream: str) -> Selection:
    return ranks.finish(ranks.uniform(log_w, start, k, seed, stream))


def _reversed(log_w: np.ndarray, start: int, k: int, _seed: int, _stream: str) -> Selection:
    return ranks.finish(ranks.lightest(log_w, start, k))


RIVALS: dict[str, Callable[[np.ndarray, int, int, int, str], Selection]] = {
    **{name: partial(_fresh, rule) for name, rule in FRESH.items()},
    "drs": _drs,
    "obrs": _obrs,
    "top_k": _top_k,
    "uniform": _uniform,
    "reversed": _reversed,
}


def select(name: str, log_w: np.ndarray, start: int, k: int, seed: int, stream: str | None = None) -> Selection:
    """k rows by one of `RIVALS`.

    Parameters
    ----------
    log_w : (N,) floats, nats, of all rows; already flattened.
    start : sample id of row 0.
    stream : names the noise; the rival's name unless given.

    Raises
    ------
    ConfigError
        The pool does not have k rows for this rival.
    NonFiniteError
        Some weight is NaN or +inf.
    """
    if name not in RIVALS:
        raise ValueError(f"a rival is one of {', '.join(RIVALS)}, got {name!r}")
    return RIVALS[name](log_w, start, k, seed, name if stream is None else stream)


def candidates(num_rows: int, k: int) -> int:
    """Fresh candidates for each of k rows.

    Raises
    ------
    ConfigError
        There are fewer than k rows.
    """
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}")
    if num_rows < k:
        raise ConfigError(f"k = {k:,} rows need as many fresh candidates, but there are {num_rows:,}; lower k")
    return num_rows // k if k else 1
