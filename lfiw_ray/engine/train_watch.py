"""What watches a training run: is the loss finite, is a checkpoint due; alike on all workers."""

import time
from typing import NamedTuple

import torch
import torch.distributed as dist

from lfiw_ray.config import TrainConfig
from lfiw_ray.errors import NonFiniteError

_LOOK_EVERY = 50  # steps between looks on a GPU, where each look waits for the device


class Rank(NamedTuple):
    """This worker among the workers of the run."""

    number: int
    world_size: int
    device: torch.device


class FiniteGuard:
    """Remembers the first step whose loss is not finite, and whose loss it was.

    The gradient norm is the same on all workers, so all stop at the same step.  On a GPU the memory stays on
    the device and is read every few steps and before anything is kept.
    """

    def __init__(self, name: str, players: tuple[str, ...], device: torch.device):
        self._name, self._players = name, players
        self._on_cpu = device.type == "cpu"
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=device)

    def look(self, value: torch.Tensor, step: int, player: int = 0) -> None:
        """Take in a number of this step, of the player of this index, that must be finite."""
        bad = ~torch.isfinite(value) & (self._first_bad < 0)
        self._first_bad = torch.where(bad, step * len(self._players) + player, self._first_bad)
        if self._on_cpu or step % _LOOK_EVERY == 0:
            self.refuse()

    def refuse(self) -> None:
        """Raise NonFiniteError when a step so far was not finite."""
        step, player = divmod(int(self._first_bad), len(self._players))
        if step >= 0:
            whose = f" of the {self._players[player]}" if self._players[player] else ""
            raise NonFiniteError(
                f"{self._name}: loss or gradient{whose} is not finite at step {step}; lower its train.lr"
            )


class CheckpointClock:
    """Decides, alike on all workers, when a checkpoint is due."""

    def __init__(self, config: TrainConfig, rank: Rank):
        self._config, self._rank, self._last = config, rank, time.monotonic()

    def minutes_are_over(self, step: int) -> bool:
        """Whether the minutes since the last checkpoint are over; asked every few steps only."""
        if step % _LOOK_EVERY:
            return False
        due = time.monotonic() - self._last > 60 * self._config.checkpoint_every_minutes
        return self._agreed(due)

    def epochs_are_over(self, epoch: int) -> bool:
        """Whether this many epochs call for a checkpoint."""
        due = epoch % self._config.checkpoint_every_epochs == 0 or epoch == self._config.epochs
        return due and self._agreed(True)

    def _agreed(self, due: bool) -> bool:
        """Worker 0's answer, whose clock counts."""
        if self._rank.world_size > 1:
            flag = torch.tensor([float(due)], device=self._rank.device)
            dist.broadcast(flag, 0)
            due = bool(flag.item())
        if due:
            self._last = time.monotonic()
        return due
