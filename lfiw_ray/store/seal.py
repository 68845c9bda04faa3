"""JSON objects that carry a digest of themselves, so that a reader notices a single flipped bit in a mark.

Numbers survive: Python writes a float with the digits that read back as the same float.
"""

import json
from typing import Any

from lfiw_ray.core.digest import digest

SEAL = "seal"


def sealed(body: dict[str, Any]) -> bytes:
    """A JSON object with its digest under `seal`; the same body gives the same bytes."""
    plain = json.loads(json.dumps(body, allow_nan=False))
    return json.dumps({**plain, SEAL: digest(plain)}, indent=1, sort_keys=True).encode()


def unsealed(data: bytes) -> dict[str, Any]:
    """The object without its seal; ValueError when it is torn or was altered."""
    try:
        body = json.loads(data)
        if not isinstance(body, dict):
            raise ValueError("it is no JSON object")
        found, expected = body.pop(SEAL, None), digest(body)
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err
    if found != expected:
        raise ValueError("its seal does not fit: it is torn or was altered")
    return body
