"""Pools of actors over shard ids, chained so that a later pool works on a shard as soon as it is committed.

Built on Ray Data: a dataset of shard ids, `map_batches` on an actor pool for each step.  Rows never travel:
a worker reads and writes storage and hands on a few numbers.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import ray
import ray.data
import torch

from lfiw_ray import errors
from lfiw_ray.config_pool import PoolConfig
from lfiw_ray.engine.cluster import capacity, unwrapped
from lfiw_ray.errors import ConfigError, LfiwError, WorkerError

log = logging.getLogger(__name__)

TASK_RETRIES = 3  # of a shard whose worker died; then the shard fails with its name
NO_PROGRESS_TIMEOUT_S = 1800.0
_SECONDS_BETWEEN_LINES = 10.0


class ShardWorker(Protocol):
    """Does one step for one shard; a plain class that a test calls without a cluster."""

    def run_shard(self, shard: int) -> int:
        """Do the work and commit it; returns the number of rows."""
        ...


class Step(NamedTuple):
    """One pool of a chain.

    `at_once` shards are in the hands of an actor, each in a thread; a worker that takes more than one says itself
    which of its work may overlap.
    """

    name: str
    worker: Callable[[], ShardWorker]
    pool: PoolConfig
    num_gpus: float
    at_once: int = 1


class _Actor:
    """What Ray Data calls: one worker, one shard a call.

    An expected failure travels in the row as its class and message: Ray Data keeps only the text of an exception,
    and would retry it.
    """

    def __init__(self, step: Step):
        if not step.num_gpus:
            torch.set_num_threads(step.pool.num_threads)
        self._name, self._worker = step.name, step.worker()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (shard,) = batch["shard"]
        rows, failure, began = 0, str(batch["failure"][0]), time.monotonic()
        if not failure:
            try:
                rows = self._worker.run_shard(int(shard))
            except LfiwError as err:
                failure = f"{type(err).__name__} {err}"
        done = {f"{self._name}_rows": [rows], f"{self._name}_s": [time.monotonic() - began], "failure": [failure]}
        return {**batch, **{name: np.array(column) for name, column in done.items()}}


def run_shards(what: str, shards: Sequence[int], steps: Sequence[Step]) -> dict[str, float]:
    """Do all steps for all shards; returns rows and busy seconds of each step.

    Raises
    ------
    LfiwError
        The first expected failure of a worker, as itself.
    WorkerError
        When workers died more often than a shard is retried, or a shard was lost.
    """
    if not shards:
        return {}
    totals: dict[str, float] = {}
    left = set(shards)
    _check_room(steps)
    progress = _Progress(what, len(shards))
    try:
        with unwrapped(what):
            for row in _stream(shards, steps):
                left.remove(int(row.pop("shard")))
                _raise_failure(row.pop("failure"))
                for name, value in row.items():
                    totals[name] = totals.get(name, 0.0) + float(value)
                progress.show(len(shards) - len(left), totals)
    except WorkerError as err:
        raise WorkerError(f"{str(err).rstrip('.')}; shards not done: {_shown(sorted(left))}") from err
    if left:
        raise WorkerError(f"{what}: {len(left)} of {len(shards)} shards were lost; run again to resume")
    return totals


def _stream(shards: Sequence[int], steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    context.print_on_execution_start = False
    with warnings.catch_warnings():
        # Ray 2.60 has no named argument for the number of retries yet; without it a poisonous shard retries for ever.
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        dataset = ray.data.from_items(
            [{"shard": shard, "failure": ""} for shard in shards], override_num_blocks=len(shards)
        )
        for step in steps:
            dataset = dataset.map_batches(
                type(step.name.capitalize(), (_Actor,), {}),  # the name that the dashboard shows
                batch_size=1,
                compute=_strategy(step.pool, step.at_once),
                fn_constructor_args=(step,),
                num_cpus=step.pool.cpus_per_actor,
                num_gpus=step.num_gpus or None,
                max_concurrency=step.at_once,
                max_restarts=-1,
                max_task_retries=TASK_RETRIES,
            )
        yield from dataset.iter_rows()


def _raise_failure(failure: str) -> None:
    if failure:
        name, _, message = failure.partition(" ")
        raise getattr(errors, name)(message)


def _check_room(steps: Sequence[Step]) -> None:
    """Pools that do not fit the cluster side by side may wait for each other for ever."""
    names = ", ".join(step.name for step in steps)
    for kind, wanted, field in (
        ("CPU", sum(step.pool.min_actors * step.pool.cpus_per_actor for step in steps), "cpus_per_actor"),
        ("GPU", sum(step.pool.min_actors * step.num_gpus for step in steps), "num_gpus"),
    ):
        found = capacity(kind)
        if wanted > found:
            raise ConfigError(
                f"pool: the smallest pools of {names} take {wanted:g} {kind}s, the cluster has {found:g}; "
                f"use fewer min_actors or less {field}"
            )


def _strategy(pool: PoolConfig, at_once: int) -> ray.data.ActorPoolStrategy:
    waiting = at_once + 1  # so that no actor is idle until the driver has heard of its last shard
    if pool.min_actors == pool.max_actors:
        return ray.data.ActorPoolStrategy(size=pool.min_actors, max_tasks_in_flight_per_actor=waiting)
    return ray.data.ActorPoolStrategy(
        min_size=pool.min_actors, max_size=pool.max_actors, max_tasks_in_flight_per_actor=waiting
    )


def _shown(shards: Sequence[int]) -> str:
    first = ", ".join(f"{s:05d}" for s in shards[:5])
    return first + (", ..." if len(shards) > 5 else "")


class _Progress:
    """A line in the log every few seconds."""

    def __init__(self, what: str, total: int):
        self._what, self._total = what, total
        self._began = self._last = time.monotonic()

    def show(self, done: int, totals: dict[str, float]) -> None:
        now = time.monotonic()
        if done < self._total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        rows = max((v for k, v in totals.items() if k.endswith("_rows")), default=0.0)
        rate = rows / (now - self._began)
        log.info("%s: %d of %d shards, %d rows, %.0f rows/s", self._what, done, self._total, rows, rate)
