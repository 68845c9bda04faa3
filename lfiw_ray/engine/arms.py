"""The arms of the evaluation: which rows of one pool, with which weights, stand for the real data.

All arms have the same number of rows n, because feature distances fall with n.
"""

from typing import NamedTuple

import numpy as np

from lfiw_ray.core import blocks, sir, topk
from lfiw_ray.core.selection import Selection
from lfiw_ray.core.weights import flatten


class Arm(NamedTuple):
    """What an arm is, for readers."""

    label: str
    naive: bool  # uses the naive weights at alpha = 1
    weighted: bool
    estimates: str
    biased: bool


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
}


class Rows(NamedTuple):
    """The n rows of an arm: sample ids, repeats included, and log weights or None."""

    sample_ids: np.ndarray
    log_w: np.ndarray | None


def choose_rows(
    log_w: np.ndarray, naive_log_w: np.ndarray, start: int, n: int, alpha: float, seed: int
) -> dict[str, Rows]:
    """Rows of every arm from the pool of sample ids start .. start + len(log_w).

    Parameters
    ----------
    log_w : (N,) log weights of the pool, nats, N >= n.
    naive_log_w : the same for the naive arms, which use alpha 1.
    """
    first = start + np.arange(n, dtype=np.int64)
    out = {"raw": Rows(first, None)}
    for suffix, flat in (("", flatten(log_w, alpha)), ("_naive", flatten(naive_log_w, 1.0))):
        top = topk.finish(topk.init(flat, start, n, seed, "evaluate gumbel"))
        drawn = _sir(flat, start, n, seed)
        out[f"weighted{suffix}"] = Rows(first, flat[:n])
        out[f"sir{suffix}"] = Rows(np.repeat(drawn.sample_ids, drawn.multiplicity), None)
        out[f"gumbel{suffix}"] = Rows(top.sample_ids, None)
        out[f"gumbel_ht{suffix}"] = Rows(top.sample_ids, np.log(top.weight))
    return {name: out[name] for name in ARMS}


def _sir(log_w: np.ndarray, start: int, n: int, seed: int) -> Selection:
    """n draws with replacement from weights that are all at hand."""
    sums = blocks.block_stats(log_w, 0).log_sum
    draws = sir.allocate(sums, n, seed, stream=f"evaluate sir {start}")
    rows = []
    for block in np.unique(draws.blocks):
        low = int(block) * blocks.WEIGHT_BLOCK
        positions = draws.positions[draws.blocks == block]
        rows.append(low + sir.draw_in_block(log_w[low : low + blocks.WEIGHT_BLOCK], positions, start + low))
    return sir.collect(start + np.concatenate(rows))
