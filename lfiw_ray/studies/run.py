"""Stage: studies of known answer, each one Ray task on one CPU, skipped when its results are there.

A study is a module with `NAME`, `TITLE` and `study(seed)`, which returns plain values documented in its docstring.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import ray
import torch

from lfiw_ray.engine import study_files
from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.run import Run
from lfiw_ray.studies import estimators, gaussians, telescoping, toy

STUDIES: dict[str, ModuleType] = {module.NAME: module for module in (toy, estimators, telescoping, gaussians)}


def run_studies(run: Run, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Run those that are not finished, at the same time where the cluster has the CPUs.

    Returns
    -------
    Per study {"title", "url" (of its results)}, in the order of `names`.

    Raises
    ------
    ValueError
        For a name that is not in `STUDIES`.
    WorkerError
        When a study failed; those before it in `names` are kept.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in STUDIES]
    if unknown:
        raise ValueError(f"no such study: {unknown}; there are {list(STUDIES)}")
    todo = [name for name in wanted if not study_files.is_finished(run, name)]
    tasks = {name: _study.remote(name, run.config.seed) for name in todo}
    for name, reference in tasks.items():
        with unwrapped(f"study {name}"):
            results = ray.get(reference)
        study_files.write(run, name, results)
    return {name: {"title": STUDIES[name].TITLE, "url": study_files.url(run, name)} for name in wanted}


@ray.remote(num_cpus=1)
def _study(name: str, seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)  # another number may round differently
    results: dict[str, Any] = STUDIES[name].study(seed)
    return results
