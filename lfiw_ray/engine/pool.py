"""Pools of actors over shard ids, chained so that a later pool works on a shard as soon as it is committed.

Built on Ray Data: a dataset of shard ids, `map_batches` on an actor pool for each step.  Rows never travel:
a worker reads and writes storage and hands on a few numbers.
"""

import json
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
from lfiw_ray.core import blocks, so_far
from lfiw_ray.core.so_far import SoFar
from lfiw_ray.engine import metrics
from lfiw_ray.engine.cluster import capacity, unwrapped
from lfiw_ray.engine.progress import Progress
from lfiw_ray.errors import ConfigError, LfiwError, WorkerError
from lfiw_ray.store.shards import Mark

TASK_RETRIES = 3  # of a shard whose worker died; then the shard fails with its name
NO_PROGRESS_TIMEOUT_S = 1800.0
WINDOW = 4096  # shards handed to Ray Data at once; the next ones get new actors
COUNTERS = {"generate": "lfiw_samples_generated_total", "score": "lfiw_samples_scored_total"}
"""Steps whose rows have a metric of their own."""


class Done(NamedTuple):
    """A shard that is committed."""

    rows: int
    made: bool = True
    """now, and not in an earlier call"""
    bytes: int = 0
    block_sums: dict[str, Any] | None = None
    """of a shard of weights: what its done mark says of its blocks"""

    @classmethod
    def of(cls, mark: Mark, made: bool) -> "Done":
        """What a done mark says."""
        return cls(mark.rows, made, mark.bytes, mark.extra.get("blocks"))


class ShardWorker(Protocol):
    """Does one step for one shard; a plain class that a test calls without a cluster."""

    def run_shard(self, shard: int) -> Done:
        """Do the work and commit it."""
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
    and would retry it.  That of the worker's own beginning waits for a row to travel in.
    """

    def __init__(self, what: str, step: Step):
        if not step.num_gpus:
            torch.set_num_threads(step.pool.num_threads)
        self._name, self._labels = step.name, {"work": what, "step": step.name}
        if ray.get_runtime_context().was_current_actor_reconstructed:
            metrics.count("lfiw_restarted_workers_total", 1, **self._labels)
        self._refusal: LfiwError | None = None
        try:
            self._worker = step.worker()
        except LfiwError as err:
            self._refusal = err

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        (shard,) = batch["shard"]
        found, failure, began = Done(0, made=False), str(batch["failure"][0]), time.monotonic()
        if not failure:
            try:
                found = self._done(int(shard))
            except LfiwError as err:
                failure = f"{type(err).__name__} {err}"
                metrics.count("lfiw_failed_shards_total", 1, **self._labels)
        seconds = time.monotonic() - began
        if found.made:
            self._count(found, seconds)
        done = {f"{self._name}_rows": [found.rows], f"{self._name}_s": [seconds], "failure": [failure]}
        if found.made and found.block_sums and not batch["weighed"][0]:  # of the first step that gives weights
            done["weighed"] = [json.dumps([found.rows, found.block_sums])]
        return {**batch, **{name: np.array(column) for name, column in done.items()}}

    def _done(self, shard: int) -> Done:
        if self._refusal is not None:
            raise self._refusal
        return self._worker.run_shard(shard)

    def _count(self, found: Done, seconds: float) -> None:
        metrics.count("lfiw_rows_total", found.rows, **self._labels)
        metrics.count("lfiw_written_bytes_total", found.bytes, **self._labels)
        metrics.observe("lfiw_shard_seconds", seconds, **self._labels)
        if self._name in COUNTERS:
            metrics.count(COUNTERS[self._name], found.rows, work=self._labels["work"])


def run_shards(
    what: str, shards: Sequence[int], steps: Sequence[Step], weighed: SoFar = so_far.NOTHING
) -> dict[str, float]:
    """Do all steps for all shards; returns rows and busy seconds of each step.

    `weighed` are the weights of shards that were scored before, for ESS so far.

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
    try:
        with unwrapped(what), Progress(what, len(shards), weighed) as progress:
            for row in _stream(what, shards, steps):
                left.remove(int(row.pop("shard")))
                _raise_failure(row.pop("failure"))
                new = _weights(row.pop("weighed"))
                for name, value in row.items():
                    totals[name] = totals.get(name, 0.0) + float(value)
                progress.add(totals, new)
    except WorkerError as err:
        raise WorkerError(f"{str(err).rstrip('.')}; shards not done: {_shown(sorted(left))}") from err
    if left:
        raise WorkerError(f"{what}: {len(left)} of {len(shards)} shards were lost; run again to resume")
    return totals


def _stream(what: str, shards: Sequence[int], steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    """A row for each shard, in windows: Ray Data's driver keeps some kilobytes of a shard until its dataset is done."""
    for start in range(0, len(shards), WINDOW):
        yield from _window(what, shards[start : start + WINDOW], steps)


def _window(what: str, shards: Sequence[int], steps: Sequence[Step]) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    context.print_on_execution_start = False
    with warnings.catch_warnings():
        # Ray 2.60 has no named argument for the number of retries yet; without it a poisonous shard retries for ever.
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        dataset = ray.data.from_items(
            [{"shard": shard, "failure": "", "weighed": ""} for shard in shards], override_num_blocks=len(shards)
        )
        for step in steps:
            dataset = dataset.map_batches(
                type(step.name.capitalize(), (_Actor,), {}),  # the name that the dashboard shows
                batch_size=1,
                compute=_strategy(step.pool, step.at_once),
                fn_constructor_args=(what, step),
                num_cpus=step.pool.cpus_per_actor,
                num_gpus=step.num_gpus or None,
                max_concurrency=step.at_once,
                max_restarts=-1,
                max_task_retries=TASK_RETRIES,
            )
        yield from dataset.iter_rows()


def _weights(weighed: str) -> SoFar | None:
    if not weighed:
        return None
    rows, block_sums = json.loads(weighed)
    return so_far.of(blocks.from_json(block_sums), rows)


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
