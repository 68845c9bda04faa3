"""`run.json`: the resolved configuration, plans, versions, git commit and seed of a run; written first."""

import json
from collections.abc import Collection
from typing import Any

from lfiw_ray.errors import StoreError
from lfiw_ray.places import shown
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.links import refuse_links

NAME = "run.json"
_SAME_FIELDS = "no field differs: the real data are other ones, or another version of the program made the run"


def differing_fields(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """One line a field whose values differ, in the order of the new configuration."""
    lines = []
    for key in [*new, *(k for k in old if k not in new)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differing_fields(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {shown(before)} there, {shown(after)} now")
    return lines


def open_run(
    folder: Folder,
    planned: dict[str, Any],
    plans: dict[str, str],
    record: dict[str, Any],
    dry: bool = False,
    free: Collection[str] = (),
) -> None:
    """Write `run.json`, or check that the folder's is of the same plan.

    Parameters
    ----------
    planned : the *what* fields, nested.
    plans : plan per stage.
    record : what else is kept: full configuration, versions, git commit.
    dry : only check.
    free : stages, with those below them, that may be of another plan than the folder's.

    Raises
    ------
    StoreError
        When the folder belongs to another plan, with the differing fields; holds a link out of it; cannot be written.
    """
    refuse_links(folder)
    if folder.exists(NAME):
        old = read_run(folder)
        if _bound(old["plans"], free) != _bound(plans, free):
            fields = differing_fields(old["planned"], planned) or [_SAME_FIELDS]
            raise StoreError(
                f"run folder {folder.url} belongs to another plan; choose another one (--run), "
                "or change back:" + "".join(f"\n  {line}" for line in fields)
            )
        return
    if not dry:
        body = {"planned": planned, "plans": plans, **record}
        folder.write(NAME, json.dumps(body, indent=1, sort_keys=True, allow_nan=False).encode())


def _bound(plans: dict[str, str], free: Collection[str]) -> dict[str, str]:
    return {stage: plan for stage, plan in plans.items() if stage.split("/")[0] not in free}


def read_run(folder: Folder) -> dict[str, Any]:
    """Contents of `run.json`; StoreError when it is missing or not understood."""
    try:
        body: dict[str, Any] = json.loads(folder.read(NAME))
        if not body.keys() >= {"planned", "plans"}:
            raise ValueError(f"it has the keys {sorted(body)}")
        if not (isinstance(body["planned"], dict) and isinstance(body["plans"], dict)):
            raise ValueError("its keys `planned` and `plans` are no objects")
    except (ValueError, AttributeError, RecursionError) as err:
        raise StoreError(
            f"{folder.path(NAME)} is not a run's record ({err}); choose another run folder (--run)"
        ) from err
    return body
