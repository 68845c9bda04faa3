"""Honest comparisons: the same work by us and by a peer, in turn, in one process, several times.

A row of the result holds medians and the spread of the ratio pair by pair, so that a machine whose speed drifts does
not decide it.

| field | meaning |
|---|---|
| work, unit | what was done, and what the medians are in |
| ours_median, peer, peer_median | None where there is no peer |
| ratio_median, ratio_min, ratio_max | peer / ours, how many times faster; over the pairs |
| goal, met | least ratio (or largest value of ours, where there is no peer) asked for; None: no goal |
| machine | processor, cores, versions |
"""

import os
import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Row = dict[str, Any]


def compare(
    work: str,
    ours: Callable[[], object],
    peer_name: str,
    peer: Callable[[], object],
    num_items: int,
    goal: float | None,
    repeats: int = 5,
) -> Row:
    """Time both in turn, after one uncounted run of ours; nanoseconds an item."""
    ours()
    seconds = [(_seconds(ours), _seconds(peer)) for _ in range(repeats)]
    return paired(work, "ns/item", [(1e9 * a / num_items, 1e9 * b / num_items) for a, b in seconds], peer_name, goal)


def paired(work: str, unit: str, pairs: list[tuple[float, float]], peer_name: str, goal: float | None) -> Row:
    """A row of costs that were measured in turn, by clocks of their own: (ours, peer) of each repetition."""
    ratios = sorted(theirs / own for own, theirs in pairs)
    own, theirs = (median(column) for column in zip(*pairs, strict=True))
    return _row(work, unit, own, peer_name, theirs, ratios, goal, None if goal is None else median(ratios) >= goal)


def measured(work: str, unit: str, value: float, at_most: float | None = None) -> Row:
    """A row without a peer, with a limit that the value must keep."""
    return _row(work, unit, value, None, None, [], at_most, None if at_most is None else value <= at_most)


def beside(work: str, unit: str, value: float, peer_name: str, peer_value: float, goal: float | None = None) -> Row:
    """A value beside a peer's that was measured once or elsewhere."""
    ratio = peer_value / value
    return _row(work, unit, value, peer_name, peer_value, [ratio], goal, None if goal is None else ratio >= goal)


def timed(work: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds, after one uncounted run."""
    work()
    return median(_seconds(work) for _ in range(repeats))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _row(
    work: str,
    unit: str,
    own: float,
    peer: str | None,
    theirs: float | None,
    ratios: list[float],
    goal: float | None,
    met: bool | None,
) -> Row:
    spread = (median(ratios), min(ratios), max(ratios)) if ratios else (None, None, None)
    named = dict(zip(("ratio_median", "ratio_min", "ratio_max"), spread, strict=True))
    head = {"work": work, "unit": unit, "ours_median": own, "peer": peer, "peer_median": theirs}
    return {**head, **named, "goal": goal, "met": met, "machine": machine()}


def machine() -> str:
    """Processor, cores and versions, in one line."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if (info.exists())
        else []
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch", "pyarrow", "ray"))
    return (
        f"{names[0] if names else platform.processor()}, {cores} cores, Python {platform.python_version()}, {packages}"
    )


def normal_log_w(num_rows: int, sigma: float = 1.5, seed: int = 0) -> np.ndarray:
    """(num_rows,) float32 log weights N(0, sigma^2), nats, made without a larger copy."""
    rng, out = np.random.Generator(np.random.PCG64(seed)), np.empty(num_rows, np.float32)
    rng.standard_normal(out=out, dtype=np.float32)
    out *= sigma
    return out


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
