"""Forms of the weights: flattened, clipped, truncated, Pareto-smoothed; what each costs in bias and in variance.

    w' = tail(max(w^alpha, beta m)),   m the mean of w^alpha over all N rows

A form needs three numbers of the whole pool (m, N and the M largest weights) and then looks at each row alone.
`resolve` takes them from a merged state of the flattened weights, `Form.apply` maps values shard by shard; for the
same values shards give the same as the whole, bit by bit, and the map is monotone: it never changes an order.

With w = p / q up to a factor, mu = E_p[f], N rows of q, and P(w > t) falling as t^(-1/k) in the tail; all but the
first are the ratio sum w' f / sum w':

| estimator | tends to | bias | variance |
|---|---|---|---|
| plain, mean of w f, E_q[w] = 1 | mu | none | Var_q(w f) / N; infinite for k > 1/2 |
| self-normalised | mu | -E_q[w^2 (f - mu)] / N | E_q[w^2 (f - mu)^2] / N; slower than 1 / N for k > 1/2 |
| flattened, w^alpha | mean under p^alpha q^(1 - alpha) | stays for any N | the same of w^alpha: its tail is alpha k |
| clipped, max(w, beta) | mean under max(p, beta q) | stays for any N | the same of max(w, beta): the tail is still k |
| truncated, min(w, m sqrt(N)) | mu | order N^(-(1/k - 1) / 2), 1/2 < k < 1 | at most of order N^(-1/2), for any tail |
| Pareto-smoothed | mu | vanishes for k < 1, small for k < 0.7 | no closed form; no weight exceeds the largest raw one |

Sources: Owen 2013, Monte Carlo theory, chapter 9 (self-normalised); Grover et al. 2019, section 3 (flattened,
clipped); Ionides 2008, JCGS 17(2), "Truncated importance sampling" (as E[min(w, c)^2] <= c E[w], with c of order
sqrt(N)); Vehtari et al. 2024, JMLR 25(72) (Pareto-smoothed).  The study `estimators` measures all of it on pairs of
Gaussians.

| symbol | meaning | dtype, unit |
|---|---|---|
| log_w | raw log weights; -inf is a weight of zero | (n,), nats |
| beta | lower clip in units of m | float |
| floor, cap | log(beta m), log(m sqrt(N)) | float, nats |
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from lfiw_ray.core import diagnostics, pareto
from lfiw_ray.core.diagnostics import WeightState
from lfiw_ray.core.weights import flatten, largest

Tail = Literal["none", "truncate", "psis"]


class Smoothing(NamedTuple):
    """A smoothed tail as a map from raw to smoothed log weights, both nats and in increasing order."""

    raw: np.ndarray
    """float64 (m,), strictly increasing: the cutoff, which stays, and the distinct weights above it"""
    smoothed: np.ndarray
    """float64 (m,)"""


class Form(NamedTuple):
    """A resolved transformation of weights; see the module docstring."""

    alpha: float = 1.0
    """exponent"""
    floor: float = -np.inf
    """least log weight, nats; -inf: no clip"""
    cap: float = np.inf
    """largest log weight, nats; inf: no truncation"""
    smoothing: Smoothing | None = None
    """smoothed tail of the flattened and clipped weights; None: as it is"""

    def apply(self, log_w: np.ndarray, start: int = 0) -> np.ndarray:
        """Log of w', (n,) float64, nats, in the units of w^alpha.

        A weight of zero stays zero, for every alpha, unless there is a clip: max(0, beta m) is beta m, as published,
        and such a row can then be selected.  Weights above the cutoff that are not those the smoothing was resolved
        from lie between their neighbours' smoothed values (linear in logs), and none exceeds the largest.

        Parameters
        ----------
        log_w : (n,) floats, nats, raw.
        start : sample id of row 0, for the message.

        Raises
        ------
        NonFiniteError
            Some weight is NaN or +inf.
        """
        largest(log_w, start)
        formed: np.ndarray = np.clip(flatten(log_w, self.alpha), self.floor, self.cap)
        if self.smoothing is not None:
            high = formed >= self.smoothing.raw[0]
            formed[high] = np.interp(formed[high], *self.smoothing)
        return formed

    def to_json(self) -> dict[str, Any]:
        """Plain values, exact; an infinite floor or cap is null."""
        tail = None if self.smoothing is None else {k: v.tolist() for k, v in self.smoothing._asdict().items()}
        floor, cap = (value if np.isfinite(value) else None for value in (self.floor, self.cap))
        return {"alpha": self.alpha, "floor": floor, "cap": cap, "smoothing": tail}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "Form":
        """The form that `to_json` described."""
        tail = body["smoothing"]
        return cls(
            alpha=body["alpha"],
            floor=-np.inf if body["floor"] is None else body["floor"],
            cap=np.inf if body["cap"] is None else body["cap"],
            smoothing=None if tail is None else Smoothing(np.array(tail["raw"]), np.array(tail["smoothed"])),
        )


def resolve(alpha: float, beta: float, tail: Tail, state: WeightState) -> Form:
    """The form of one pool's weights.

    Parameters
    ----------
    alpha : exponent, at least 0.
    beta : lower clip in units of the mean of w^alpha; 0: none.
    tail : `none`; `truncate`, at sqrt(N) times the mean of w^alpha; `psis`.
    state : merged state of all rows' *flattened* weights, w^alpha.

    Raises
    ------
    ValueError
        An argument out of range, or the state lacks rows.
    NonFiniteError
        All weights are zero.
    """
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha must be finite and at least 0, got {alpha}")
    if not 0 <= beta < np.inf:
        raise ValueError(f"beta must be finite and at least 0, got {beta}")
    if tail not in ("none", "truncate", "psis"):
        raise ValueError(f"tail must be none, truncate or psis, got {tail!r}")
    log_mean = diagnostics.log_mean_w(state)
    floor = log_mean + float(np.log(beta)) if beta else -np.inf
    cap = log_mean + float(np.log(state.num_rows)) / 2 if tail == "truncate" else np.inf
    return Form(alpha, floor, cap, _smoothing(np.maximum(state.top, floor)) if tail == "psis" else None)


def transform(log_w: np.ndarray, alpha: float = 1.0, beta: float = 0.0, tail: Tail = "none") -> np.ndarray:
    """Log of w', (N,) float64, nats, of (N,) log weights that are all at hand; see `resolve`, `Form.apply`."""
    state = diagnostics.of(flatten(log_w, alpha), len(log_w))
    return resolve(alpha, beta, tail, state).apply(log_w)


def _smoothing(top: np.ndarray) -> Smoothing | None:
    """The map of a tail, largest first with the cutoff last; None when no shape can be fitted (see pareto.smoothed).

    Equal raw weights share the mean of the smoothed weights of their ranks, so that the total does not depend on
    ties.  Rows that tie with the cutoff are not in the tail.
    """
    log_w = pareto.smoothed(top)
    if log_w is None:
        return None
    raw, which = np.unique(top[: len(log_w)], return_inverse=True)
    shared = np.bincount(which, weights=np.exp(log_w - top[0])) / np.bincount(which)
    knots = Smoothing(raw, top[0] + np.log(shared))
    if top[-1] == -np.inf:  # every row of positive weight is in the tail
        return knots
    return Smoothing(np.append(top[-1], knots.raw), np.append(top[-1], knots.smoothed))
