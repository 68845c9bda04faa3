"""Do unlabelled samples help a classifier with few labels, and do resampled ones help more?  A Ray Tune sweep.

Every (arm, repeat) is one trial of `semantic_trial.run_trial`.  A repeat draws `num_labels` labelled rows, equally
many of each class, and the same number of unlabelled rows from every arm's images; what it draws depends on
(seed, repeat) alone.  The arms:

| arm | unlabelled rows |
|---|---|
| `labels` | none |
| `raw` | samples of the generator |
| `resampled` | rows of the resampled set, each as often as its multiplicity says |
| `real` | real images without their labels: what perfect samples would give |

The sweep is a Tune experiment named after the plan: run again with the same plan and storage it keeps the trials
that ended and runs the others (with the concurrency of the first run, which Tune keeps).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from ray import tune

from lfiw_ray.config import DownstreamConfig
from lfiw_ray.core import noise
from lfiw_ray.engine.experiment import metrics_of, run_trials
from lfiw_ray.errors import ConfigError, WorkerError
from lfiw_ray.studies.semantic_summary import LABELS, summarise
from lfiw_ray.studies.semantic_trial import Trial, TrialResult, run_trial


@dataclass(frozen=True)
class DownstreamData:
    """The images of the study; all uint8 (N, H, W, C) of one shape, labels int64 in 0 .. classes - 1.

    labelled_x, labelled_y : real rows of which each repeat draws a few.
    test_x, test_y : real evaluation rows, used for the final accuracy only.
    unlabelled : arm name to its rows, in the order of the report; a row that was drawn m times stands m times.
    """

    labelled_x: np.ndarray
    labelled_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    unlabelled: Mapping[str, np.ndarray]


def sweep(
    config: DownstreamConfig, seed: int, plan: str, storage_url: str, data: DownstreamData, num_gpus: float
) -> dict[str, Any]:
    """Run all trials, or those that are missing, and compare the arms.

    Parameters
    ----------
    plan : names the Tune experiment, so it must depend on all that decides the result.
    storage_url : absolute folder or URL (s3://, gs://) that all nodes can write.
    num_gpus : GPUs of a trial; 0 trains on the CPU.

    Returns
    -------
    dict of plain values: the one of `semantic_summary.summarise` and `num_labels`, `num_unlabelled` (rows of every
    arm that has any: the configured number, or all rows of the smallest arm when it has fewer), `num_updates`,
    `num_repeats`, `num_test_rows`.

    Raises
    ------
    ConfigError : too few labelled rows of a class.
    WorkerError : a trial failed for good; the message names it.
    """
    num_unlabelled = _check(config, data)
    arms = [LABELS, *data.unlabelled]
    device = "cuda" if num_gpus > 0 else "cpu"
    fixed = {"config": config, "seed": seed, "num_unlabelled": num_unlabelled, "device": device}
    trainable = tune.with_resources(tune.with_parameters(_trial, data=data, **fixed), {"cpu": 1, "gpu": num_gpus})
    space = {"arm": tune.grid_search(arms), "repeat": tune.grid_search(list(range(config.num_seeds)))}
    options = {"max_concurrent_trials": config.max_concurrent}
    results = _collect(run_trials(trainable, space, options, f"downstream-{plan}", storage_url))
    accuracies = {arm: _accuracies(results, arm, config, num_unlabelled) for arm in arms}
    return summarise(accuracies) | {
        "num_labels": config.num_labels,
        "num_unlabelled": num_unlabelled,
        "num_updates": config.num_updates,
        "num_repeats": config.num_seeds,
        "num_test_rows": len(data.test_x),
    }


def labelled_rows(y: np.ndarray, num_labels: int, seed: int, repeat: int) -> np.ndarray:
    """(num_labels,) int64 rows of `y`: equally many of each class, a random few classes get the remainder.

    Raises
    ------
    ConfigError : a class has too few rows, or there are more classes than labels.
    """
    rng = noise.generator(seed, "downstream labels", repeat)
    num_classes = int(y.max()) + 1
    if num_labels < num_classes:
        raise ConfigError(f"downstream.num_labels ({num_labels}) is less than the {num_classes} classes; raise it")
    wanted = np.full(num_classes, num_labels // num_classes)
    wanted[rng.permutation(num_classes)[: num_labels % num_classes]] += 1
    rows = []
    for label, count in enumerate(wanted):
        of_class = np.flatnonzero(y == label)
        if len(of_class) < count:
            raise ConfigError(
                f"downstream.num_labels ({num_labels}) asks for {count} rows of class {label}, "
                f"which has {len(of_class)}; lower it"
            )
        rows.append(rng.permutation(of_class)[:count])
    return np.concatenate(rows)


def _trial(
    params: dict[str, Any],
    data: DownstreamData,
    config: DownstreamConfig,
    seed: int,
    num_unlabelled: int,
    device: str,
) -> None:
    """The function that Tune runs: draw the repeat's rows, train, report once."""
    torch.set_num_threads(1)
    arm, repeat = params["arm"], params["repeat"]
    trial = Trial(
        arm=arm,
        seed=seed,
        repeat=repeat,
        num_classes=int(data.labelled_y.max()) + 1,
        num_updates=config.num_updates,
        batch_size=config.batch_size,
        lr=config.lr,
        semantic_weight=config.semantic_weight,
    )
    rows = labelled_rows(data.labelled_y, config.num_labels, seed, repeat)
    unlabelled = None
    if arm != LABELS:
        pool = data.unlabelled[arm]
        rng = noise.generator(seed, "downstream unlabelled rows", repeat)
        unlabelled = pool[rng.permutation(len(pool))[:num_unlabelled]]
    x, y = data.labelled_x[rows], data.labelled_y[rows]
    tune.report(asdict(run_trial(trial, x, y, unlabelled, data.test_x, data.test_y, device)))


def _check(config: DownstreamConfig, data: DownstreamData) -> int:
    """Fail here, in the driver, rather than in every trial; returns the unlabelled rows of each arm."""
    if not data.unlabelled or LABELS in data.unlabelled:
        raise ValueError(f"unlabelled arms: at least one, none called {LABELS!r}; got {list(data.unlabelled)}")
    empty = [arm for arm, rows in data.unlabelled.items() if len(rows) == 0]
    if empty:
        raise ValueError(f"unlabelled arms without a row: {empty}")
    labelled_rows(data.labelled_y, config.num_labels, seed=0, repeat=0)
    return min(config.num_unlabelled, *(len(rows) for rows in data.unlabelled.values()))


def _collect(grid: "tune.ResultGrid") -> list[TrialResult]:
    """The trials' results; any that failed is an error."""
    keys = [field.name for field in fields(TrialResult)]
    found = metrics_of(grid, "downstream", lambda trial: f"arm {trial['arm']}, repeat {trial['repeat']}", keys)
    return [TrialResult(**{key: metrics[key] for key in keys}) for metrics in found]


def _accuracies(results: list[TrialResult], arm: str, config: DownstreamConfig, num_unlabelled: int) -> np.ndarray:
    """(num_seeds,) float64 accuracies of an arm, in order of repeats, once the arms are known to be comparable."""
    labels = {result.repeat: result for result in results if result.arm == LABELS}
    mine = sorted((result for result in results if result.arm == arm), key=lambda result: result.repeat)
    if [result.repeat for result in mine] != list(range(config.num_seeds)):
        raise WorkerError(f"downstream, arm {arm}: repeats {[r.repeat for r in mine]}, not 0..{config.num_seeds - 1}")
    work = (config.num_updates, 0 if arm == LABELS else num_unlabelled)
    for result in mine:
        same_rows = result.labelled_crc == labels[result.repeat].labelled_crc
        if not same_rows or (result.num_updates, result.num_unlabelled) != work:
            raise WorkerError(f"downstream, arm {arm}, repeat {result.repeat}: not comparable with {LABELS}: {result}")
    return np.array([result.accuracy for result in mine])
