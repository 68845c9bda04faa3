"""Where the studies of known answer keep their results in a run folder: studies/<name>/results.json.

They do not depend on the run's data or models, only on its seed, so each has a plan of its own that is not part of
the run's: one may be added to a finished run.
"""

import json
from typing import Any

from lfiw_ray.core.digest import digest
from lfiw_ray.engine.run import Run
from lfiw_ray.store import stages
from lfiw_ray.store.contents import parsed
from lfiw_ray.store.folder import Folder

NAME = "results.json"
FORMAT = 1  # raised when a study computes something else


def is_finished(run: Run, name: str) -> bool:
    """Whether a study is done; StoreError when another seed or format has done it there."""
    return stages.finished(_folder(run, name), _plan(run, name)) is not None


def write(run: Run, name: str, results: dict[str, Any]) -> None:
    """Keep a study's results, which must be plain finite values."""
    body = json.dumps(results, indent=1, allow_nan=False).encode()
    stages.finish(_folder(run, name), _plan(run, name), {NAME: body}, {})


def read(run: Run, name: str) -> dict[str, Any] | None:
    """A study's results; None when it was not run."""
    if not is_finished(run, name):
        return None
    results: dict[str, Any] = parsed(stages.read(_folder(run, name), NAME), url(run, name))
    return results


def url(run: Run, name: str) -> str:
    """Address of a study's results."""
    return f"{_folder(run, name).url}/{NAME}"


def _folder(run: Run, name: str) -> Folder:
    return run.folder("studies").child(name)


def _plan(run: Run, name: str) -> str:
    return digest({"study": name, "seed": run.config.seed, "format": FORMAT})
