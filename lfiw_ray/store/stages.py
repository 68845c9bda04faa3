"""Stage folders that are not sharded: named files and one done mark over all of them.

`done.json` is written last, is sealed, and holds the plan, each file's size and SHA-256, and the stage's small
result.
"""

import hashlib
from typing import Any

from lfiw_ray.errors import StoreError
from lfiw_ray.store.folder import Folder
from lfiw_ray.store.seal import sealed, unsealed

MARK = "done.json"


def finish(folder: Folder, plan: str, files: dict[str, bytes], result: dict[str, Any]) -> dict[str, Any]:
    """Write the files, then the mark; return the result."""
    noted = {}
    for name, data in files.items():
        folder.write(name, data)
        noted[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    folder.write(MARK, sealed({"plan": plan, "files": noted, "result": result}))
    return result


def finished(folder: Folder, plan: str) -> dict[str, Any] | None:
    """The stage's result, or None when it is not finished.

    Raises
    ------
    StoreError
        When it was finished by another plan, or a file of it is missing or has another size.
    """
    if not folder.exists(MARK):
        return None
    mark = _mark(folder)
    if mark["plan"] != plan:
        raise StoreError(
            f"{folder.url} was made by plan {mark['plan']}, this run's is {plan}; choose another run folder (--run) "
            f"or remove {folder.url}"
        )
    sizes = folder.sizes()
    for name, noted in mark["files"].items():
        if sizes.get(name) != noted["bytes"]:
            found = "is missing" if name not in sizes else f"has {sizes[name]} bytes instead of {noted['bytes']}"
            raise StoreError(f"{folder.path(name)} {found}; run again with --repair to make it again")
    result: dict[str, Any] = mark["result"]
    return result


def damaged(folder: Folder) -> str | None:
    """What is wrong with a finished stage's files, or None; reads every byte."""
    if not folder.exists(MARK):
        return None
    try:
        for name in _mark(folder)["files"]:
            read(folder, name)
    except StoreError as err:
        return str(err)
    return None


def discard(folder: Folder) -> None:
    """Make a stage unfinished again."""
    folder.remove(MARK)


def read(folder: Folder, name: str) -> bytes:
    """A finished stage's file, checked against its mark.

    Raises
    ------
    StoreError
        When the stage is not finished, or the file is missing or altered.
    """
    if not folder.exists(MARK):
        raise StoreError(f"{folder.url} is not finished; run the stage that writes it")
    noted = _mark(folder)["files"].get(name)
    if noted is None:
        raise StoreError(f"{folder.url} has no file {name}; its mark names {sorted(_mark(folder)['files'])}")
    data = folder.read(name)
    if len(data) != noted["bytes"] or hashlib.sha256(data).hexdigest() != noted["sha256"]:
        raise StoreError(f"{folder.path(name)} is torn or was altered; run again with --repair to make it again")
    return data


def _mark(folder: Folder) -> dict[str, Any]:
    try:
        mark = unsealed(folder.read(MARK))
        if not _is_sound(mark):
            raise ValueError(f"it has the keys {sorted(mark)}, or values of another kind")
        return mark
    except ValueError as err:
        raise StoreError(f"{folder.path(MARK)} is not a done mark ({err}); run again with --repair") from err


def _is_sound(mark: dict[str, Any]) -> bool:
    kinds = {"plan": str, "files": dict, "result": dict}
    if mark.keys() != kinds.keys() or not all(isinstance(mark[name], kind) for name, kind in kinds.items()):
        return False
    return all(isinstance(noted, dict) and noted.keys() == {"bytes", "sha256"} for noted in mark["files"].values())
