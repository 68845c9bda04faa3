"""Retries of requests to an object store: bounded, with growing waits that depend on nothing but what is asked for.

Every request may be made twice: it reads, or puts or deletes a whole object.  Eight attempts with seven waits of 0.2,
0.4 ... 12.8 s, each times a factor in [0.75, 1.25) that is a function of (request, attempt), so that workers that were
turned away together do not come back together: 19 to 32 s in all, besides the requests' own time-outs.  A part of a
large object has five attempts of its own before the object is put again.
"""

import logging
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from lfiw_ray.store.failures import kinds, may_pass, reason

log = logging.getLogger(__name__)
T = TypeVar("T")

WAITS_S = tuple(0.2 * 2**i for i in range(7))


def patiently(what: str, request: Callable[[], T], waits_s: Sequence[float] | None = None) -> T:
    """What a request gives, made again as long as its failures may pass; `what` names it in the log.

    Raises
    ------
    The last failure, which the caller explains.
    """
    for attempt, wait_s in enumerate(WAITS_S if waits_s is None else waits_s):
        try:
            return request()
        except kinds() as err:
            if not may_pass(err):
                raise
            wait_s *= 0.75 + 0.5 * _fraction(what, attempt)
            log.warning("cannot %s: %s (attempt %d, again in %.1f s)", what, reason(err), attempt + 1, wait_s)
            time.sleep(wait_s)
    return request()


def _fraction(what: str, attempt: int) -> float:
    return zlib.crc32(f"{what} {attempt}".encode()) / 2**32
