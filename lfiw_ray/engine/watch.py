"""While a stage runs: its name for Prometheus, and how long how many nodes were there for it.

Nodes are counted now and then, so that a cluster that grows and shrinks meanwhile is billed as it was.
"""

import threading
import time
from typing import NamedTuple

import ray

from lfiw_ray.engine import metrics

COUNT_S = 10.0  # between counts


class NodeSeconds(NamedTuple):
    """Nodes times seconds, of nodes without GPU and with one."""

    cpu: float = 0.0
    gpu: float = 0.0


class Watch:
    """Counts from a thread of its own while the block runs; `seconds` and `nodes` are known afterwards."""

    def __init__(self, stage: str, count_s: float = COUNT_S):
        self._stage, self._count_s = stage, count_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self.seconds, self.nodes = 0.0, NodeSeconds()

    def __enter__(self) -> "Watch":
        metrics.show("lfiw_stage_running", 1, stage=self._stage)
        self._began = self._counted = time.monotonic()
        self._alive = nodes_alive()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._take_in()
        self.seconds = time.monotonic() - self._began
        metrics.show("lfiw_stage_running", 0, stage=self._stage)

    def _count(self) -> None:
        while not self._over.wait(self._count_s):
            self.count_once()

    def count_once(self) -> None:
        """Take in the time since the last count, and count the nodes again."""
        self._take_in()
        self._alive = nodes_alive()

    def _take_in(self) -> None:
        now = time.monotonic()
        self.nodes = NodeSeconds(*(s + n * (now - self._counted) for s, n in zip(self.nodes, self._alive, strict=True)))
        self._counted = now


def nodes_alive() -> tuple[int, int]:
    """Nodes of the cluster without GPU and with one; none where there is no Ray."""
    if not ray.is_initialized():
        return 0, 0
    with_gpu = [node["Resources"].get("GPU", 0) > 0 for node in ray.nodes() if node["Alive"]]
    return len(with_gpu) - sum(with_gpu), sum(with_gpu)
