"""Stable hashes of plain values: the plan of a stage, the key of a random stream."""

import hashlib
import json
from typing import Any


def digest_bytes(value: Any, size: int = 16) -> bytes:
    """`size` bytes of BLAKE2b over the canonical JSON of a value (dicts sorted, no spaces, finite numbers)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def digest(value: Any) -> str:
    """The same as 16 hex digits."""
    return digest_bytes(value, size=8).hex()
