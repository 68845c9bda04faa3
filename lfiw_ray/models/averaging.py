"""Exponential moving average of a model's weights, and the learning rate of a step; pure functions of the step."""

import math

import torch
from torch import nn

from lfiw_ray.config import TrainConfig


class Average:
    """Averaged floating-point state of a model (Polyak and Juditsky 1992).

    The decay warms up as min(decay, (1 + step) / (10 + step)), so that short runs do not keep their start.

    Parameters
    ----------
    last : beginnings of the names of what is not averaged but kept as it is after the last step.
    """

    def __init__(self, model: nn.Module, decay: float, last: tuple[str, ...] = ()):
        self._decay, self._last = decay, last
        self.state = {name: t.detach().clone() for name, t in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, t in model.state_dict().items():
            if t.is_floating_point() and not name.startswith(self._last):
                self.state[name].lerp_(t, 1 - decay)
            else:
                self.state[name].copy_(t)


def learning_rate(config: TrainConfig, step: int, num_steps: int) -> float:
    """Learning rate of step `step` of `num_steps`: linear warm-up, then constant, linear or cosine to zero."""
    warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
    done = min(1.0, max(0.0, step - config.warmup_steps) / max(1, num_steps - config.warmup_steps))
    after = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return config.lr * warm * after[config.schedule]
