"""What the bytes of a run's file say; a failure names the file when they are not what this program writes.

Seals and checksums notice accidents.  They are no secret, so a file that was altered on purpose may carry right ones:
whoever reads values out of such a file does it under `understood`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lfiw_ray.errors import StoreError

_REASON_LETTERS = 300  # of a reason that may quote the file
_MISREAD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


@contextmanager
def understood(path: str) -> Iterator[None]:
    """Around the reading of values of a file, and nothing else: what goes wrong is the file's fault."""
    try:
        yield
    except _MISREAD as err:
        said = "nested too deeply" if isinstance(err, RecursionError) else f"{type(err).__name__}: {err}"
        raise StoreError(
            f"{path} is not what this program writes ({said[:_REASON_LETTERS]}); "
            "run again with --repair, or remove its folder"
        ) from err


def parsed(data: bytes, path: str) -> Any:
    """The value of a JSON file; StoreError names it when it is none."""
    with understood(path):
        return json.loads(data)
