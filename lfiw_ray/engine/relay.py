"""Lines from workers to the driver's log.

Ray can copy all that workers print to the driver, but that includes its own chatter; this carries only ours.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayActorError

log = logging.getLogger(__name__)

_POLL_S = 1.0


class _Lines:
    """Holds lines until the driver takes them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        lines, self._lines = self._lines, []
        return lines


class RelayHandler(logging.Handler):
    """Sends a worker's log records of this package to the driver."""

    def __init__(self, lines: Any):
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record, without waiting for it to arrive."""
        self._lines.add.remote(record.getMessage())


@contextmanager
def relayed() -> Iterator[Any]:
    """A handle that workers' `RelayHandler` sends to; its lines are logged here while the block runs."""
    lines = ray.remote(num_cpus=0)(_Lines).remote()
    stop = threading.Event()
    poller = threading.Thread(target=_poll, args=(lines, stop), daemon=True)
    poller.start()
    try:
        yield lines
    finally:
        stop.set()
        poller.join()
        ray.kill(lines)


def _poll(lines: Any, stop: threading.Event) -> None:
    last = False
    while not last:
        last = stop.wait(_POLL_S)
        try:
            for line in ray.get(lines.take.remote(), timeout=60):
                log.info("%s", line)
        except RayActorError:
            log.warning("the workers' log lines are lost from here on: the node that held them is gone")
            return
