"""Top-k the slow way, and what tests compare it with."""

import numpy as np

from lfiw_ray.core import noise


def plain(log_w, start, k, seed):
    """The k + 1 largest keys the slow way: all noise at once, all keys, a full sort; (keys, ids)."""
    stop = start + len(log_w)
    u = noise.refined(seed, "gumbel", np.arange(start, stop), noise.coarse(seed, "gumbel", start, stop))
    keys = np.asarray(log_w, float) - np.log(-np.log1p(-u))
    rows = sorted((i for i in range(len(log_w)) if log_w[i] > -np.inf), key=lambda i: (-keys[i], i))[: k + 1]
    return keys[rows], start + np.array(rows, np.int64)


def equal(a, b):
    """Whether two states agree to the last bit."""
    return a.k == b.k and all(np.array_equal(x, y) for x, y in zip(a[1:4], b[1:4], strict=True))


def leading(u):
    """The first eight bits of uniforms."""
    return np.floor(u * 256).astype(np.uint8)
