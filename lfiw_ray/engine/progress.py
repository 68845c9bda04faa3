"""How far a pool of actors is: a line in the log now and then, and gauges for Prometheus.

On a terminal a line every ten seconds, without one (the log of a submitted job) a line a minute, also while no shard
arrives; a last line at the end.  ESS and k_hat so far are shown where shards carry sums of weights.
"""

import logging
import sys
import threading
import time

from lfiw_ray.core import so_far
from lfiw_ray.core.so_far import SoFar
from lfiw_ray.engine import metrics

log = logging.getLogger(__name__)

TERMINAL_S, LOG_S = 10.0, 60.0  # between lines


class Progress:
    """Shows what `add` was told, from a thread of its own.

    Parameters
    ----------
    what : what is done, for the line.
    total : shards to do.
    weighed : rows whose weights were known before.
    every_s : seconds between lines; None: as in the module docstring.
    """

    def __init__(self, what: str, total: int, weighed: SoFar, every_s: float | None = None):
        self._what, self._total, self._done, self._rows, self._weighed = what, total, 0, 0.0, weighed
        self._every_s = every_s or seconds_between_lines()
        self._began, self._over = time.monotonic(), threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        metrics.show("lfiw_shards_wanted", self._total, work=self._what)
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticker.join()
        self._show_gauges()
        log.info("%s", self.line())

    def add(self, totals: dict[str, float], weighed: SoFar | None) -> None:
        """One more shard is through; rows of each step so far, and the shard's own weights where it was scored now."""
        self._done += 1
        self._rows = max((v for k, v in totals.items() if k.endswith("_rows")), default=0.0)
        if weighed is not None:
            self._weighed = so_far.merge(self._weighed, weighed)

    def line(self) -> str:
        """What the log says now."""
        spent = time.monotonic() - self._began
        rows = f"{self._rows:.0f} rows, {self._rate(spent):.0f} rows/s"
        text = f"{self._what}: {self._done} of {self._total} shards, {rows}"
        if 0 < self._done < self._total:
            text += f", about {duration(spent / self._done * (self._total - self._done))} left"
        ess, k_hat = so_far.ess(self._weighed), so_far.k_hat(self._weighed)
        if ess is not None:
            text += f"; so far at alpha 1: ESS {ess:,.0f} of {self._weighed.rows:,}"
            text += "" if k_hat is None else f", k_hat about {k_hat:.2f}"
        return text

    def _rate(self, spent: float) -> float:
        return self._rows / spent if spent else 0.0

    def _tick(self) -> None:
        while not self._over.wait(self._every_s):
            self._show_gauges()
            log.info("%s", self.line())

    def _show_gauges(self) -> None:
        weighed = self._weighed
        metrics.show("lfiw_shards_done", self._done, work=self._what)
        metrics.show("lfiw_rows_per_second", self._rate(time.monotonic() - self._began), work=self._what)
        if weighed.rows:
            metrics.show_weights(metrics.SO_FAR, weighed.rows, so_far.ess(weighed), so_far.k_hat(weighed))


def seconds_between_lines() -> float:
    """Seconds between lines of the log: more often for someone who watches."""
    return TERMINAL_S if sys.stdout.isatty() else LOG_S


def duration(seconds: float) -> str:
    """A rough time for people: `40 s`, `7 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
