"""The expected time of a step of a run, from calling it for a moment on this machine."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

ON_GPUS = " for GPUs; look at the rates in the log of the first minutes"
_MOMENT_S = 0.5


class Time(NamedTuple):
    """What a step of a run is expected to take."""

    step: str
    seconds: float | None
    """None: not estimated"""
    why: str
    """where the seconds come from, or why there are none"""

    @property
    def line(self) -> str:
        """As a dry run shows it."""
        if self.seconds is None:
            return f"time         {self.step}: not estimated{self.why}"
        return f"time         {self.step:12s} about {self.seconds:,.0f} s {self.why}"


def at_rate(step: str, rate: float, num_rows: int, actors: int) -> Time:
    """For rows at `rate` a second and actor."""
    return Time(step, num_rows / rate / actors, f"at {rate:,.0f} rows/s an actor, {actors} actor(s)")


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of one call, the least over a moment of calls after a first one."""
    work()
    least, began = math.inf, time.monotonic()
    while time.monotonic() - began < _MOMENT_S:
        start = time.monotonic()
        work()
        least = min(least, time.monotonic() - start)
    return least
