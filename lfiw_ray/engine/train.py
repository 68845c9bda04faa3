"""Runs a training job on Ray Train (or in this process), and keeps what comes out of it."""

import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import ray
import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device

from lfiw_ray.engine.cluster import unwrapped
from lfiw_ray.engine.models import WEIGHTS
from lfiw_ray.engine.relay import RelayHandler, relayed
from lfiw_ray.engine.train_loop import TrainJob, train
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.engine.train_watch import Rank
from lfiw_ray.errors import ConfigError, LfiwError, NonFiniteError
from lfiw_ray.models.checkpoint import tensors_to_bytes
from lfiw_ray.store.folder import Folder

HISTORY = "history.json"


class Trained(NamedTuple):
    """What comes out: files of the finished model (weights, history), and the metrics of the last epoch."""

    files: dict[str, bytes]
    last: dict[str, float]


def fit(job: TrainJob, num_gpus: float) -> Trained:
    """Train to the end, from the newest checkpoint if there is one.

    `job.data` may hold references into Ray's object store, whose arrays all workers of a node share.

    Raises
    ------
    NonFiniteError
        Naming the step.
    WorkerError
        When workers were lost more often than `max_failures`.
    """
    if job.config.num_workers == 0:
        device = torch.device("cuda" if num_gpus else "cpu")
        return _trained(_run(job, Rank(0, 1, device), lambda _: None))
    outcome = _launch(job, num_gpus)
    if isinstance(outcome, LfiwError):
        raise outcome
    trained: Trained = outcome
    return trained


def _launch(job: TrainJob, num_gpus: float) -> Any:
    """One Ray Train run.  Its name holds the plan: a reused name would silently resume another run."""
    config = job.config
    with unwrapped(f"training {job.name}"), relayed() as lines:
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": job, "lines": lines},
            scaling_config=ScalingConfig(
                num_workers=config.num_workers,
                use_gpu=num_gpus > 0,
                resources_per_worker={"CPU": config.cpus_per_worker} | ({"GPU": num_gpus} if num_gpus else {}),
            ),
            run_config=RunConfig(
                name=f"{job.name}-{job.plan}",
                storage_path=Folder(job.folder_url).child("ray_train").absolute_url(),
                failure_config=FailureConfig(max_failures=config.max_failures),
            ),
        )
        return trainer.fit().return_value


def _worker(arguments: dict[str, Any]) -> Any:
    """What each Ray Train worker runs.

    An expected failure is returned instead of raised: it would fail again, so it must not be retried.
    """
    job: TrainJob = arguments["job"]
    ours = logging.getLogger("lfiw_ray")
    ours.setLevel(logging.INFO)
    ours.addHandler(RelayHandler(arguments["lines"]))
    context = ray.train.get_context()
    rank = Rank(context.get_world_rank(), context.get_world_size(), get_device())
    try:
        state = _run(job, rank, ray.train.report)
    except LfiwError as err:
        if rank.world_size == 1 or isinstance(err, NonFiniteError | ConfigError):  # met by all alike
            return err
        raise
    return _trained(state) if rank.number == 0 else None


def _run(job: TrainJob, rank: Rank, report: Callable[[dict[str, float]], None]) -> TrainState:
    return train(job, _arrays(job.data), _arrays(job.held_out) if job.held_out else None, rank, report)


def _arrays(data: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """Arrays of references; views into the node's shared memory, not copies."""
    return tuple(ray.get(a) if isinstance(a, ray.ObjectRef) else a for a in data)


def _trained(state: TrainState) -> Trained:
    kept = state.best if state.best is not None and state.config.patience_epochs else state.averaged()
    history = json.dumps(state.progress.history, allow_nan=False).encode()
    return Trained({WEIGHTS: tensors_to_bytes(kept), HISTORY: history}, state.progress.history[-1])
