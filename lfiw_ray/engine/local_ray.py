"""A Ray of this process's own, of which nothing is left behind.

Ray's workers end by themselves when their raylet is gone.  One that hangs on its way out would outlive the job and
hold its memory, or its GPU, for good; so they are counted before the end, and what is still there a while after it is
killed.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray

from lfiw_ray.engine import metrics

log = logging.getLogger(__name__)

GRACE_S = 20.0  # a worker that writes its last files needs a second or two


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """`ray.init(**options)` and its end; no process that it started outlives the block by more than `GRACE_S`.

    Connects where RAY_ADDRESS says so; then Ray's processes are another's, and are left alone.
    """
    others = set(psutil.Process().children())
    _init(options)
    daemons = [process for process in psutil.Process().children() if process not in others]
    try:
        yield
    finally:
        workers = [worker for daemon in daemons for worker in _below(daemon)]
        metrics.forget()
        ray.shutdown()
        _end(daemons + workers)


def _init(options: dict[str, Any]) -> None:
    """Ray takes SIGTERM for itself, and would end with exit code 15; a handler that a program has set stays."""
    before = signal.getsignal(signal.SIGTERM)
    ray.init(**options)
    if callable(before) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def _below(daemon: psutil.Process) -> list[psutil.Process]:
    try:
        return daemon.children(recursive=True)
    except psutil.NoSuchProcess:
        return []  # its workers end with it, or are seen to by the raylet


def _end(processes: list[psutil.Process]) -> None:
    _, left = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in left:
        try:
            log.warning("Ray left %s (process %d) behind; it is killed", process.name(), process.pid)
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it has just ended
    psutil.wait_procs(left, timeout=GRACE_S)
