"""Seconds of each stage, added up over resumes; apart from the done marks, which hold no clock.

Other amounts by name are kept in the same way, in files of their own.
"""

import json

from lfiw_ray.errors import StoreError
from lfiw_ray.store.folder import Folder

NAME = "timings.json"


def read(folder: Folder, name: str = NAME) -> dict[str, float]:
    """Seconds per stage; empty before the first.  StoreError when the file is not understood."""
    if not folder.exists(name):
        return {}
    try:
        seconds: dict[str, float] = json.loads(folder.read(name))
        if not isinstance(seconds, dict) or not all(type(took) in (int, float) for took in seconds.values()):
            raise ValueError("it holds no seconds by stage")
    except (ValueError, RecursionError) as err:
        raise StoreError(f"{folder.path(name)} is not understood ({err}); remove it and run again") from err
    return seconds


def add(folder: Folder, stage: str, seconds: float, name: str = NAME) -> None:
    """Add seconds to a stage."""
    known = read(folder, name)
    known[stage] = known.get(stage, 0.0) + seconds
    folder.write(name, json.dumps(known, indent=1).encode())
