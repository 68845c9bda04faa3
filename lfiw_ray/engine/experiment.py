"""A Ray Tune experiment that can be killed at any moment and goes on where it stood.

An experiment is named after the plan of what it computes: run again with the same name and storage it keeps the
trials that ended and runs the others, with the concurrency and the scheduler's options of its first run, which Tune
keeps.  Tune itself writes nothing but JSON and says nothing.
"""

import logging
import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.logger import JsonLoggerCallback

from lfiw_ray.engine.cluster import capacity, present
from lfiw_ray.errors import StoreError, WorkerError
from lfiw_ray.store.failures import explained

MAX_FAILURES = 2  # restarts of a trial, for a lost worker; Tune cannot tell it from a trial that raises


def run_trials(
    trainable: Any,
    space: dict[str, Any],
    options: dict[str, Any],
    name: str,
    storage_url: str,
) -> "tune.ResultGrid":
    """Start the experiment, or go on with it where one of this name exists.

    Parameters
    ----------
    trainable : function of a trial, with its resources.
    space : Tune's parameter space, given again on resuming: a driver killed between two of its writes has left trials
        that only the space can bring back.
    options : of `tune.TuneConfig`.
    storage_url : absolute folder or URL (s3://, gs://) that all nodes can write.

    Raises
    ------
    StoreError
        The storage failed, after the retries of Arrow's client too.
    """
    storage = storage_url if "://" in storage_url else str(Path(storage_url).resolve())
    with _quiet(), _named(path := f"{storage.rstrip('/')}/{name}"):
        if tune.Tuner.can_restore(path):
            tuner = tune.Tuner.restore(path, trainable, param_space=space, resume_unfinished=True, restart_errored=True)
        else:
            tuner = tune.Tuner(
                trainable,
                param_space=space,
                tune_config=tune.TuneConfig(reuse_actors=True, **options),
                run_config=tune.RunConfig(
                    name=name,
                    storage_path=storage,
                    failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                    callbacks=[JsonLoggerCallback()],
                    verbose=0,
                ),
            )
        return tuner.fit()


def metrics_of(
    grid: "tune.ResultGrid", what: str, told: Callable[[dict[str, Any]], str], needed: Collection[str]
) -> list[dict[str, Any]]:
    """What each trial reported last.

    Parameters
    ----------
    what : names the experiment in messages.
    told : a trial's parameters in words.
    needed : keys that a report must have.

    Raises
    ------
    WorkerError
        A trial failed for good, or ended without such a report; names it.
    """
    failed = [(result.config, result.error) for result in grid if result.error is not None]
    if failed:
        names = "; ".join(told(config) for config, _ in failed)
        raise WorkerError(f"{what}: {len(failed)} of {len(grid)} trials failed ({names}): {failed[0][1]}")
    missing = [told(result.config) for result in grid if not set(needed) <= set(result.metrics or {})]
    if missing:
        raise WorkerError(f"{what}: trials ended without a result ({'; '.join(missing)}); run again to repeat them")
    return [dict(result.metrics) for result in grid]


def concurrency(wanted: int | None, num_gpus: float = 0.0) -> int:
    """Trials of one CPU and `num_gpus` GPUs at the same time: as many as the cluster has room for, or as are wanted."""
    room = capacity("CPU")
    if num_gpus > 0:
        room = min(room, capacity("GPU") / num_gpus)
    if math.isinf(room):  # a cluster that grows with what is asked of it
        room = wanted or present("CPU")
    return max(1, min(math.floor(room), wanted or math.floor(room)))


@contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise StoreError(f"cannot keep trials in {path}: {explained(err)}") from err


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune prints a header, logs, and writes CSV and TensorBoard files unless told not to; JSON is all it needs."""
    wanted = {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    before = {key: os.environ.get(key) for key in wanted}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(wanted)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
