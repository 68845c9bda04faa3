"""Independence Metropolis-Hastings over generated candidates (MH-GAN; Turner et al. 2019, arXiv 1811.11357).

Each output is the last state of its own chain.  The chain walks over m consecutive candidates x', all drawn from the
generator, and moves from x to x' with probability min(1, w(x') / w(x)); with exact weights this leaves the target
as it is.  A row of weight zero is never moved to.

Where a chain starts: MH-GAN starts at a real row, a draw from the target, which needs no burn-in; but a selection
may hold generated rows only.  Here a chain starts at its first candidate of positive weight.  (Drawing the start by
weight from the first m / 2 candidates leaves fewer moves and is no better: with log w ~ N(0, 1.5^2) and m = 10 the
mean log w of the outputs is 1.71 instead of 1.74; it is 1.59 for pool-wise SIR, and 2.25 under the target.)

Bias: the law lies between generator and target, and goes to the target as m grows; its distance in total variation
shrinks by at least the factor 1 - E[w] / max w with each candidate (Mengersen & Tweedie 1996).
"""

from functools import partial

import numpy as np

from lfiw_ray.core import noise
from lfiw_ray.core.fresh import Pick

_LOWEST = float(np.finfo(np.float64).min)  # stands for the -inf of a start without weight, which any weight beats


def walked(seed: int, stream: str = "mh") -> Pick:
    """The rule of a chain, for `fresh.init` and `fresh.merge`."""
    return partial(_walk, seed, stream)


def _walk(seed: int, stream: str, log_w: np.ndarray, start: int) -> np.ndarray:
    """The last column of each chain; candidate i's own uniform decides on the move to it."""
    u = noise.uniforms(seed, stream, start, start + log_w.size).reshape(log_w.shape)
    column, at = np.zeros(len(log_w), np.int64), log_w[:, 0]
    for step in range(1, log_w.shape[1]):
        to = log_w[:, step]
        moves = u[:, step] < np.exp(np.minimum(to - np.maximum(at, _LOWEST), 0.0))
        column, at = np.where(moves, step, column), np.where(moves, to, at)
    return column
