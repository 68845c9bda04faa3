"""The arms of the evaluation: which rows of one pool, with which weights, stand for the real data.

All arms have the same number of rows n, because feature distances fall with n.  The rivals are other ways to
choose rows by the same weights; those that take one of each group of fresh candidates have N // n candidates a row.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import rivals, sir, topk
from lfiw_ray.core.weights import Monotone, as_given


class Arm(NamedTuple):
    """What an arm is, for readers."""

    label: str
    naive: bool  # uses the naive weights at alpha = 1
    weighted: bool
    estimates: str
    biased: bool
    rival: bool = False  # left out when the configuration says so


ARMS = {
    "raw": Arm("raw samples", False, False, "the generator's own distribution", False),
    "weighted": Arm("weighted", False, True, "the target w^alpha of the same rows as raw", False),
    "sir": Arm("SIR", False, False, "the target w^alpha, drawn with replacement from the pool", False),
    "gumbel": Arm(
        "Gumbel-top-k", False, False, "neither: the heaviest rows without repeats, between pool and target", True
    ),
    "gumbel_ht": Arm(
        "Gumbel-top-k, weighted", False, True, "the target w^alpha, drawn without replacement, Horvitz-Thompson", False
    ),
    "weighted_naive": Arm("weighted, naive", True, True, "the data, as far as the weights are right", False),
    "sir_naive": Arm("SIR, naive", True, False, "the data, as far as the weights are right", False),
    "gumbel_naive": Arm(
        "Gumbel-top-k, naive", True, False, "neither: the heaviest rows without repeats, between pool and data", True
    ),
    "pool": Arm(
        "pool-wise SIR",
        False,
        False,
        "between pool and target: one of each few fresh candidates, drawn by weight; the target when they are many",
        True,
        True,
    ),
    "mh": Arm(
        "MH-GAN",
        False,
        False,
        "between pool and target: the end of a Metropolis-Hastings chain over few fresh candidates",
        True,
        True,
    ),
    "drs": Arm(
        "DRS", False, False, "neither: rejection by w / (w + c), a target whose heavy weights are levelled", True, True
    ),
    "obrs": Arm("OBRS", False, False, "neither: rejection by min(1, c w), a target truncated from above", True, True),
    "top_k": Arm("heaviest", False, False, "nothing: the rows the classifier finds most real", True, True),
    "uniform": Arm("uniform", False, False, "the generator's own distribution, as raw does", False, True),
    "reversed": Arm("lightest", False, False, "nothing: the rows the classifier finds least real", True, True),
}


GUMBEL_STREAM = "evaluate gumbel"  # the random numbers of the arm gumbel; a smaller k is a prefix of its rows


class Rows(NamedTuple):
    """The n rows of an arm: sample ids, repeats included, and log weights or None."""

    sample_ids: np.ndarray
    log_w: np.ndarray | None


def arms_of(with_rivals: bool) -> dict[str, Arm]:
    """The arms that are evaluated, in their order."""
    return {name: arm for name, arm in ARMS.items() if with_rivals or not arm.rival}


def choose_rows(
    log_w: np.ndarray,
    naive_log_w: np.ndarray,
    start: int,
    n: int,
    form: Monotone,
    seed: int,
    with_rivals: bool,
) -> dict[str, Rows]:
    """Rows of every arm from the pool of sample ids start .. start + len(log_w).

    Parameters
    ----------
    log_w : (N,) log weights of the pool, nats, N >= n.
    naive_log_w : the same for the naive arms, which use them as they are.
    form : from log_w to the weights used.
    with_rivals : whether the rivals, which use the weights of the arms that are not naive, are among them.
    """
    first = start + np.arange(n, dtype=np.int64)
    out = {"raw": Rows(first, None)}
    used = form(log_w)
    for suffix, flat in (("", used), ("_naive", as_given(naive_log_w))):
        top = topk.finish(topk.init(flat, start, n, seed, GUMBEL_STREAM))
        drawn = sir.resample(flat, n, seed, stream=f"evaluate sir {start}")
        out[f"weighted{suffix}"] = Rows(first, flat[:n])
        out[f"sir{suffix}"] = Rows(start + np.repeat(drawn.sample_ids, drawn.multiplicity), None)
        out[f"gumbel{suffix}"] = Rows(top.sample_ids, None)
        out[f"gumbel_ht{suffix}"] = Rows(top.sample_ids, np.log(top.weight))
    arms = arms_of(with_rivals)
    for name in (name for name, arm in arms.items() if arm.rival):
        out[name] = Rows(rivals.select(name, used, start, n, seed, f"evaluate {name}").sample_ids, None)
    return {name: out[name] for name in arms}
