"""The one training loop, for any model of the registry: one worker or many, CPU or GPU.

A step is a function of (seed, step): the rows of the batch, the noise, the learning rate.  Each worker
takes its stripe of the batch and gradients are averaged, so that the number of workers changes results only
by rounding.  A resumed run continues with the same numbers.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.core.noise import generator
from lfiw_ray.engine.train_log import TrainLog
from lfiw_ray.engine.train_state import TrainState, resume, save
from lfiw_ray.engine.train_watch import CheckpointClock, FiniteGuard, Rank
from lfiw_ray.errors import ConfigError, NonFiniteError
from lfiw_ray.models.averaging import learning_rate
from lfiw_ray.models.noise import BatchNoise
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


class _LossOf(nn.Module):
    """Makes a model's loss its forward pass, which is what gradient averaging hooks into."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(
        self, batch: tuple[torch.Tensor, ...], noise: BatchNoise
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, metrics = self.model.loss(batch, noise)  # type: ignore[operator]
        return loss, metrics


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
        Naming the step whose loss is not finite.
    """
    config, num_rows = job.config, len(data[0])
    if num_rows < config.batch_size:
        raise ConfigError(f"{job.name}: batch_size ({config.batch_size}) is more than the {num_rows} training rows")
    steps_per_epoch = num_rows // config.batch_size
    state = _start(job, rank)
    loss_of = _parallel(state.model, rank)
    folder = Folder(job.folder_url).child("checkpoints")
    guard = FiniteGuard(job.name, rank.device)
    with TrainLog(job.name, config.epochs, Folder(job.folder_url), writes=rank.number == 0) as train_log:
        clock = CheckpointClock(config, rank)
        train_log.resume(state.progress.sums)
        while state.progress.epoch < config.epochs and not state.progress.stopped:
            for step in _steps_left(state, steps_per_epoch):
                metrics = _step(state, loss_of, job, data, step, steps_per_epoch, rank)
                guard.look(_finite_if_all_is(metrics, rank), step)
                train_log.add(metrics)
                state.progress.step = step + 1
                if clock.minutes_are_over(step) and state.progress.step % steps_per_epoch:
                    guard.refuse()
                    state.progress.sums = train_log.sums()
                    _checkpoint(state, folder, job.plan, rank, report, train_log)
            guard.refuse()
            _end_epoch(state, job, held_out, rank, train_log)
            if clock.epochs_are_over(state.progress.epoch):
                _checkpoint(state, folder, job.plan, rank, report, train_log)
    return state


def _start(job: TrainJob, rank: Rank) -> TrainState:
    if rank.device.type == "cpu":
        torch.set_num_threads(job.config.num_threads)
    torch.manual_seed(int(generator(job.seed, "init").integers(2**62)))
    state = TrainState(job.build().to(rank.device), job.config)
    resume(state, Folder(job.folder_url).child("checkpoints"), job.plan)
    return state


def _parallel(model: nn.Module, rank: Rank) -> nn.Module:
    wrapped = _LossOf(model)
    if rank.world_size == 1:
        return wrapped
    devices = [rank.device.index or 0] if rank.device.type == "cuda" else None
    parallel: nn.Module = nn.parallel.DistributedDataParallel(wrapped, device_ids=devices)
    return parallel


def _steps_left(state: TrainState, steps_per_epoch: int) -> Iterator[int]:
    yield from range(state.progress.step, (state.progress.epoch + 1) * steps_per_epoch)


def batch_rows(seed: int, step: int, num_rows: int, batch_size: int) -> np.ndarray:
    """(batch_size,) int64 row numbers of a step; each epoch is one seeded permutation, its rest dropped."""
    epoch, position = divmod(step, num_rows // batch_size)
    return _order(seed, epoch, num_rows)[position * batch_size : (position + 1) * batch_size]


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return generator(seed, "epoch", epoch).permutation(num_rows)


def _stripe(total: int, rank: Rank) -> tuple[int, int]:
    return total * rank.number // rank.world_size, total * (rank.number + 1) // rank.world_size


def _to_device(arrays: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(a[rows]).to(device, non_blocking=True) for a in arrays)


def _precision(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    if config.bf16 and device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _step(
    state: TrainState,
    loss_of: nn.Module,
    job: TrainJob,
    data: tuple[np.ndarray, ...],
    step: int,
    steps_per_epoch: int,
    rank: Rank,
) -> dict[str, torch.Tensor]:
    config = job.config
    start, stop = _stripe(config.batch_size, rank)
    rows = batch_rows(job.seed, step, len(data[0]), config.batch_size)[start:stop]
    noise = BatchNoise(job.seed, step, start, stop, config.batch_size, rank.device)
    lr = learning_rate(config, step, config.epochs * steps_per_epoch)
    for group in state.optimiser.param_groups:
        group["lr"] = lr
    state.model.train()
    state.optimiser.zero_grad(set_to_none=True)
    with _precision(config, rank.device):
        loss, metrics = loss_of(_to_device(data, rows, rank.device), noise)
    if rank.world_size > 1:  # stripes may differ by a row: weigh them so that the gradient is that of the whole batch
        loss = loss * (stop - start) * rank.world_size / config.batch_size
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_norm or math.inf)
    state.optimiser.step()
    if state.average:
        state.average.update(state.model, step)
    return {"loss": loss.detach(), "gradient_norm": norm.detach(), "lr": torch.tensor(lr), **metrics}


def _finite_if_all_is(metrics: dict[str, torch.Tensor], rank: Rank) -> torch.Tensor:
    """A number that is not finite on any worker unless it is on none, so that all stop at the same step."""
    norm = metrics["gradient_norm"]
    return norm if rank.world_size > 1 else norm + metrics["loss"]


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
        with _precision(job.config, rank.device):
            loss, _ = state.model.loss(_to_device(held_out, rows, rank.device), noise)  # type: ignore[operator]
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
