"""Memory of processes, sampled in a thread."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

import psutil

PERIOD_S = 1.0


class MemoryWatch:
    """Samples the private memory of the processes that `watched` names, until `stop`.

    What is shared is left out: it is the object store's, and counted in every process that looks at it.
    """

    def __init__(self, watched: Callable[[], Iterable[tuple[str, psutil.Process]]]):
        self._watched, self._stop = watched, threading.Event()
        self.samples: dict[str, list[float]] = defaultdict(list)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(PERIOD_S):
            for role, process in self._watched():
                try:
                    memory = process.memory_info()
                except psutil.Error:
                    continue
                self.samples[f"{role} {process.pid}"].append(float(memory.rss - memory.shared))
