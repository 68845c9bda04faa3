"""The arms of the paper's table: what each is, and its rows in one pool.

The weighted arms weigh the same rows, the first n of the pool, in other forms of the same log weights, each resolved
on these n rows alone, as a user with n samples would.  The others choose n rows of the whole pool by the flattened
weights.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import diagnostics
from lfiw_ray.core.forms import Form, transform
from lfiw_ray.engine.arms import ARMS, Rows, choose_rows


class TableArm(NamedTuple):
    """What an arm is, for readers."""

    label: str
    weighted: bool
    alpha: float | None
    estimates: str


_WEIGHTED = {
    "lfiw": ("LFIW, self-normalised", "the data, as far as the weights are right"),
    "weighted": ("flattened", "the target w^alpha"),
    "clipped": ("clipped", "the target max(w, beta), beta in units of the mean weight"),
    "psis": ("Pareto-smoothed", "the data, with the heaviest weights replaced by their fitted quantiles"),
}
_CHOSEN = {
    "sir": "SIR, with replacement",
    "gumbel": "Gumbel-top-k",
    "gumbel_ht": "Gumbel-top-k, Horvitz-Thompson",
    "drs": "DRS",
    "obrs": "OBRS",
    "mh": "MH-GAN",
    "uniform": "uniform",
    "top_k": "heaviest",
    "reversed": "lightest",
}
NAMES = ("raw", *_WEIGHTED, *_CHOSEN)


def about(alpha: float, beta: float) -> dict[str, TableArm]:
    """The arms in the order of the table.

    Parameters
    ----------
    alpha : exponent of the flattened weights.
    beta : lower clip of the clipped ones, in units of the mean weight.
    """
    found = {"raw": TableArm("raw samples", False, None, ARMS["raw"].estimates)}
    for name, (label, estimates) in _WEIGHTED.items():
        said = f"{label}, beta {beta:g}" if name == "clipped" else label
        found[name] = TableArm(said, True, alpha if name == "weighted" else 1.0, estimates)
    for name, label in _CHOSEN.items():
        used = None if name == "uniform" else alpha
        found[name] = TableArm(label, ARMS[name].weighted, used, ARMS[name].estimates)
    return found


def rows_of(log_w: np.ndarray, start: int, n: int, alpha: float, beta: float, seed: int) -> dict[str, Rows]:
    """The n rows of every arm in the pool of sample ids start .. start + len(log_w).

    Parameters
    ----------
    log_w : (N,) raw log weights of the pool, nats, N >= n.
    """
    found = choose_rows(log_w, log_w, start, n, Form(alpha).apply, seed, with_rivals=True)
    first = found["raw"].sample_ids
    found["lfiw"] = Rows(first, transform(log_w[:n]))
    found["clipped"] = Rows(first, transform(log_w[:n], beta=beta))
    found["psis"] = Rows(first, transform(log_w[:n], tail="psis"))
    return {name: found[name] for name in NAMES}


def k_hat_of(log_w: np.ndarray | None) -> float | None:
    """Pareto shape of an arm's own weights; None where it has none, or where none can be told."""
    shape = None if log_w is None else diagnostics.diagnose(log_w).k_hat
    return shape if shape is not None and np.isfinite(shape) else None
