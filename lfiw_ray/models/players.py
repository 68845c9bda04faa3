"""Who is trained by what: the players of a model, each with a part of its parameters and a loss of its own.

Most models are their own only player.  An adversarial one names several in a method `players()`: a step of the
training then lets each in turn make its updates, with fresh rows and noise for every update, while the parameters
of the others are held fixed (Goodfellow et al. 2014, algorithm 1).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from lfiw_ray.models.noise import BatchNoise

Batch = tuple[torch.Tensor, ...]
Loss = Callable[[Batch, BatchNoise], tuple[torch.Tensor, dict[str, torch.Tensor]]]


class Player(NamedTuple):
    """One optimiser, what it updates, and what it lowers."""

    name: str  # of the submodule whose parameters are updated; "" is the whole model
    loss: Loss  # mean over the rows of a batch, and detached metrics
    steps: int = 1  # updates in each step of the training
    averaged: bool = True  # keep the moving average of its weights, not the last ones


def players_of(model: nn.Module) -> tuple[Player, ...]:
    """The players in the order of their turns; a model that names none is one player."""
    if hasattr(model, "players"):
        return tuple(model.players())  # type: ignore[operator]
    return (Player("", model.loss),)  # type: ignore[arg-type]


def trained_parameters(model: nn.Module, player: Player) -> list[nn.Parameter]:
    """What a player's optimiser updates."""
    return [p for p in model.get_submodule(player.name).parameters() if p.requires_grad]
