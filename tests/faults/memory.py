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
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; raises what ended the sampling before."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        try:
            self._sample()
        except BaseException as err:
            self._failure = err

    def _sample(self) -> None:
        while not self._stop.wait(PERIOD_S):
            for role, process in self._watched():
                try:
                    memory = process.memory_info()
                except psutil.Error:
                    continue
                self.samples[f"{role} {process.pid}"].append(float(memory.rss - memory.shared))
