"""The one training loop, for any model of the registry: one worker or many, CPU or GPU.

A step (`engine.train_step`) is a function of (seed, step) on any number of workers, so that a resumed run continues
with the same numbers.

A model may say more than its loss: `players()` names several players with losses of their own (`models.players`), and
`prepare(data, seed)` is called once with the training arrays, before anything is trained or resumed.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.core.noise import generator
from lfiw_ray.engine.train_log import TrainLog
from lfiw_ray.engine.train_state import TrainState, resume, save
from lfiw_ray.engine.train_step import Stepper, batch_of, precision, uses_tensor_cores
from lfiw_ray.engine.train_watch import CheckpointClock, Rank
from lfiw_ray.errors import ConfigError, NonFiniteError
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.tensor_cores import channels_last
from lfiw_ray.store.folder import Folder

_HELD_OUT_NOISE = 1 << 40  # first step number of held-out noise, beyond any training step


class TrainJob(NamedTuple):
    """One training run."""

    name: str  # shown in the log
    build: Callable[[], nn.Module]
    data: tuple[Any, ...]  # arrays of equal length, or references to them
    held_out: tuple[Any, ...] | None
    config: TrainConfig
    seed: int
    plan: str
    folder_url: str


def train(
    job: TrainJob,
    data: tuple[np.ndarray, ...],
    held_out: tuple[np.ndarray, ...] | None,
    rank: Rank,
    report: Callable[[dict[str, float]], None],
) -> TrainState:
    """Train to the end, from the newest checkpoint if there is one.

    Parameters
    ----------
    data : arrays of equal length; a batch is the same rows of each.
    held_out : arrays for the held-out loss, or None.
    report : called on every worker whenever a checkpoint was written, and at the end.

    Raises
    ------
    NonFiniteError
        Naming the step whose loss is not finite, and its player.
    """
    config, num_rows = job.config, len(data[0])
    state = _start(job, data, rank)
    stepper = Stepper(job.name, job.seed, state, rank)
    guard, steps_per_epoch = stepper.guard, _steps_per_epoch(job, num_rows, stepper.updates)
    folder = Folder(job.folder_url).child("checkpoints")
    with TrainLog(job.name, config.epochs, Folder(job.folder_url), writes=rank.number == 0) as train_log:
        clock = CheckpointClock(config, rank)
        train_log.resume(state.progress.sums)
        while state.progress.epoch < config.epochs and not state.progress.stopped:
            for step in _steps_left(state, steps_per_epoch):
                train_log.add(stepper.take(data, step, config.epochs * steps_per_epoch))
                state.progress.step = step + 1
                train_log.step(step + 1, config.epochs * steps_per_epoch)
                if clock.minutes_are_over(step) and state.progress.step % steps_per_epoch:
                    guard.refuse()
                    state.progress.sums = train_log.sums()
                    _checkpoint(state, folder, job.plan, rank, report, train_log)
            guard.refuse()
            _end_epoch(state, job, held_out, rank, train_log)
            if clock.epochs_are_over(state.progress.epoch):
                _checkpoint(state, folder, job.plan, rank, report, train_log)
    return state


def _steps_per_epoch(job: TrainJob, num_rows: int, updates: int) -> int:
    """Steps that use each row about once: every update of a step takes a batch."""
    size, patience = job.config.batch_size, job.config.patience_epochs
    if updates > 1 and patience:
        raise ConfigError(
            f"{job.name}: patience_epochs ({patience}) must be 0: an adversarial model's loss does not say when to stop"
        )
    if num_rows < size * updates:
        each = f" times the {updates} updates of a step" if updates > 1 else ""
        raise ConfigError(f"{job.name}: batch_size ({size}){each} is more than the {num_rows} training rows")
    return num_rows // (size * updates)


def _start(job: TrainJob, data: tuple[np.ndarray, ...], rank: Rank) -> TrainState:
    if rank.device.type == "cpu":
        torch.set_num_threads(job.config.num_threads)
    torch.manual_seed(int(generator(job.seed, "init").integers(2**62)))
    model = job.build().to(rank.device)
    if uses_tensor_cores(job.config, rank.device):
        channels_last(model)
    if hasattr(model, "prepare"):
        model.prepare(data, job.seed)  # type: ignore[operator]
    state = TrainState(model, job.config)
    resume(state, Folder(job.folder_url).child("checkpoints"), job.plan)
    return state


def _steps_left(state: TrainState, steps_per_epoch: int) -> Iterator[int]:
    yield from range(state.progress.step, (state.progress.epoch + 1) * steps_per_epoch)


def _end_epoch(
    state: TrainState, job: TrainJob, held_out: tuple[np.ndarray, ...] | None, rank: Rank, train_log: TrainLog
) -> None:
    progress, config = state.progress, job.config
    progress.epoch, progress.sums = progress.epoch + 1, {}
    entry = {"epoch": float(progress.epoch), "step": float(progress.step), **train_log.epoch_means()}
    if held_out is not None:
        entry["held_out_loss"] = loss = held_out_loss(state, job, held_out, rank)
        if not math.isfinite(loss):
            raise NonFiniteError(f"{job.name}: held-out loss is {loss} after epoch {progress.epoch}; lower train.lr")
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.bad_epochs = loss, 0
            state.keep_best()
        else:
            progress.bad_epochs += 1
        progress.stopped = 0 < config.patience_epochs <= progress.bad_epochs
    progress.history.append(entry)
    train_log.epoch(entry, progress.stopped)


@torch.no_grad()
def held_out_loss(state: TrainState, job: TrainJob, held_out: tuple[np.ndarray, ...], rank: Rank) -> float:
    """Mean loss of the averaged weights over the held-out rows, with the same noise every time."""
    kept = {name: t.clone() for name, t in state.model.state_dict().items()}
    state.model.load_state_dict(state.averaged())
    state.model.eval()
    total, num_rows, size = torch.zeros(1, dtype=torch.float64), len(held_out[0]), job.config.batch_size
    for index in range(rank.number, -(-num_rows // size), rank.world_size):
        rows = np.arange(index * size, min((index + 1) * size, num_rows))
        noise = BatchNoise(job.seed, _HELD_OUT_NOISE + index, 0, len(rows), len(rows), rank.device)
        with precision(job.config, rank.device):
            loss, _ = state.model.loss(batch_of(held_out, rows, rank.device), noise)  # type: ignore[operator]
        total += loss.double().cpu() * len(rows)
    state.model.load_state_dict(kept)
    return float(_sum_over_workers(total, rank)) / num_rows


def _sum_over_workers(value: torch.Tensor, rank: Rank) -> torch.Tensor:
    if rank.world_size == 1:
        return value
    moved = value.to(rank.device)
    dist.all_reduce(moved)
    return moved.cpu()


def _checkpoint(
    state: TrainState,
    folder: Folder,
    plan: str,
    rank: Rank,
    report: Callable[[dict[str, float]], None],
    train_log: TrainLog,
) -> None:
    if rank.number == 0:
        save(state, folder, plan)
        train_log.publish()
    report({**(state.progress.history[-1] if state.progress.history else {}), "step": float(state.progress.step)})
