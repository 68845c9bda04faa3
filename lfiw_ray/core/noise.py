"""Random numbers that are a function of (seed, stream, sample id) alone.

Three forms, all on counter-based Philox generators (Salmon et al. 2011, "Parallel random numbers: as easy as
1, 2, 3"), so that any row's numbers can be had without drawing those before it:

- `by_block`: per fixed block of 1,024 consecutive sample ids one generator, for noise of any shape
  (a sample's latent and pixel noise).
- `uniforms`: draw i of one long sequence belongs to sample id i, for one number a row.
- `coarse` and `refined`: the same in two steps, 8 bits of every row first and the other 56 only of the rows that
  need them, for a filter that looks closely at few rows (Gumbel-top-k).

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
_COARSE_PER_TICK = 32  # or thirty-two of 8 bits
_BELOW_ONE = 1 - 2.0**-53
_CACHED_ROWS = 4096  # whose temporaries fit the cache: three times as fast as all at once
_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)  # of Philox4x32
_WEYL = 0x9E3779B9, 0xBB67AE85  # what its key grows by each round
_LOW32, _32, _24, _8 = (np.uint64(n) for n in (0xFFFFFFFF, 32, 24, 8))


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


def coarse(seed: int, stream: str, start: int, stop: int) -> np.ndarray:
    """(stop - start,) uint8, the leading bits of each row's uniform: u lies in [c, c + 1] / 2^8."""
    tick, skip = divmod(start, _COARSE_PER_TICK)
    bits = np.random.Philox(key=_key(seed, stream))
    bits.advance(tick)
    words = bits.random_raw(-(-(skip + stop - start) // 8))
    return words.astype("<u8", copy=False).view(np.uint8)[skip : skip + stop - start]


def refined(seed: int, stream: str, sample_ids: np.ndarray, leading: np.ndarray) -> np.ndarray:
    """The whole uniforms of some rows.

    Parameters
    ----------
    sample_ids : (N,) int64, at least 0, any order.
    leading : (N,) uint8, what `coarse` gave for them.

    Returns
    -------
    (N,) float64 in (0, 1): 64 random bits, centred in their cell and rounded, hence of full relative precision
    towards 0 (the smallest is 2^-65) and at most 1 - 2^-53.
    """
    key, u = _key(seed, f"{stream}/fine"), np.empty(len(sample_ids))
    for start in range(0, len(u), _CACHED_ROWS):
        rows = slice(start, start + _CACHED_ROWS)
        low, high, _, _ = philox4x32(np.asarray(sample_ids[rows], np.uint64), key)
        fine = (low << _24 | high >> _8).astype(np.float64)
        u[rows] = np.minimum(leading[rows] * 2.0**-8 + (fine + 0.5) * 2.0**-64, _BELOW_ONE)
    return u


def philox4x32(counters: np.ndarray, key: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Philox4x32-10 at any counters: four uint64 (N,) arrays of 32 random bits.

    Parameters
    ----------
    counters : (N,) uint64, the lower half of the 128-bit counter; the upper half is 0.
    key : its lower 64 bits are used.
    """
    c0, c1 = counters & _LOW32, counters >> _32
    c2, c3 = np.zeros_like(c0), np.zeros_like(c0)
    k0, k1 = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(_ROUNDS):
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = p1 >> _32 ^ c1 ^ np.uint64(k0), p1 & _LOW32, p0 >> _32 ^ c3 ^ np.uint64(k1), p0 & _LOW32
        k0, k1 = k0 + _WEYL[0] & 0xFFFFFFFF, k1 + _WEYL[1] & 0xFFFFFFFF
    return c0, c1, c2, c3
