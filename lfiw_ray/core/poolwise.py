"""Pool-wise SIR, the three steps as published: m fresh candidates for each output, weighed, one drawn by weight.

Output j is one of the candidates with sample ids j m .. (j + 1) m, candidate i with probability w_i / sum w over the
group (Grover et al. 2019, arXiv 1906.09531, section 3; Rubin 1987).  The draw is the candidate with the largest
log_w_i + Gumbel noise (the Gumbel-max trick), whose noise is a function of (seed, stream, sample id).

An output's law goes to the target as m grows, with a bias of order (Var w / E[w]^2) / m, and is the generator's own
at m = 1.  Outputs are independent and no row comes twice, at the price of using each candidate once: N rows give
N / m outputs.  One group of all N rows is one multinomial draw of SIR.
"""

from functools import partial

import numpy as np

from lfiw_ray.core import noise, topk
from lfiw_ray.core.fresh import Pick

_HALF_STEP = 2.0**-54  # stands for u = 0, whose cell [0, 2^-53) has this mean


def drawn(seed: int, stream: str = "pool") -> Pick:
    """The rule of a group, for `fresh.init` and `fresh.merge`."""
    return partial(_draw, seed, stream)


def _draw(seed: int, stream: str, log_w: np.ndarray, start: int) -> np.ndarray:
    u = noise.uniforms(seed, stream, start, start + log_w.size).reshape(log_w.shape)
    return np.asarray(np.argmax(topk.keys_of(log_w, np.maximum(u, _HALF_STEP)), axis=1))
