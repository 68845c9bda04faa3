"""Selection from weights at hand, on one core, against what a user would call instead.

| peer | what it does |
|---|---|
| argpartition | the k largest of log_w + Gumbel noise, all at once (what DSIR does) |
| torch.multinomial | without replacement, from ready float32 weights |
| Generator.choice | without or with replacement, from ready float64 probabilities |

The peers of the last three get their weights or probabilities for nothing; ours starts from log weights.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from lfiw_ray.core import noise, sir, topk
from lfiw_ray.studies import bench
from lfiw_ray.studies.bench import Row, normal_log_w

_TORCH_LIMIT = 2**24  # categories of torch.multinomial
_CHUNK = 1 << 17


def at_hand(quick: bool) -> list[Row]:
    """All rows; `quick` takes a tenth of the sizes."""
    torch.set_num_threads(1)
    large, small, k = (10**7, 10**6, 10**4) if quick else (10**8, 10**7, 10**5)
    log_w = normal_log_w(large)
    return [
        *_gumbel(log_w, k),
        *_without_replacement(log_w[:small].copy(), k),
        _past_the_limit(log_w, k),
        *_with_replacement(log_w, k),
        *_limits(log_w, k),
    ]


def _sizes(num_rows: int, k: int) -> str:
    return f"N = {num_rows:.2g}, k = {k:.0e}"


def _gumbel(log_w: np.ndarray, k: int) -> list[Row]:
    """Against the plain form, and the memory beyond the input."""
    before = bench.peak_rss_bytes()
    topk.finish(topk.init(log_w, 0, k, 0))
    grown_mb = (bench.peak_rss_bytes() - before) / 1e6
    rng = np.random.Generator(np.random.PCG64(1))

    def plain() -> np.ndarray:
        return np.argpartition(log_w + rng.gumbel(size=len(log_w)), len(log_w) - k)[-k:]

    ours = partial(topk.init, log_w, 0, k, 0)
    work = f"Gumbel-top-k, {_sizes(len(log_w), k)}, one core"
    return [
        bench.compare(work, ours, "argpartition(log_w + gumbel)", plain, len(log_w), 8.0),
        bench.measured(f"{work}: memory beyond the input", "MB", grown_mb, 200 * (k + 1) / 1e6 + 32),
    ]


def _without_replacement(log_w: np.ndarray, k: int) -> list[Row]:
    rng, num_rows = np.random.Generator(np.random.PCG64(1)), len(log_w)
    w = torch.from_numpy(np.exp(log_w))
    p = np.exp(log_w.astype(np.float64))
    p /= p.sum()
    seed = torch.Generator().manual_seed(1)
    ours = partial(topk.init, log_w, 0, k, 0)
    work = f"Gumbel-top-k, {_sizes(num_rows, k)}, one core"
    with_torch = partial(torch.multinomial, w, k, replacement=False, generator=seed)
    with_numpy = partial(rng.choice, num_rows, k, replace=False, p=p)
    return [
        bench.compare(work, ours, "torch.multinomial(replacement=False)", with_torch, num_rows, 6.0),
        bench.compare(work, ours, "Generator.choice(replace=False, p)", with_numpy, num_rows, 5.0),
    ]


def _past_the_limit(log_w: np.ndarray, k: int) -> Row:
    """One row more than torch's largest number of categories."""
    beyond = np.resize(log_w, _TORCH_LIMIT + 1)
    chosen = topk.finish(topk.init(beyond, 0, k, 0))
    try:
        torch.multinomial(torch.from_numpy(np.exp(beyond)), k, replacement=False)
        does = "selects too"
    except RuntimeError:
        does = "raises"
    return bench.measured(f"N = 2^24 + 1, k = {k:,} (torch.multinomial {does})", "rows", len(chosen.sample_ids))


def _with_replacement(log_w: np.ndarray, k: int) -> list[Row]:
    rng, num_rows = np.random.Generator(np.random.PCG64(1)), len(log_w)
    p = np.exp(log_w.astype(np.float64))
    p /= p.sum()
    peer = partial(rng.choice, num_rows, k, p=p)
    return [
        bench.compare(
            f"SIR with replacement ({scheme}), {_sizes(num_rows, k)}, one core",
            partial(sir.resample, log_w, k, 0, scheme),
            "Generator.choice(p)",
            peer,
            num_rows,
            6.0 if scheme == "multinomial" else None,
        )
        for scheme in ("multinomial", "systematic", "stratified", "residual")
    ]


def _limits(log_w: np.ndarray, k: int) -> list[Row]:
    """What no implementation can beat on this machine, beside ours: a read of the weights, and the random bits."""
    num_rows = len(log_w)
    ours, ours_sir = (
        1e9 * bench.timed(work) / num_rows
        for work in (partial(topk.init, log_w, 0, k, 0), partial(sir.resample, log_w, k, 0))
    )
    read, bits, exps = (
        1e9 * bench.timed(partial(_in_chunks, log_w, work)) / num_rows
        for work in (
            lambda low, _: log_w[low : low + _CHUNK].max(),
            lambda low, high: noise.coarse(0, "bench", low, high),
            lambda low, _: np.exp(log_w[low : low + _CHUNK]).sum(),
        )
    )
    top, draw = f"Gumbel-top-k, {_sizes(num_rows, k)}", f"SIR, {_sizes(num_rows, k)}"
    return [
        bench.beside(f"{top}: against its limits", "ns/item", ours, "one read of the weights (4 bytes)", read),
        bench.beside(f"{top}: against its limits", "ns/item", ours, "8 Philox bits an item", bits),
        bench.beside(f"{draw}: against its limits", "ns/item", ours_sir, "one exp-and-sum pass", exps),
    ]


def _in_chunks(log_w: np.ndarray, work: Callable[[int, int], object]) -> None:
    for low in range(0, len(log_w), _CHUNK):
        work(low, min(low + _CHUNK, len(log_w)))
