"""Random numbers that are a function of (seed, stream, sample id) alone.

Two forms, both on the counter-based Philox generator (Salmon et al. 2011), so that any row's numbers can
be had without drawing those before it:

- `by_block`: per fixed block of 1,024 consecutive sample ids one generator, for noise of any shape
  (a sample's latent and pixel noise).
- `uniforms`: draw i of one long sequence belongs to sample id i, for one number a row
  (the perturbation of Gumbel-top-k).

Shards, workers, retries and the order of work therefore never change a number.

| symbol | meaning | dtype |
|---|---|---|
| seed | the run's seed | int |
| stream | what the numbers are for; separate streams are independent | str |
| sample_ids | global ids, 0-based | int64 (N,) |
"""

from collections.abc import Callable

import numpy as np

from lfiw_ray.core.digest import digest_bytes

NOISE_BLOCK = 1024
_DRAWS_PER_TICK = 4  # one Philox counter step yields four 64-bit draws


def _key(seed: int, stream: str) -> int:
    return int.from_bytes(digest_bytes([seed, stream], size=16), "little")


def generator(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """Independent generator number `index` of a stream (the counter's upper 128 bits hold the index)."""
    return np.random.Generator(np.random.Philox(key=_key(seed, stream), counter=index << 128))


def by_block(
    seed: int, stream: str, sample_ids: np.ndarray, draw: Callable[[np.random.Generator, int], np.ndarray]
) -> np.ndarray:
    """Noise of the given rows.

    Parameters
    ----------
    sample_ids : (N,) int64, any order.
    draw : (generator, n) -> array of shape (n, ...); called with n = 1,024 for each block that is touched.

    Returns
    -------
    (N, ...) array, row i a function of (seed, stream, sample_ids[i]).
    """
    sample_ids = np.asarray(sample_ids, dtype=np.int64)
    if sample_ids.size == 0:
        return draw(generator(seed, stream), NOISE_BLOCK)[:0]
    if sample_ids.min() < 0:
        raise ValueError(f"sample ids must not be negative, got {sample_ids.min()}")
    blocks, where = np.unique(sample_ids // NOISE_BLOCK, return_inverse=True)
    out: np.ndarray | None = None
    for position, block in enumerate(blocks):
        drawn = draw(generator(seed, stream, int(block)), NOISE_BLOCK)
        rows = where == position
        if out is None:
            out = np.empty((len(sample_ids), *drawn.shape[1:]), drawn.dtype)
        out[rows] = drawn[sample_ids[rows] % NOISE_BLOCK]
    assert out is not None
    return out


def uniforms(seed: int, stream: str, start: int, stop: int) -> np.ndarray:
    """(stop - start,) float64 in [0, 1) with 53 random bits; entry i belongs to sample id start + i."""
    tick, skip = divmod(start, _DRAWS_PER_TICK)
    bits = np.random.Philox(key=_key(seed, stream))
    bits.advance(tick)
    return np.random.Generator(bits).random(skip + stop - start)[skip:]
