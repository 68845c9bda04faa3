"""One step of the training: each player of the model in turn makes its updates.

An update is a function of (seed, step, update of the step): its rows, its noise, the learning rate.  Each worker
takes its stripe of the batch and gradients are averaged, so that the number of workers changes results only by
rounding.  Buffers need no average: those that a batch decides come from statistics that the workers have summed
(`models.batch_norm`), the others from the weights alone (`models.spectral_norm`).
"""

import math
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from lfiw_ray.config import TrainConfig
from lfiw_ray.core.noise import generator
from lfiw_ray.engine.train_state import TrainState
from lfiw_ray.engine.train_watch import FiniteGuard, Rank
from lfiw_ray.models.averaging import learning_rate
from lfiw_ray.models.noise import BatchNoise
from lfiw_ray.models.players import Batch, Loss, Player
from lfiw_ray.models.tensor_cores import bfloat16
from lfiw_ray.models.transfer import to_device

Metrics = dict[str, torch.Tensor]


class _Lowered(nn.Module):
    """Makes a player's loss a forward pass, which is what gradient averaging hooks into."""

    def __init__(self, model: nn.Module, loss: Loss):
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Batch, noise: BatchNoise) -> tuple[torch.Tensor, Metrics]:
        return self._loss(batch, noise)


def _parallel(lowered: nn.Module, rank: Rank) -> nn.Module:
    """The same with its gradients averaged over the workers; of those parameters that need one now."""
    if rank.world_size == 1:
        return lowered
    devices = [rank.device.index or 0] if rank.device.type == "cuda" else None
    parallel: nn.Module = nn.parallel.DistributedDataParallel(lowered, device_ids=devices)
    return parallel


class Stepper:
    """Takes the steps of one training run.

    Attributes
    ----------
    updates : optimiser updates a step, of all players; each has a batch of rows of its own.
    """

    def __init__(self, name: str, seed: int, state: TrainState, rank: Rank):
        self._seed, self._state, self._rank = seed, state, rank
        self.updates = sum(player.steps for player in state.players)
        self.guard = FiniteGuard(name, tuple(player.name for player in state.players), rank.device)
        self._losses: list[nn.Module] = []
        for player in state.players:
            self._let_learn(player)
            self._losses.append(_parallel(_Lowered(state.model, player.loss), rank))

    def take(self, data: tuple[np.ndarray, ...], step: int, num_steps: int) -> Metrics:
        """Step `step` of `num_steps` on arrays of equal length; metrics are means over a player's updates."""
        state, size = self._state, self._state.config.batch_size
        lr = learning_rate(state.config, step, num_steps)
        rows = batch_rows(self._seed, step, len(data[0]), size * self.updates)
        state.model.train()
        metrics: Metrics = {"lr": torch.tensor(lr)}
        update = 0
        for index, player in enumerate(state.players):
            self._let_learn(player)
            for group in state.optimisers[player.name].param_groups:
                group["lr"] = lr
            for _ in range(player.steps):
                number = step * self.updates + update
                found = self._update(index, data, rows[update * size : (update + 1) * size], number)
                self.guard.look(_finite_if_all_is(found, self._rank), step, index)
                _add(metrics, found, player)
                update += 1
        if state.average:
            state.average.update(state.model, step)
        return metrics

    def _let_learn(self, player: Player) -> None:
        """Let gradients reach one player's parameters only."""
        for name, optimiser in self._state.optimisers.items():
            for group in optimiser.param_groups:
                for parameter in group["params"]:
                    parameter.requires_grad_(name == player.name)

    def _update(self, index: int, data: tuple[np.ndarray, ...], rows: np.ndarray, number: int) -> Metrics:
        """Update `number` of the run, by the player of this index."""
        state, rank, size = self._state, self._rank, len(rows)
        optimiser = state.optimisers[state.players[index].name]
        start, stop = _stripe(size, rank)
        noise = BatchNoise(self._seed, number, start, stop, size, rank.device)
        optimiser.zero_grad(set_to_none=True)
        with precision(state.config, rank.device):
            loss, metrics = self._losses[index](batch_of(data, rows[start:stop], rank.device), noise)
        if rank.world_size > 1:  # stripes may differ by a row: weigh them so that the gradient is the whole batch's
            loss = loss * (stop - start) * rank.world_size / size
        loss.backward()
        learned = [p for group in optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(learned, state.config.clip_norm or math.inf)
        optimiser.step()
        return {"loss": loss.detach(), "gradient_norm": norm.detach(), **metrics}


def _add(metrics: Metrics, found: Metrics, player: Player) -> None:
    """Put the metrics of an update under the player's name."""
    for name, value in found.items():
        key = f"{player.name}_{name}" if player.name else name
        share = value / player.steps if player.steps > 1 else value
        metrics[key] = metrics[key] + share if key in metrics else share


def _finite_if_all_is(metrics: Metrics, rank: Rank) -> torch.Tensor:
    """A number that is not finite on any worker unless it is on none, so that all stop at the same step."""
    norm = metrics["gradient_norm"]
    return norm if rank.world_size > 1 else norm + metrics["loss"]


def batch_rows(seed: int, step: int, num_rows: int, batch_size: int) -> np.ndarray:
    """(batch_size,) int64 row numbers of a step; each epoch is one seeded permutation, its rest dropped."""
    epoch, position = divmod(step, num_rows // batch_size)
    return _order(seed, epoch, num_rows)[position * batch_size : (position + 1) * batch_size]


@lru_cache(maxsize=1)
def _order(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    return generator(seed, "epoch", epoch).permutation(num_rows)


def _stripe(total: int, rank: Rank) -> tuple[int, int]:
    return total * rank.number // rank.world_size, total * (rank.number + 1) // rank.world_size


def batch_of(arrays: tuple[np.ndarray, ...], rows: np.ndarray, device: torch.device) -> Batch:
    """The given rows of each array as tensors on a device."""
    return tuple(to_device(a[rows], device) for a in arrays)


def precision(config: TrainConfig, device: torch.device) -> AbstractContextManager[Any]:
    """What a forward pass runs under: bfloat16 autocast on a GPU where it is asked for."""
    return bfloat16(device, uses_tensor_cores(config, device))


def uses_tensor_cores(config: TrainConfig, device: torch.device) -> bool:
    """Whether bfloat16 is asked for, on a GPU: a CPU trains in float32 whatever is asked."""
    return config.bf16 and device.type == "cuda"
