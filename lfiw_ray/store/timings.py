"""Seconds of each stage, added up over resumes; apart from the done marks, which hold no clock."""

import json

from lfiw_ray.errors import StoreError
from lfiw_ray.store.folder import Folder

NAME = "timings.json"


def read(folder: Folder) -> dict[str, float]:
    """Seconds per stage; empty before the first.  StoreError when the file is not understood."""
    if not folder.exists(NAME):
        return {}
    try:
        seconds: dict[str, float] = json.loads(folder.read(NAME))
    except ValueError as err:
        raise StoreError(f"{folder.path(NAME)} is not understood ({err}); remove it and run again") from err
    return seconds


def add(folder: Folder, stage: str, seconds: float) -> None:
    """Add seconds to a stage."""
    known = read(folder)
    known[stage] = known.get(stage, 0.0) + seconds
    folder.write(NAME, json.dumps(known, indent=1).encode())
