"""A real Ray cluster of several nodes on this machine, whose processes can be killed and stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

_STORE_BYTES = 80 * 2**20  # of each node: Ray takes no less than 75 MiB
_HOG = """
import sys, time, numpy, ray
ray.init(sys.argv[1], log_to_driver=False)
held = [ray.put(numpy.zeros(2**20)) for _ in range(int(sys.argv[2]))]
time.sleep(float(sys.argv[3]))
"""


class ManyNodes:
    """A head and `num_workers` further nodes of two CPUs each; a node that was killed is replaced."""

    def __init__(self, folder: Path, num_workers: int = 2):
        self._log = folder / "hog.log"
        self._args: dict[str, Any] = {"num_cpus": 2, "object_store_memory": _STORE_BYTES}
        self._cluster = Cluster(initialize_head=True, head_node_args={**self._args, "include_dashboard": False})
        for _ in range(num_workers):
            self._cluster.add_node(**self._args)

    @property
    def address(self) -> str:
        """What `RAY_ADDRESS` is set to."""
        return str(self._cluster.address)

    def workers(self, title: str) -> list[psutil.Process]:
        """Worker processes of all nodes whose title contains a text, by age."""
        nodes = (self._cluster.head_node, *self._nodes())
        found = [child for node in nodes for child in _children(node) if title in _title(child)]
        return sorted(found, key=lambda process: process.pid)

    def kill_node(self, index: int) -> None:
        """Kill -9 of a node's raylet; another node joins when its workers are gone too."""
        node = self._nodes()[index % len(self._nodes())]
        _raylet(node).kill()
        self._cluster.remove_node(node, allow_graceful=False)
        self._cluster.add_node(**self._args)

    def stop_node(self, index: int, seconds: float) -> None:
        """A node that does nothing for a while: its raylet and its workers stand still."""
        node = self._nodes()[index % len(self._nodes())]
        family = [_raylet(node), *_children(node)]
        for process in family:
            _signal(process, signal.SIGSTOP)
        time.sleep(seconds)
        for process in family:
            _signal(process, signal.SIGCONT)

    def fill_store(self, seconds: float) -> None:
        """Hold more in the head's object store than fits, so that it has to spill."""
        count = 2 * _STORE_BYTES // (8 * 2**20)
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", _HOG, self.address, str(count), str(seconds)]
            subprocess.run(command, stdout=log, stderr=log, check=True, env={**os.environ, "RAY_ADDRESS": self.address})

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()

    def _nodes(self) -> list[Any]:
        """Of a copy: another thread may be replacing one."""
        return sorted({*self._cluster.worker_nodes}, key=lambda node: str(node.unique_id))


def _raylet(node: Any) -> psutil.Process:
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


def _children(node: Any) -> list[psutil.Process]:
    """None of a node that has just been taken down: another thread may look while that happens."""
    try:
        return list(_raylet(node).children(recursive=True))
    except (KeyError, psutil.NoSuchProcess):
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
